"""S, R_eye and R_lip: small perceptrons that correct keypoints (paper section 3.3)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final, cast

from torch import Tensor, nn

MLP_SIZES: Final = {
    "stitching": (126, 128, 128, 64, 65),
    "lip": (65, 128, 128, 64, 63),
    "eye": (66, 256, 256, 128, 128, 64, 63),
}
"""Widths from input to output. Inputs: x_s and x_d; x_s and two lip ratios; x_s and three eye ratios."""


class RetargetingMLP(nn.Module):
    """Linear layers with ReLU between them.

    Args:
        sizes: Widths from input to output.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(sizes):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.mlp = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> Tensor:
        """(B, sizes[0]) -> (B, sizes[-1])."""
        return cast(Tensor, self.mlp(x))
