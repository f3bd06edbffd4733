"""Images posed by sliders, at once: the engine and the last portraits stay loaded."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from app.options import RenderOptions
from app.render import Job, render
from app.server.limits import RequestError
from liveportrait.expression import Expression

if TYPE_CHECKING:
    from app.frames.resources import Resources

TYPES: Final = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}


class Poser:
    """Poses one image at a time.

    Args:
        resources: Makes what keeps engine and portraits.
    """

    def __init__(self, resources: Callable[[], Resources]) -> None:
        self._make = resources
        self._kept: Resources | None = None
        self._lock = threading.Lock()

    def pose(self, source: Path, options: RenderOptions, expression: Mapping[str, Any] | None, ending: str) -> bytes:
        """The bytes of a posed image.

        Args:
            source: The portrait, an image.
            options: Options.
            expression: Sliders, see Expression.to_dict; None leaves the portrait as it is.
            ending: png, jpg or webp.

        Raises:
            AppError: It can't be done.
        """
        if ending not in TYPES:
            raise RequestError(422, f"format must be one of {', '.join(TYPES)}.")
        sliders = Expression.from_dict(expression or {"sliders": {}})
        with self._lock, tempfile.TemporaryDirectory(prefix="animate-") as folder:
            if self._kept is None:
                self._kept = self._make()
            target = Path(folder) / f"posed.{ending}"
            quiet = replace(options, program=replace(options.program, quiet=True))
            render(Job(source, Path(), quiet, sliders, target=target), resources=self._kept)
            return target.read_bytes()
