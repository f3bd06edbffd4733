"""The 203 face landmarks of the official release, if the user has its model (spec motion.md section 5.1)."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from liveportrait.crop import Crop, Points, face_box
from liveportrait.engines.base import Image
from models.face import Face
from models.registry import ModelError

MODEL: Final = "liveportrait/landmark203"
COUNT: Final = 203
SIZE: Final = 224
SCALE: Final = 1.5
SHIFT_Y: Final = -0.1


class Session(Protocol):
    """The methods used of an ONNX Runtime session."""

    def run(self, names: Any, feed: dict[str, Any]) -> list[Any]:
        """Outputs of the model."""


class Landmarks203:
    """Finds the 203 points in an image with a roughly known face; opens the model on first use.

    Args:
        path: landmark.onnx of the release.
        session: Replaces the opened file.
    """

    def __init__(self, path: Path, session: Session | None = None) -> None:
        self.path = path
        self._given = session

    @cached_property
    def _session(self) -> Session:
        if self._given is not None:
            return self._given
        from models.probe import open_model

        opened: Session = open_model(self.path)
        return opened

    def __call__(self, image: Image, face: Face) -> Points:
        """Points of one face.

        Args:
            image: (H, W, 3) uint8 RGB.
            face: Landmarks in its pixels; they determine the crop for the model.

        Returns:
            (203, 2) float32 in pixels of the image.

        Raises:
            ModelError: The file is not such a model.
        """
        crop = Crop.of_box(face_box(face, SCALE, 0.0, SHIFT_Y), SIZE)
        square = crop.apply(image, official=True).astype(np.float32) / np.float32(255)
        outputs = self._session.run(None, {"input": np.ascontiguousarray(square.transpose(2, 0, 1)[None])})
        if len(outputs) < 3 or np.size(outputs[2]) != 2 * COUNT or not np.isfinite(outputs[2]).all():
            raise ModelError(
                f"{self.path} is not the landmark model of LivePortrait: it does not output {COUNT} points."
            )
        return crop.to_source(np.asarray(outputs[2], np.float32).reshape(COUNT, 2) * SIZE)


def installed_landmarks() -> Landmarks203 | None:
    """The landmark model if the user has imported it."""
    from models.weights import find_model

    try:
        return Landmarks203(find_model(MODEL)[0])
    except ModelError:
        return None
