"""Optional face detector of the insightface package (extra "insightface").

Used only if the user has installed a model pack: the packs are for non-commercial research, so this program never
downloads them. Boxes feed the same mesh as those of the embedded detectors.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from models.detectors import Detection, Image, Window
from models.registry import ModelError
from models.weights import user_folder

PACK = "buffalo_l"


def pack_folder(folder: Path | None = None) -> Path | None:
    """Folder of a model pack that contains a detector, or None.

    Args:
        folder: The pack; the registered path in the user's model folder if None.
    """
    folder = folder or user_folder() / "insightface" / "models" / PACK
    return folder if folder.is_dir() and any(folder.glob("det_*.onnx")) else None


class InsightDetector:
    """SCRFD detector of an insightface pack, with the interface of models.detectors.BlazeFace; loads on first use.

    Args:
        folder: Folder of the pack; the registered path if None.
        min_score: Least score of a box, 0..1.

    Raises:
        ModelError: There is no pack in that folder.
    """

    def __init__(self, folder: Path | None = None, min_score: float = 0.5) -> None:
        found = pack_folder(folder)
        if found is None:
            place = folder or user_folder() / "insightface" / "models" / PACK
            raise ModelError(
                f"{place} contains no insightface pack; put one there yourself if its non-commercial licence suits you."
            )
        self._folder = found
        self.min_score = min_score

    @cached_property
    def _network(self) -> Any:
        try:
            from insightface.app import FaceAnalysis
        except ImportError as error:
            raise ModelError(
                "The package insightface is not installed; install the extra 'insightface' or use detector 'embedded'."
            ) from error
        # Passing a folder as the name prevents the package from searching for the pack, and from downloading it.
        analysis = FaceAnalysis(
            name=str(self._folder), allowed_modules=["detection"], providers=["CPUExecutionProvider"]
        )
        analysis.prepare(ctx_id=-1, det_thresh=self.min_score)
        return analysis.det_model

    def __call__(self, rgb: Image, window: Window | None = None) -> list[Detection]:
        """Find faces in the whole image.

        Args:
            rgb: (H, W, 3) uint8.
            window: Ignored: the network scales the image itself; present for the common interface.

        Returns:
            Detections in image pixels, highest score first.
        """
        bgr = np.ascontiguousarray(rgb[..., ::-1])
        boxes, points = self._network.detect(bgr, max_num=0, metric="default")
        if boxes is None or points is None:
            return []
        found = [_detection(box, five) for box, five in zip(boxes, points, strict=True)]
        return sorted(found, key=lambda detection: -detection.score)


def _detection(box: np.ndarray[Any, Any], five: np.ndarray[Any, Any]) -> Detection:
    """From (5,) box with score and (5, 2) eyes, nose and mouth corners; ears are estimated from the box's sides."""
    eye_left, eye_right, nose, mouth_left, mouth_right = np.asarray(five, dtype=np.float32)
    mouth = (mouth_left + mouth_right) / 2
    across = eye_right - eye_left
    points = np.stack([eye_left, eye_right, nose, mouth, eye_left - across / 2, eye_right + across / 2])
    return Detection(np.asarray(box[:4], dtype=np.float32), points.astype(np.float32), float(box[4]))
