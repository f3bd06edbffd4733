"""Runs a compiled network on tensors at fixed addresses.

The library reads and writes PyTorch's memory through its addresses. Nothing here depends on CUDA itself, so that the
logic can be tested with a stand-in for the library; it has not run on a card yet.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from models.files import written_whole

if TYPE_CHECKING:
    import torch
    from torch import Tensor

logger = logging.getLogger(__name__)
DIGEST_SIZE: Final = hashlib.sha256().digest_size

Stream = Callable[[], AbstractContextManager[int]]
"""Context manager for the stream to work on; its value is the stream's handle."""


class BoundNetwork:
    """A compiled network with a buffer for each input and output.

    Args:
        trt: Module of the library.
        engine: Bytes of the engine.
        device: Device of the buffers.
        stream: The stream to work on.
        shared: Buffers of other networks to reuse, by name: one network's output is the next one's input.
        kernels: File for the kernels that TensorRT-RTX compiles for the card at the first start.

    Attributes:
        inputs: Buffers of the inputs, by name.
        outputs: Buffers of the outputs, by name; each run overwrites them.

    Raises:
        RuntimeError: The engine can't be loaded on this card.
    """

    def __init__(
        self,
        trt: Any,
        engine: memoryview,
        device: torch.device,
        *,
        stream: Stream | None = None,
        shared: Mapping[str, Tensor] | None = None,
        kernels: Path | None = None,
    ) -> None:
        self._stream = stream or (lambda: nullcontext(0))
        self._kernels = kernels
        self._runtime = trt.Runtime(trt.Logger(trt.Logger.ERROR))
        self._engine = self._runtime.deserialize_cuda_engine(engine)
        if self._engine is None:
            raise RuntimeError("the driver can't load the engine")
        self._cache: Any = None
        self._context = self._make_context(trt)
        if self._context is None:
            raise RuntimeError("there isn't enough memory on the card for the engine")
        self.inputs: dict[str, Tensor] = {}
        self.outputs: dict[str, Tensor] = {}
        self._given: dict[str, Tensor] = {}
        for index in range(self._engine.num_io_tensors):
            name = self._engine.get_tensor_name(index)
            buffer = self._buffer(trt, name, device, (shared or {}).get(name))
            is_input = self._engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
            (self.inputs if is_input else self.outputs)[name] = buffer
            if not self._context.set_tensor_address(name, buffer.data_ptr()):
                raise RuntimeError(f"the engine rejects the buffer for {name}")

    def __call__(self, fixed: Mapping[str, Tensor], changing: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Run.

        Args:
            fixed: Inputs that are copied only if a different tensor is passed than last time.
            changing: Inputs that are copied every time.

        Returns:
            The outputs' buffers.

        Raises:
            RuntimeError: The library reports a failure.
        """
        import torch

        with torch.inference_mode(), self._stream() as handle:
            for name, tensor in fixed.items():
                if self._given.get(name) is not tensor:
                    self.inputs[name].copy_(tensor, non_blocking=True)
                    self._given[name] = tensor
            for name, tensor in changing.items():
                self.inputs[name].copy_(tensor, non_blocking=True)
            if not self._context.execute_async_v3(handle):
                raise RuntimeError("TensorRT could not run a network; see its message above")
        return self.outputs

    def keep_kernels(self) -> None:
        """Save the kernels compiled for the card for the next start; a failure only costs time."""
        if self._cache is None or self._kernels is None:
            return
        try:
            kernels = bytes(memoryview(self._cache.serialize()))
            with written_whole(self._kernels) as part:
                part.write_bytes(hashlib.sha256(kernels).digest() + kernels)
        except (OSError, TypeError, RuntimeError) as error:
            logger.info("Compiled kernels can't be kept (%s).", error)

    def _make_context(self, trt: Any) -> Any:
        """Execution context; for TensorRT-RTX with its own CUDA graph and cached kernels."""
        if not hasattr(self._engine, "create_runtime_config"):
            return self._engine.create_execution_context()
        config = self._engine.create_runtime_config()
        if hasattr(trt, "CudaGraphStrategy"):
            config.cuda_graph_strategy = trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        if hasattr(config, "create_runtime_cache"):
            self._cache = config.create_runtime_cache()
            if kernels := self._kept_kernels():
                with suppress(RuntimeError, TypeError):
                    self._cache.deserialize(kernels)
            config.set_runtime_cache(self._cache)
        return self._engine.create_execution_context(config)

    def _kept_kernels(self) -> bytes:
        """Content written by keep_kernels, or nothing if it is missing or damaged."""
        try:
            data = b"" if self._kernels is None else self._kernels.read_bytes()
        except OSError:
            return b""
        kernels = data[DIGEST_SIZE:]
        return kernels if data[:DIGEST_SIZE] == hashlib.sha256(kernels).digest() else b""

    def _buffer(self, trt: Any, name: str, device: torch.device, shared: Tensor | None) -> Tensor:
        """A buffer of the shape and type given by the engine."""
        import torch

        types = {trt.float32: torch.float32, trt.float16: torch.float16}
        shape, kind = tuple(self._engine.get_tensor_shape(name)), types.get(self._engine.get_tensor_dtype(name))
        if kind is None:
            raise RuntimeError(f"the engine's {name} has an unexpected type")
        if shared is not None and shared.shape == shape and shared.dtype == kind:
            return shared
        with torch.inference_mode(False):  # so that it may be written in any mode
            return torch.zeros(shape, dtype=kind, device=device)


def side_stream(device: torch.device) -> Stream:
    """A separate stream on a card, synchronised with the current one; does nothing on a CPU."""
    import torch

    if device.type != "cuda":
        return lambda: nullcontext(0)
    own = torch.cuda.Stream(device)

    @contextmanager
    def work() -> Iterator[int]:
        current = torch.cuda.current_stream(device)
        own.wait_stream(current)
        with torch.cuda.stream(own):
            yield own.cuda_stream
        current.wait_stream(own)

    return work
