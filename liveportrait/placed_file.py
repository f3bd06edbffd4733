"""File of a face placed by hand: its handles and the size of the image that they are placed on.

JSON with the schema of ``json_schema``::

    {"format": "portrait-landmarks", "version": 1, "width": 1080, "height": 1439,
     "handles": {"left_eye_outer": [371.9, 481.9], ...}}

Positions are in pixels from the image's upper left corner; the centre of the first pixel is at 0, 0.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from liveportrait.limits import first_fault, parse_json, read_limited
from liveportrait.placed import HANDLES, Handles, PlacedError, Point, check_handles, placed_face
from models.face import Face
from models.messages import Term, msg

FORMAT: Final = "portrait-landmarks"
VERSION: Final = 1
SUFFIX: Final = ".landmarks.json"
MAX_BYTES: Final = 64 << 10
MAX_SIDE: Final = 1 << 16
SAME_SHAPE: Final = 0.01  # largest relative difference between the aspect ratios of an image and of the file


@dataclass(frozen=True)
class PlacedFile:
    """A face placed on an image.

    Attributes:
        width: Width of that image in pixels.
        height: Its height.
        handles: Positions of all handles (liveportrait.placed.HANDLES) in its pixels.
    """

    width: int
    height: int
    handles: Handles

    def face_on(self, width: int, height: int) -> Face:
        """The face on the image, or on a larger or smaller copy of it.

        Args:
            width: Width of the copy in pixels.
            height: Its height.

        Raises:
            ValueError: The image has another aspect ratio, or the handles are not a face; the text is the rest of a
                sentence that begins with the file's name.
        """
        return placed_face(self.handles_on(width, height))

    def handles_on(self, width: int, height: int) -> dict[str, Point]:
        """Handles on a larger or smaller copy of the image; arguments and errors as in ``face_on``."""
        x, y = width / self.width, height / self.height
        slack = SAME_SHAPE + 0.5 / min(width, height, self.width, self.height)  # a side may have been rounded
        if not 1 - slack < x / y < 1 + slack:
            raise ValueError(
                msg(
                    "it was made for an image of {width}x{height} pixels, and this one has {width2}x{height2}",
                    self.width, self.height, width, height
                )
            )  # fmt: skip
        if (width, height) == (self.width, self.height):
            return dict(self.handles)
        return {name: ((px + 0.5) * x - 0.5, (py + 0.5) * y - 0.5) for name, (px, py) in self.handles.items()}

    def to_text(self) -> str:
        """Content of the file; positions in hundredths of a pixel."""
        head = {"format": FORMAT, "version": VERSION, "width": self.width, "height": self.height}
        lines = ",\n".join(
            f'    "{name}": [{self.handles[name][0]:.2f}, {self.handles[name][1]:.2f}]' for name in HANDLES
        )
        return json.dumps(head)[:-1] + ', "handles": {\n' + lines + "\n}}\n"


def read_placed(path: Path) -> PlacedFile:
    """Read such a file.

    Raises:
        ValueError: It is not such a file, or its handles are not a face; the text is the rest of a sentence that begins
            with the file's name.
        OSError: It can't be read.
    """
    return parse_placed(read_limited(path, MAX_BYTES))


def parse_placed(data: bytes | str) -> PlacedFile:
    """Parse the content of such a file; errors as in ``read_placed``, except OSError."""
    from pydantic import ValidationError

    values = parse_json(data, depth=4, count=200, limit=MAX_BYTES)
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise ValueError(msg("it contains no placed face"))
    if values.get("version") != VERSION:
        raise ValueError(
            msg(
                "it is of version {values!r:.20}, and this program reads version {version}",
                values.get("version"), VERSION
            )
        )  # fmt: skip
    try:
        found = _schema().model_validate(values)
    except ValidationError as error:
        raise ValueError(first_fault(error)) from None
    handles = {name: (float(x), float(y)) for name, (x, y) in ((n, getattr(found.handles, n)) for n in HANDLES)}
    width, height = found.width, found.height
    for name, (x, y) in handles.items():
        if not (-width <= x <= 2 * width and -height <= y <= 2 * height):
            raise ValueError(
                msg(
                    "the handle {name} lies far outside the image of {width}x{height} pixels",
                    Term("handle", name), width, height
                )
            )  # fmt: skip
    try:
        check_handles(handles)
    except PlacedError as error:
        raise ValueError(str(error)) from None
    return PlacedFile(width, height, handles)


def json_schema() -> dict[str, Any]:
    """JSON schema of the file."""
    schema: dict[str, Any] = _schema().model_json_schema()
    return schema


@lru_cache(maxsize=1)
def _schema() -> Any:
    from pydantic import ConfigDict, Field, create_model

    strict = ConfigDict(extra="forbid", frozen=True)
    side = Annotated[int, Field(ge=1, le=MAX_SIDE, strict=True)]
    number = Annotated[float, Field(strict=True)]
    place = Annotated[tuple[number, number], Field(strict=False)]
    points: dict[str, Any] = dict.fromkeys(HANDLES, (place, ...))
    handles = create_model("Handles", __config__=strict, **points)
    fields: dict[str, Any] = {
        "format": (Literal["portrait-landmarks"], ...),
        "version": (Literal[1], ...),
        "width": (side, ...),
        "height": (side, ...),
        "handles": (handles, ...),
    }
    return create_model("Landmarks", __config__=strict, **fields)
