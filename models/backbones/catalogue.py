"""All backbones by name. Listing imports no torch."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from models.backbones import emo2_sizes, ffnet_config, osa_sizes, timm_nets
from models.backbones.spec import Backbone
from models.registry import ModelError

if TYPE_CHECKING:
    from torch import nn

FAMILIES: Final = (emo2_sizes, ffnet_config, osa_sizes, timm_nets)
BACKBONES: Final = {spec.net: spec for family in FAMILIES for spec in family.BACKBONES}


def build(spec: Backbone, *, num_classes: int | None = None, in_chans: int = 3, **options: Any) -> nn.Module:
    """A backbone with its classifier or head and fresh weights.

    Args:
        spec: One of BACKBONES.
        num_classes: Outputs; the net's own number if None (1000 of ImageNet, 19 of an FFNet).
        in_chans: Channels of the image.
        options: Those of the family: window_size for EMOv2.

    Raises:
        ModelError: It has no such option, or a package is missing.
    """
    if unknown := sorted(set(options) - spec.options):
        raise ModelError(f"{spec.net} takes no option {', '.join(unknown)}.")
    net: nn.Module = importlib.import_module(spec.module).build(
        spec.net, num_classes=num_classes, in_chans=in_chans, **options
    )
    return net


def features(
    spec: Backbone, out_indices: Sequence[int] | None = None, *, in_chans: int = 3, **options: Any
) -> nn.Module:
    """A backbone that returns a list of feature maps.

    Args:
        spec: One of BACKBONES.
        out_indices: Which maps, as indices of Backbone.channels; all if None. Negative ones count from the end.
        in_chans: See build.
        options: See build.

    Returns:
        A module with the attributes channels and reductions (tuples, of the chosen maps).

    Raises:
        ModelError: There are no such maps, or for the reasons given in build.
    """
    from models.backbones.maps import FeatureMaps

    count = len(spec.channels)
    chosen = tuple(range(count)) if out_indices is None else tuple(out_indices)
    if not chosen or any(not -count <= i < count for i in chosen):
        raise ModelError(f"{spec.net} has {count} feature maps; out_indices {list(chosen)} doesn't fit.")
    places = tuple(i % count for i in chosen)
    if list(places) != sorted(set(places)):
        raise ModelError(f"out_indices {list(chosen)} of {spec.net} must increase from fine to coarse.")
    channels, reductions = (tuple(values[i] for i in places) for values in (spec.channels, spec.reductions))
    if not spec.picks_maps:
        return FeatureMaps(build(spec, in_chans=in_chans, **options), places, channels, reductions)
    if options:
        raise ModelError(f"{spec.net} takes no option {', '.join(options)}.")
    net = importlib.import_module(spec.module).build(spec.net, out_indices=places, in_chans=in_chans)
    return FeatureMaps(net, None, channels, reductions)
