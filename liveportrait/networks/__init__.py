"""The LivePortrait networks as plain PyTorch modules: the reference for all faster forms.

Importing this package doesn't import torch; building a network does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from models.installation import install_hint

if TYPE_CHECKING:
    from torch import nn

NAMES: Final = (
    "appearance_feature_extractor",
    "motion_extractor",
    "warping_module",
    "spade_generator",
    "stitching",
    "eye",
    "lip",
)
"""Names of all networks; the first four are also the stems of the official checkpoint files."""


def build_network(name: str) -> nn.Module:
    """Build one network with fresh weights, in evaluation mode, on torch's current default device.

    Args:
        name: One of NAMES.

    Returns:
        The module; keys and shapes of its state dict are those of the official checkpoint.

    Raises:
        ValueError: The name is unknown, or PyTorch is not installed.
    """
    if name not in NAMES:
        raise ValueError(f"There is no network named '{name}'; choose one of {', '.join(NAMES)}.")
    require_torch()
    if name == "appearance_feature_extractor":
        from liveportrait.networks.appearance import AppearanceFeatureExtractor

        return AppearanceFeatureExtractor().eval()
    if name == "motion_extractor":
        from liveportrait.networks.motion_extractor import MotionExtractor

        return MotionExtractor().eval()
    if name == "warping_module":
        from liveportrait.networks.warping import WarpingNetwork

        return WarpingNetwork().eval()
    if name == "spade_generator":
        from liveportrait.networks.generator import SPADEGenerator

        return SPADEGenerator().eval()
    from liveportrait.networks.mlps import MLP_SIZES, RetargetingMLP

    return RetargetingMLP(MLP_SIZES[name]).eval()


def require_torch() -> None:
    """Check that PyTorch can be imported.

    Raises:
        ValueError: It can't; the text says how to install it.
    """
    try:
        import torch  # noqa: F401
    except (ImportError, OSError) as error:
        raise ValueError(
            f"The LivePortrait networks need PyTorch, which can't be imported ({error}). {install_hint('torch')}"
        ) from error
