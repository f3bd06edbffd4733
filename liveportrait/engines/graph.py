"""One frame as a single launch: work with buffers at fixed addresses, captured once as a CUDA graph, then replayed.

The logic (buffers, changed shapes, failing captures) is independent of CUDA, so that it can be tested without a card.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Result = TypeVar("Result")
Compute = Callable[..., "tuple[Tensor, ...]"]
logger = logging.getLogger(__name__)

WARM_UPS: Final = 3
"""Runs before a capture: libraries choose their kernels, compiled functions are compiled."""
KEPT: Final = 4
"""Number of cached graphs, one for each set of shapes; the least recently used one is dropped first."""


class Recorder(Protocol):
    """Captures work on fixed buffers."""

    def capture(self, work: Callable[[], tuple[Tensor, ...]]) -> tuple[Callable[[], None], tuple[Tensor, ...]]:
        """Capture work.

        Args:
            work: Reads fixed buffers, returns results.

        Returns:
            A callable that repeats the work, and the buffers that its results are in each time.

        Raises:
            RuntimeError: It can't be captured.
        """
        ...


class CudaRecorder:
    """Captures work as a CUDA graph; all graphs share one pool of memory.

    Args:
        device: The card.
    """

    def __init__(self, device: torch.device) -> None:
        import torch

        self._device = device
        self._pool = torch.cuda.graph_pool_handle()

    def capture(self, work: Callable[[], tuple[Tensor, ...]]) -> tuple[Callable[[], None], tuple[Tensor, ...]]:
        """See Recorder."""
        import torch

        with torch.cuda.device(self._device):
            side, current = torch.cuda.Stream(), torch.cuda.current_stream()
            side.wait_stream(current)
            with torch.cuda.stream(side):
                for _ in range(WARM_UPS):
                    work()
            current.wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self._pool):
                results = work()
        return graph.replay, results


@dataclass
class _Captured:
    inputs: list[Tensor]
    sources: list[Tensor | None]  # tensors that the fixed inputs were last copied from
    replay: Callable[[], None]
    results: tuple[Tensor, ...]


class StaticGraph:
    """Calls a function through captured work.

    Args:
        compute: Takes tensors, returns tensors; must depend on nothing else that changes.
        recorder: Captures; None calls the function each time.

    Attributes:
        captures: Number of captures.
        failed: Why capturing was abandoned, or an empty string.
    """

    def __init__(self, compute: Compute, recorder: Recorder | None) -> None:
        self._compute, self._recorder = compute, recorder
        self._kept: OrderedDict[tuple[object, ...], _Captured] = OrderedDict()
        self._lock = threading.Lock()
        self.captures = 0
        self.failed = ""

    def __call__(
        self, fixed: Sequence[Tensor], changing: Sequence[Tensor], take: Callable[[tuple[Tensor, ...]], Result]
    ) -> Result:
        """Compute. A new set of shapes or types is captured again.

        Args:
            fixed: First arguments, which rarely change: they are copied only if a different tensor is passed.
            changing: Further arguments, copied every time.
            take: Copies the result out of the output buffers before the next call overwrites them.
        """
        tensors = (*fixed, *changing)
        if self._recorder is None or self.failed:
            return take(self._compute(*tensors))
        with self._lock:
            signature = tuple((tensor.shape, tensor.dtype, tensor.device) for tensor in tensors)
            captured = self._kept.get(signature)
            if captured is None:
                captured = self._capture(tensors)
                if captured is None:
                    return take(self._compute(*tensors))
                self._kept[signature] = captured
                if len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(signature)
            self._fill(captured, tensors, len(fixed))
            captured.replay()
            return take(captured.results)

    def _capture(self, tensors: Sequence[Tensor]) -> _Captured | None:
        """Captured work for these shapes; None, with one warning, if that fails."""
        assert self._recorder is not None
        inputs = [tensor.clone() for tensor in tensors]
        try:
            replay, results = self._recorder.capture(lambda: self._compute(*inputs))
        except RuntimeError as error:
            self.failed = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
            self._kept.clear()
            logger.warning("Frames are drawn without a CUDA graph, which is slower: %s.", self.failed)
            return None
        self.captures += 1
        return _Captured(inputs, [None] * len(inputs), replay, results)

    @staticmethod
    def _fill(captured: _Captured, tensors: Sequence[Tensor], fixed: int) -> None:
        for index, (buffer, tensor) in enumerate(zip(captured.inputs, tensors, strict=True)):
            if index < fixed:
                if captured.sources[index] is tensor:
                    continue
                captured.sources[index] = tensor
            buffer.copy_(tensor, non_blocking=True)


def leaves(value: Any) -> list[Tensor]:
    """All tensors of nested tuples, in order."""
    return [tensor for part in value for tensor in leaves(part)] if isinstance(value, tuple) else [value]


def rebuilt(shape: Any, tensors: Iterator[Tensor]) -> Any:
    """Nested tuples of the same types as the given ones, with other tensors: the inverse of leaves."""
    if not isinstance(shape, tuple):
        return next(tensors)
    parts = [rebuilt(part, tensors) for part in shape]
    return type(shape)(*parts) if hasattr(shape, "_fields") else tuple(parts)
