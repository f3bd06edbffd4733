"""VoVNet and ResNet-RS out of timm (extra `backbones`), which is imported only when one of them is built."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

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
"""VoVNet-27-slim (Lee et al., "An Energy and GPU-Computation Efficient Backbone Network", 2019), nameless in timm."""
VOVNET_CHANNELS: Final = {
    "slim": (64, 112, 256, 384, 512), "27": (64, 128, 256, 384, 512), "wide": (64, 256, 512, 768, 1024),
}  # fmt: skip
RESNET_CHANNELS: Final = (64, 256, 512, 1024, 2048)


def channels(name: str) -> tuple[int, ...]:
    """Channels at strides 2, 4, 8, 16 and 32."""
    if name in RESNET_RS:
        return RESNET_CHANNELS
    if name == "vovnet27_slim":
        return VOVNET_CHANNELS["27"]
    return VOVNET_CHANNELS["slim" if "slim" in name else "wide"]


def build(
    name: str, *, features_only: bool, out_indices: tuple[int, ...], num_classes: int, in_chans: int
) -> nn.Module:
    """A net of timm with fresh weights; with features_only it returns a list of maps.

    Raises:
        ModelError: timm or the torchvision that it needs is not installed, or doesn't fit the installed torch.
    """
    try:
        import timm
        from timm.models.vovnet import VovNet
    except (ImportError, RuntimeError, AttributeError) as error:
        raise ModelError(
            f"{name} needs timm and a torchvision that fits torch ({str(error).splitlines()[0]}); "
            "install the extra: pip install 'portrait-animate[backbones]'."
        ) from error
    if name != "vovnet27_slim":
        kind: dict[str, Any] = {"out_indices": out_indices} if features_only else {"num_classes": num_classes}
        return timm.create_model(name, features_only=features_only, in_chans=in_chans, **kind)
    net = VovNet(VOVNET27_SLIM, in_chans=in_chans, num_classes=num_classes)
    if not features_only:
        return net
    from timm.models._features import FeatureListNet

    return FeatureListNet(net, out_indices=out_indices, flatten_sequential=True)
