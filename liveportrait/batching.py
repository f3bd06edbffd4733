"""Gives frames to the engine in batches, which shrink when memory runs out."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from liveportrait.engines.base import Engine, Portrait


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, either main memory or that of a graphics card."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def free_gpu_memory() -> None:
    """Release unused memory of graphics cards, if torch is loaded."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def batch_of(engine: Engine) -> int:
    """The engine's preferred batch size in frames."""
    return max(1, engine.batch)


def render_batch(engine: Engine, portrait: Portrait, x_d: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Draw frames; when memory runs out, the engine's batch is halved, also for later calls.

    Args:
        engine: Draws the frames.
        portrait: The source.
        x_d: (B, K, 3) keypoints.

    Returns:
        (B, S, S, 3 or 4) images.

    Raises:
        MemoryError: A single frame does not fit; graphics cards raise an error of their own type.
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
