"""VoVNet and ResNet-RS from timm (extra `backbones`), which is only imported to build one of them."""

from __future__ import annotations

import sys
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from models.backbones.spec import FIVE_STRIDES, Backbone
from models.installation import install_hint
from models.registry import ModelError

if TYPE_CHECKING:
    from torch import nn

VOVNETS: Final = (
    "ese_vovnet19b_slim_dw", "ese_vovnet19b_slim", "ese_vovnet19b_dw", "ese_vovnet39b", "ese_vovnet57b",
    "ese_vovnet99b", "vovnet39a", "vovnet57a", "eca_vovnet39b", "ese_vovnet39b_evos",
)  # fmt: skip
RESNET_RS: Final = tuple(f"resnetrs{depth}" for depth in (50, 101, 152, 200, 270, 350, 420))
VOVNET27_SLIM: Final[dict[str, Any]] = {
    "stem_chs": [64, 64, 128], "stage_conv_chs": [64, 80, 96, 112], "stage_out_chs": [128, 256, 384, 512],
    "layer_per_block": 5, "block_per_stage": [1, 1, 1, 1], "residual": False, "depthwise": False, "attn": "",
}  # fmt: skip
"""VoVNet-27-slim (Lee et al., "An Energy and GPU-Computation Efficient Backbone Network", 2019), not named in timm."""
VOVNET_CHANNELS: Final = {
    "slim": (64, 112, 256, 384, 512), "27": (64, 128, 256, 384, 512), "wide": (64, 256, 512, 768, 1024),
}  # fmt: skip
RESNET_CHANNELS: Final = (64, 256, 512, 1024, 2048)


def _channels(name: str) -> tuple[int, ...]:
    """Channels at strides 2, 4, 8, 16 and 32."""
    if name in RESNET_RS:
        return RESNET_CHANNELS
    if name == "vovnet27_slim":
        return VOVNET_CHANNELS["27"]
    return VOVNET_CHANNELS["slim" if "slim" in name else "wide"]


BACKBONES: Final = tuple(
    Backbone(name, _channels(name), FIVE_STRIDES, __name__, needs="backbones", picks_maps=True)
    for name in (*VOVNETS, "vovnet27_slim", *RESNET_RS)
)


def build(
    name: str, *, out_indices: tuple[int, ...] | None = None, num_classes: int | None = None, in_chans: int = 3
) -> nn.Module:
    """A net of timm with fresh weights; with out_indices it returns a list of these maps.

    Raises:
        ModelError: timm or the torchvision that it needs is not installed, or doesn't match the installed torch.
    """
    timm = _timm(name)
    classes = 0 if out_indices is not None else 1000 if num_classes is None else num_classes
    if name != "vovnet27_slim":
        kind: dict[str, Any] = {"num_classes": classes} if out_indices is None else {"out_indices": out_indices}
        return timm.create_model(name, features_only=out_indices is not None, in_chans=in_chans, **kind)
    from timm.models.vovnet import VovNet

    net = VovNet(VOVNET27_SLIM, in_chans=in_chans, num_classes=classes)
    if out_indices is None:
        return net
    from timm.models._features import FeatureListNet

    return FeatureListNet(net, out_indices=out_indices, flatten_sequential=True)


def _timm(name: str) -> Any:
    """The package, with its requirements from torchvision.

    The default torchvision next to a CPU-only torch can't load its compiled operators, and then fails to import; timm
    only needs their names here, so they are declared in that one case.
    """
    try:
        try:
            import timm
        except RuntimeError as error:
            if "torchvision::nms" not in str(error):
                raise
            _declare_operators()
            import timm
        import timm.models.vovnet
    except (ImportError, RuntimeError, AttributeError) as error:
        raise ModelError(
            f"{name} needs timm and a torchvision that fits torch ({str(error).splitlines()[0]}). "
            f"{install_hint('backbones')}"
        ) from error
    return timm


@cache
def _declare_operators() -> object:
    import torch

    for module in [m for m in sys.modules if m.split(".")[0] in ("torchvision", "timm")]:
        del sys.modules[module]  # left over from the failed import
    library = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library
