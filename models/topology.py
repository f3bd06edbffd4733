"""Indices of the 478-point face mesh (MediaPipe attention mesh layout).

"Left" and "right" are sides of the image, not of the person. Points 0-467 are the face, 468-472 the left iris (centre
first), 473-477 the right one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

POINTS: Final = 478
FACE_POINTS: Final = 468

OVAL: Final = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
LIP_UPPER_INNER: Final = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LIP_LOWER_INNER: Final = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
LIPS_OUTER: Final = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)
LIPS_INNER: Final = LIP_UPPER_INNER + LIP_LOWER_INNER[::-1][1:-1]
LIPS: Final = tuple(sorted({*LIPS_OUTER, *LIPS_INNER}))
MOUTH_CORNERS: Final = (61, 291)
BROW_LEFT: Final = (70, 63, 105, 66, 107, 55, 65, 52, 53, 46)
BROW_RIGHT: Final = (300, 293, 334, 296, 336, 285, 295, 282, 283, 276)
JAW: Final = (
    127, 234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323, 454, 356,
)  # fmt: skip
CHEEKS: Final = (50, 280, 205, 425, 101, 330, 118, 347)


@dataclass(frozen=True)
class EyeIndices:
    """Indices of one eye.

    Attributes:
        upper: Upper lid line from the outer to the inner corner (9 points; both corners belong to it).
        lower: Lower lid line from the outer to the inner corner (the same corners).
        iris: Index of the iris centre; the four rim points follow it.
        upper_rings: Skin points above the lid, nearest ring first.
        lower_rings: Skin points below the lid, nearest ring first.
    """

    upper: tuple[int, ...]
    lower: tuple[int, ...]
    iris: int
    upper_rings: tuple[int, ...]
    lower_rings: tuple[int, ...]

    @property
    def outer(self) -> int:
        """Outer corner."""
        return self.upper[0]

    @property
    def inner(self) -> int:
        """Inner corner."""
        return self.upper[-1]

    @property
    def ring(self) -> tuple[int, ...]:
        """Closed lid contour: upper line, then the lower one backwards."""
        return self.upper + self.lower[::-1][1:-1]


EYE_LEFT: Final = EyeIndices(
    upper=(33, 246, 161, 160, 159, 158, 157, 173, 133),
    lower=(33, 7, 163, 144, 145, 153, 154, 155, 133),
    iris=468,
    upper_rings=(247, 30, 29, 27, 28, 56, 190, 113, 225, 224, 223, 222, 221, 189),
    lower_rings=(130, 25, 110, 24, 23, 22, 26, 112, 243, 228, 229, 230, 231, 232),
)
EYE_RIGHT: Final = EyeIndices(
    upper=(263, 466, 388, 387, 386, 385, 384, 398, 362),
    lower=(263, 249, 390, 373, 374, 380, 381, 382, 362),
    iris=473,
    upper_rings=(467, 260, 259, 257, 258, 286, 414, 342, 445, 444, 443, 442, 441, 413),
    lower_rings=(359, 255, 339, 254, 253, 252, 256, 341, 463, 448, 449, 450, 451, 452),
)
EYES: Final = (EYE_LEFT, EYE_RIGHT)
