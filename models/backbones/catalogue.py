"""One list of all network architectures: backbones, detectors and parsers on them. Listing imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal

from models.backbones import ffnet_config, timm_nets
from models.installation import install_hint
from models.registry import ModelError, natural_key

if TYPE_CHECKING:
    from torch import nn

Family = Literal["emo2", "ffnet", "vovnet", "resnetrs"]
EMO2_DIMS: Final = {
    "emo2_1m": (32, 48, 80, 180), "emo2_2m": (32, 48, 120, 200),
    "emo2_5m": (48, 72, 160, 288), "emo2_20m": (64, 128, 320, 448),
}  # fmt: skip


@dataclass(frozen=True)
class Architecture:
    """A network that can be built; its weights are fresh unless loaded.

    Attributes:
        name: "group/net": "backbone/emo2_1m".
        net: Name of the backbone.
        family: Whose it is.
        channels: Channels of all feature maps, fine to coarse.
        reductions: Their strides in pixels of the picture.
        needs: Extra of the package that brings what it needs besides torch, or empty.
    """

    name: str
    net: str
    family: Family
    channels: tuple[int, ...]
    reductions: tuple[int, ...]
    needs: str = ""

    @property
    def group(self) -> str:
        """First part of the name."""
        return self.name.split("/")[0]

    @property
    def task(self) -> str:
        """What it does, in a few words."""
        return TASKS[self.group]


TASKS: Final = {
    "backbone": "feature maps or class logits", "detect": "face detection with five landmarks",
    "parse": "face parsing",
}  # fmt: skip
GROUPS: Final = tuple(TASKS)
FIVE: Final = (2, 4, 8, 16, 32)


def _nets() -> list[tuple[str, Family, tuple[int, ...], tuple[int, ...], str]]:
    nets: list[tuple[str, Family, tuple[int, ...], tuple[int, ...], str]] = []
    for name, dims in EMO2_DIMS.items():
        nets.append((name, "emo2", (dims[0] // 2, *dims), FIVE, ""))
    for name in ffnet_config.names():
        config = ffnet_config.parse(name)
        nets.append((name, "ffnet", config.channels, config.reductions, ""))
    nets.append(("osa_nano", "vovnet", (32, 64, 128, 160), (4, 8, 16, 32), ""))
    nets.append(("osa_micro", "vovnet", (32, 64, 128, 224), (4, 8, 16, 32), ""))
    for name in (*timm_nets.VOVNETS, "vovnet27_slim"):
        nets.append((name, "vovnet", timm_nets.channels(name), FIVE, "backbones"))
    for name in timm_nets.RESNET_RS:
        nets.append((name, "resnetrs", timm_nets.channels(name), FIVE, "backbones"))
    return nets


@cache
def _all() -> dict[str, Architecture]:
    return {f"{group}/{net[0]}": Architecture(f"{group}/{net[0]}", *net) for group in GROUPS for net in _nets()}


def list_architectures(pattern: str = "*") -> list[str]:
    """Names that match a shell pattern such as "backbone/emo2*", in natural order."""
    return sorted((name for name in _all() if fnmatchcase(name, pattern)), key=natural_key)


def get_architecture(name: str) -> Architecture:
    """The architecture of that name.

    Raises:
        ModelError: There is none; the sentence names those that look alike.
    """
    if name in _all():
        return _all()[name]
    group, _, net = name.partition("/")
    near = list_architectures(f"{group}/{net[:4]}*") or list_architectures(f"{group}/*") or list_architectures()
    raise ModelError(f"There is no network {name!r}; known are {', '.join(near[:12])}.")


def features(name: str, out_indices: Sequence[int] | None = None, in_chans: int = 3, **options: Any) -> nn.Module:
    """A backbone that returns a list of feature maps; same as create with features_only.

    Args:
        name: Registered name, such as "backbone/emo2_1m".
        out_indices: Which maps, as places in Architecture.channels; all if None. Negative ones count from the end.
        in_chans: Channels of the picture.
        options: window_size for EMOv2.

    Returns:
        A module with the attributes channels and reductions (tuples, of the chosen maps).
    """
    from models.backbones.maps import FeatureMaps

    spec = get_architecture(name)
    count = len(spec.channels)
    chosen = tuple(range(count)) if out_indices is None else tuple(out_indices)
    if not chosen or any(not -count <= i < count for i in chosen):
        raise ModelError(f"{name} has {count} feature maps; out_indices {list(chosen)} doesn't fit.")
    places = tuple(i % count for i in chosen)
    if list(places) != sorted(set(places)):
        raise ModelError(f"out_indices {list(chosen)} of {name} must rise from fine to coarse.")
    if spec.needs and options:
        raise ModelError(f"{name} takes no option {', '.join(options)}.")
    if spec.needs:
        net = timm_nets.build(spec.net, features_only=True, out_indices=places, num_classes=0, in_chans=in_chans)
        return FeatureMaps(
            net, None, tuple(spec.channels[i] for i in places), tuple(spec.reductions[i] for i in places)
        )
    net = _own(spec, in_chans, None, options)
    return FeatureMaps(net, places, tuple(spec.channels[i] for i in places), tuple(spec.reductions[i] for i in places))


def _own(spec: Architecture, in_chans: int, classes: int | None, options: dict[str, Any]) -> nn.Module:
    allowed = {"window_size"} if spec.family == "emo2" else set()
    if set(options) - allowed:
        raise ModelError(f"{spec.name} takes no option {', '.join(sorted(set(options) - allowed))}.")
    if spec.family == "emo2":
        from models.backbones import emo2

        return emo2.build(spec.net, num_classes=1000 if classes is None else classes, in_chans=in_chans, **options)
    if spec.family == "vovnet":
        from models.backbones import osa

        return osa.build(spec.net, num_classes=1000 if classes is None else classes, in_chans=in_chans)
    from models.backbones import ffnet

    return ffnet.build(spec.net, num_classes=classes, in_chans=in_chans)


def create(
    name: str, *, features_only: bool = False, out_indices: Sequence[int] | None = None,
    num_classes: int | None = None, in_chans: int = 3, **options: Any,
) -> nn.Module:  # fmt: skip
    """Build a network with fresh weights.

    Args:
        name: Registered name; see list_architectures.
        features_only: Return feature maps in place of logits (backbones).
        out_indices: Which maps, with features_only.
        num_classes: Outputs; the net's own number if None (1000 of ImageNet, 19 of an FFNet).
        in_chans: Channels of the picture.
        options: Further ones of the family: window_size for EMOv2; width and units of the head for detectors.

    Returns:
        The network in training mode.

    Raises:
        ModelError: Unknown name or option, or a missing package; the sentence says which.
    """
    spec = get_architecture(name)
    try:
        import torch  # noqa: F401
    except ImportError:
        raise ModelError(f"{name} needs PyTorch. {install_hint('torch')}") from None
    if features_only:
        return features(name, out_indices, in_chans, **options)
    if spec.group == "detect":
        from models.detection import network

        if num_classes is not None or out_indices is not None:
            raise ModelError(f"{name} takes neither num_classes nor out_indices.")
        return network.build(name, in_chans=in_chans, **options)
    if spec.group == "parse":
        from models.parsing import network as parser

        if out_indices is not None:
            raise ModelError("out_indices only goes with features_only.")
        return parser.build(spec, num_classes=num_classes, in_chans=in_chans, **options)
    if out_indices is not None:
        raise ModelError("out_indices only goes with features_only.")
    if spec.needs:
        if options:
            raise ModelError(f"{name} takes no option {', '.join(options)}.")
        classes = 1000 if num_classes is None else num_classes
        return timm_nets.build(
            spec.net, features_only=False, out_indices=(), num_classes=classes, in_chans=in_chans
        )  # fmt: skip
    return _own(spec, in_chans, num_classes, options)
