"""What of a source is animated, and by whom: options that people write as text, parsed once into small values.

This module imports nothing heavy on purpose: the command line answers ``--help`` from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from models.choices import LARGEST, FaceChoice, parse_numbers
from models.messages import msg

SMALLEST_SQUARE = 16  # pixels


@dataclass(frozen=True)
class Faces:
    """Which faces of a source are animated.

    Attributes:
        choices: One or several faces; empty for all of them.
    """

    choices: tuple[FaceChoice, ...] = (LARGEST,)

    @classmethod
    def parse(cls, text: str) -> Faces:
        """Read "all", or one or several faces joined by +.

        Raises:
            ValueError: It is something else.
        """
        return cls(()) if text == "all" else cls(tuple(FaceChoice.parse(part) for part in text.split("+")))

    @property
    def everybody(self) -> bool:
        """Whether all faces are animated."""
        return not self.choices

    @property
    def first(self) -> FaceChoice:
        """The first one, or the largest one of all."""
        return self.choices[0] if self.choices else LARGEST

    def scaled(self, factor: float) -> Faces:
        """The same faces in a picture of another size."""
        return Faces(tuple(choice.scaled(factor) for choice in self.choices))

    def __str__(self) -> str:
        return "+".join(map(str, self.choices)) or "all"


@dataclass(frozen=True)
class Square:
    """A crop set by hand.

    Attributes:
        x: Its centre in pixels.
        y: Its centre in pixels.
        side: In pixels, at least 16.
        angle: Degrees clockwise.
    """

    x: float
    y: float
    side: float
    angle: float = 0.0

    def __post_init__(self) -> None:
        if self.side < SMALLEST_SQUARE:
            raise ValueError(
                msg(
                    "the side of the crop is {side:g} px, it must be at least {smallest_square} px.",
                    self.side, SMALLEST_SQUARE,
                )
            )  # fmt: skip

    @classmethod
    def parse(cls, text: str) -> Square | None:
        """Read "x,y,size" or "x,y,size,angle"; an empty text is None.

        Raises:
            ValueError: It is something else, or too small.
        """
        if not text:
            return None
        numbers = parse_numbers(text)
        if numbers is None or len(numbers) not in (3, 4):
            raise ValueError(msg("{text!r} is not x,y,size or x,y,size,angle in pixels and degrees.", text))
        return cls(*numbers)

    def scaled(self, factor: float) -> Square:
        """The same square in a picture of another size."""
        return replace(self, x=self.x * factor, y=self.y * factor, side=max(self.side * factor, SMALLEST_SQUARE))

    def __str__(self) -> str:
        text = f"{self.x:.10g},{self.y:.10g},{self.side:.10g}"
        return f"{text},{self.angle:.10g}" if self.angle else text


@dataclass(frozen=True)
class FaceDriver:
    """A face with a driver of its own.

    Attributes:
        face: The face of the source.
        path: Clip, photo or template that drives it.
    """

    face: FaceChoice
    path: Path

    @classmethod
    def parse(cls, text: str) -> tuple[FaceDriver, ...]:
        """Read FACE=FILE of each line; each face once.

        Raises:
            ValueError: A line is something else, or a face has two drivers.
        """
        drivers: dict[FaceChoice, FaceDriver] = {}
        for line in filter(None, (line.strip() for line in text.splitlines())):
            face, equals, name = (part.strip() for part in line.partition("="))
            if not equals or not name or not face:
                raise ValueError(msg("{line!r} is not a face and its driving file, such as left=mum.mp4.", line))
            choice = FaceChoice.parse(face)
            if choice in drivers:
                raise ValueError(
                    msg("the face {face} has two drivers, {path} and {name}.", face, drivers[choice].path, name)
                )
            drivers[choice] = cls(choice, Path(name))
        return tuple(drivers.values())

    def __str__(self) -> str:
        return f"{self.face}={self.path}"


@dataclass(frozen=True)
class Subject:
    """What of one source is animated.

    Attributes:
        faces: Which faces.
        square: Crop set by hand; None follows the face.
        drivers: Faces with drivers of their own.
        landmarks: File with a face placed by hand, or None.
    """

    faces: Faces = Faces()
    square: Square | None = None
    drivers: tuple[FaceDriver, ...] = ()
    landmarks: Path | None = None

    NAMES = ("face", "crop", "driver_for", "landmarks")
    """Options that it stands for."""

    @classmethod
    def parse(cls, face: str = "largest", crop: str = "", driver_for: str = "", landmarks: str = "") -> Subject:
        """Read the values of the options.

        Raises:
            ValueError: One of them does not fit.
        """
        placed = Path(landmarks) if landmarks else None
        return cls(Faces.parse(face), Square.parse(crop), FaceDriver.parse(driver_for), placed)

    @property
    def values(self) -> Mapping[str, str]:
        """Values of the options that it stands for."""
        return {
            "face": str(self.faces),
            "crop": str(self.square or ""),
            "driver_for": "\n".join(map(str, self.drivers)),
            "landmarks": str(self.landmarks or ""),
        }

    def scaled(self, factor: float) -> Subject:
        """The same in a picture of another size; the landmarks' file says of which size it is."""
        if factor == 1:
            return self
        return replace(
            self,
            faces=self.faces.scaled(factor),
            square=None if self.square is None else self.square.scaled(factor),
            drivers=tuple(replace(driver, face=driver.face.scaled(factor)) for driver in self.drivers),
        )


LARGEST_FACE = Subject()
