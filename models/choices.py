"""Parses command-line choices of a face or a face detector into small values.

This module imports nothing heavy: the command line needs it for ``--help``.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import Final, Literal

from models.messages import msg

Word = Literal["largest", "left", "right", "centre"]
WORDS: Final[dict[str, Word]] = {
    "largest": "largest", "left": "left", "right": "right", "centre": "centre", "center": "centre",
}  # fmt: skip
Kind = Literal["embedded", "insightface", "auto", "named", "file"]
KINDS: Final[dict[str, Kind]] = {"embedded": "embedded", "insightface": "insightface", "auto": "auto"}
GROUP: Final = "detect/"


def parse_numbers(text: str) -> list[float] | None:
    """Numbers separated by commas, or None if the text is something else."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        return None
    return numbers if "_" not in text and all(map(math.isfinite, numbers)) else None


@dataclass(frozen=True)
class FaceChoice:
    """One of several faces of an image; :func:`models.face.select_face` finds it.

    Attributes:
        word: Which one, unless there is a number or a point.
        number: Rank by size from 1, or 0.
        point: The face at this pixel (x, y), or None.
    """

    word: Word = "largest"
    number: int = 0
    point: tuple[float, float] | None = None

    @classmethod
    def parse(cls, text: str) -> FaceChoice:
        """Read "largest", "left", "right", "centre", a number from 1, or "x,y" in pixels.

        Raises:
            ValueError: It is something else.
        """
        name = text.strip().lower()
        if name in WORDS:
            return cls(WORDS[name])
        if re.fullmatch(r"0{0,9}[1-9][0-9]{0,8}", name):
            return cls(number=int(name))
        numbers = parse_numbers(name)
        if numbers is None or len(numbers) != 2:
            raise ValueError(
                msg(
                    "{text!r} is not one of largest, left, right, centre, a number counted from 1, or a point x,y.",
                    text,
                )
            )
        return cls(point=(numbers[0], numbers[1]))

    def scaled(self, factor: float) -> FaceChoice:
        """The same face in an image of another size."""
        return self if self.point is None else replace(self, point=(self.point[0] * factor, self.point[1] * factor))

    def __str__(self) -> str:
        if self.point is not None:
            return f"{self.point[0]:.10g},{self.point[1]:.10g}"
        return str(self.number) if self.number else self.word


@dataclass(frozen=True)
class DetectorChoice:
    """A face detector; :mod:`models.detection.choose` opens it.

    Attributes:
        kind: The embedded one; insightface; insightface if its models are installed; one of ours by name; or by file.
        name: "detect/NAME" of a named one, path of a file, else empty.
    """

    kind: Kind = "embedded"
    name: str = ""

    @classmethod
    def parse(cls, text: str) -> DetectorChoice:
        """Read "embedded", "insightface", "auto", "detect/NAME", or the path of an ONNX file.

        Raises:
            ValueError: It is something else.
        """
        if text in KINDS:
            return cls(KINDS[text])
        if text.lower().endswith(".onnx"):
            return cls("file", text)
        if re.fullmatch(GROUP + r"[a-z0-9_.-]+", text):
            return cls("named", text)
        raise ValueError(
            msg("{text!r} is not embedded, insightface, auto, detect/NAME or the path of an .onnx file.", text)
        )

    def __str__(self) -> str:
        return self.name or self.kind


LARGEST: Final = FaceChoice()
EMBEDDED: Final = DetectorChoice()
