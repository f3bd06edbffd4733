"""One list of all network architectures: backbones, detectors and parsers on them. Listing imports no torch."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

from models.backbones import BACKBONES, Backbone, features
from models.installation import install_hint
from models.registry import ModelError, natural_key

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Group:
    """A kind of network on a backbone.

    Attributes:
        task: Its purpose, in a few words.
        module: Module of its build function, which takes a Backbone, in_chans and options.
        classes: Whether build takes num_classes.
    """

    task: str
    module: str
    classes: bool = True


GROUPS: Final = {
    "backbone": Group("feature maps or class logits", "models.backbones"),
    "detect": Group("face detection with five landmarks", "models.detection.network", classes=False),
    "parse": Group("face parsing", "models.parsing.network"),
}
NAMES: Final = tuple(f"{group}/{net}" for group in GROUPS for net in BACKBONES)


@dataclass(frozen=True)
class Architecture:
    """A network that can be built; its weights are fresh unless loaded.

    Attributes:
        name: "group/net": "backbone/emo2_1m".
        group: Its group.
        backbone: Its backbone.
    """

    name: str
    group: Group
    backbone: Backbone


def list_architectures(pattern: str = "*") -> list[str]:
    """Names that match a shell pattern such as "backbone/emo2*", in natural order."""
    return sorted((name for name in NAMES if fnmatchcase(name, pattern)), key=natural_key)


def get_architecture(name: str) -> Architecture:
    """The architecture of that name.

    Raises:
        ModelError: There is none; the text names similar ones.
    """
    group, _, net = name.partition("/")
    if name in NAMES:
        return Architecture(name, GROUPS[group], BACKBONES[net])
    near = list_architectures(f"{group}/{net[:4]}*") or list_architectures(f"{group}/*") or list_architectures()
    raise ModelError(f"There is no network {name!r}; known are {', '.join(near[:12])}.")


def create(
    name: str, *, features_only: bool = False, out_indices: Sequence[int] | None = None,
    num_classes: int | None = None, in_chans: int = 3, **options: Any,
) -> nn.Module:  # fmt: skip
    """Build a network with fresh weights.

    Args:
        name: Registered name; see list_architectures.
        features_only: Return the backbone's feature maps instead of logits.
        out_indices: Which maps, with features_only.
        num_classes: Outputs; the net's own number if None (1000 of ImageNet, 19 of an FFNet).
        in_chans: Channels of the image.
        options: Further options of the family: window_size for EMOv2; width and units of the head for detectors.

    Returns:
        The network in training mode.

    Raises:
        ModelError: Unknown name or option, or a missing package; the text says which.
    """
    spec = get_architecture(name)
    try:
        import torch  # noqa: F401
    except ImportError:
        raise ModelError(f"{name} needs PyTorch. {install_hint('torch')}") from None
    if features_only:
        return features(spec.backbone, out_indices, in_chans=in_chans, **options)
    if out_indices is not None:
        raise ModelError("out_indices requires features_only.")
    if num_classes is not None:
        if not spec.group.classes:
            raise ModelError(f"{name} takes no num_classes.")
        options["num_classes"] = num_classes
    net: nn.Module = importlib.import_module(spec.group.module).build(spec.backbone, in_chans=in_chans, **options)
    return net
