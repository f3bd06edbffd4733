"""Frames given to the engine several at a time, fewer when memory runs out."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from liveportrait.engines.base import Engine, Portrait


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, that of the machine or of a graphics card."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def free_gpu_memory() -> None:
    """Give unused memory of graphics cards back, if torch is in use at all."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def batch_of(engine: Engine) -> int:
    """Frames that an engine draws best at once."""
    return max(1, engine.batch)


def render_batch(engine: Engine, portrait: Portrait, x_d: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Draw frames; when memory runs out the engine's batch is halved, for all later frames too.

    Args:
        engine: Who draws.
        portrait: What is drawn.
        x_d: (B, K, 3) keypoints.

    Returns:
        (B, S, S, 3 or 4) pictures.

    Raises:
        MemoryError: A single frame does not fit; graphics cards raise an error of their own.
    """
    size, drawn = min(len(x_d), batch_of(engine)), []
    start = 0
    while start < len(x_d):
        try:
            drawn.append(engine.render(portrait, x_d[start : start + size]))
        except (MemoryError, RuntimeError) as error:
            if size == 1 or not is_out_of_memory(error):
                raise
            size //= 2
            engine.batch = size
            free_gpu_memory()
            continue
        start += size
    return np.concatenate(drawn) if len(drawn) > 1 else drawn[0]
