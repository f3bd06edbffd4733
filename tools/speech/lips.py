"""Lips of real speakers in a clip over time, read by the program's own tracker."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from liveportrait.engines.mesh import MeshEngine
from liveportrait.engines.mesh.data import face_model
from models.speech import RATE
from models.topology import MOUTH_CORNERS
from models.tracker import FaceTracker

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Lips:
    """Lips in n frames; NaN if no face was found.

    Attributes:
        times: Seconds from the start of the sound.
        gap: Gap between the inner lips, in face widths, with the head pose removed.
        width: Width of the mouth, likewise.
        ratio: Lip ratio as in Expression.lip_ratio.
    """

    times: Floats
    gap: Floats
    width: Floats
    ratio: Floats


def read_lips(path: Path) -> Lips:
    """Lips of a clip."""
    tracker, engine, rows = FaceTracker(), MeshEngine(), []
    mean = face_model().mean.astype(np.float64)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        sound = container.streams.audio[0]
        start = float((sound.start_time or 0) * sound.time_base)
        for frame in container.decode(stream):
            image = frame.to_ndarray(format="rgb24")
            face = tracker.track(image)
            time = float(frame.pts * stream.time_base) - start
            if face is None:
                rows.append([time, np.nan, np.nan, np.nan])
                continue
            shape = mean + engine.read_motion(image, face).delta[0]
            left, right = MOUTH_CORNERS
            gap, width = np.linalg.norm(shape[13] - shape[14]), np.linalg.norm(shape[left] - shape[right])
            rows.append([time, gap, width, face.lip_ratio])
    return Lips(*np.array(rows, np.float64).T)


def read_sound(path: Path) -> npt.NDArray[np.float32]:
    """Samples of a file's sound, one channel at RATE."""
    parts = []
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("fltp", "mono", RATE)
        for frame in container.decode(audio=0):
            parts += [piece.to_ndarray()[0] for piece in resampler.resample(frame)]
        parts += [piece.to_ndarray()[0] for piece in resampler.resample(None)]
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)
