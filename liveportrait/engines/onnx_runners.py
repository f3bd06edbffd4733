"""The exported networks on ONNX Runtime and on OpenVINO, one frame at a time.

Buffers are reused: a source's are bound once, W writes into the buffer that G reads, G into one that is read after each
frame. On providers with a memory of their own all of them are located there, and only the driving keypoints are
uploaded and the image downloaded; on CPUs nothing is copied at all.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from liveportrait.engines.onnx_providers import CUDA, DIRECTML, NVIDIA, RTX, open_session, runtime_errors
from liveportrait.motion import Array

if TYPE_CHECKING:
    from liveportrait.networks.fast.export import ExportedNetworks

POINTS: Final = (1, 21, 3)
MEMORIES: Final[Mapping[str, tuple[Mapping[str, Any], ...]]] = {
    CUDA: ({"device_type": "cuda", "device_id": 0},),
    RTX: ({"device_type": "cuda", "device_id": 0}, {"device_type": "gpu", "device_id": 0, "vendor_id": NVIDIA}),
    DIRECTML: ({"device_type": "dml", "device_id": 0},),
}
"""Provider with a memory of its own -> names that ONNX Runtime may use for it, to be tried in turn."""

Readers = tuple[Callable[[Array], Array], Callable[[Array], dict[str, Array]]]


class Runner(Protocol):
    """W and G on some runtime, one frame at a time.

    Attributes:
        label: Description for users.
        precision: Type of the convolutions: "fp32", "bf16" or "fp16".
        readers: F and M, if they also run here: (1, 3, 256, 256) float32 in 0..1 -> (1, 32, 16, 64, 64), and raw heads.
    """

    label: str
    precision: str
    readers: Readers | None

    def prepare(self, volume: Array, kp_source: Array) -> Any:
        """A source, computed and bound once: (1, 32, 16, 64, 64), (1, 21, 3) float32 -> input for warp."""
        ...

    def warp(self, source: Any, kp_driving: Array) -> Any:
        """(1, 21, 3) float32 -> input for draw, a buffer that stays in the runtime; the next call overwrites it."""
        ...

    def draw(self, feature: Any) -> Array:
        """-> (1, 3, 512, 512) float32 in 0..1; the next call overwrites it."""
        ...


class Buffer:
    """Memory that a session reads from or writes to.

    Args:
        runtime: The module onnxruntime.
        shape: Its shape; float32.
        where: Device arguments (OrtValue.ortvalue_from_shape_and_type); empty for the CPU.
    """

    def __init__(self, runtime: Any, shape: tuple[int, ...], where: Mapping[str, Any]) -> None:
        self._array: Array | None = None if where else np.empty(shape, np.float32)
        if self._array is None:
            self.value = runtime.OrtValue.ortvalue_from_shape_and_type(list(shape), np.float32, **where)
        else:
            self.value = runtime.OrtValue.ortvalue_from_numpy(self._array)  # they share memory

    def write(self, values: Array) -> None:
        """Write values into it."""
        if self._array is None:
            self.value.update_inplace(np.ascontiguousarray(values, np.float32))
        else:
            np.copyto(self._array, values)

    def read(self) -> Array:
        """Its values; on the CPU a view of the memory itself."""
        return np.asarray(self.value.numpy()) if self._array is None else self._array


class OnnxRunner:
    """W and G, and on providers with a memory of their own also F and M, on ONNX Runtime.

    Args:
        files: The networks; F and M may be left out.
        provider: Execution provider; the CPU provider runs what it can't.
        threads: CPU threads, 0 for the runtime's choice.
        cache: Folder for compiled kernels.
        precision: Type of the convolutions in the files.
        runtime: The module; onnxruntime by default.

    Attributes:
        memory: Device of the buffers, empty for the CPU.

    Raises:
        RuntimeError: The provider can't be started.
    """

    def __init__(
        self, files: ExportedNetworks, provider: str, threads: int = 0, cache: Path | None = None, *,
        precision: str = "fp32", runtime: Any = None,
    ) -> None:  # fmt: skip
        if runtime is None:
            import onnxruntime

            runtime = onnxruntime
        self._runtime, self.precision = runtime, precision
        self._sessions = {
            part: open_session(runtime, path, provider, threads, cache)
            for part, path in vars(files).items()
            if path is not None
        }
        reads = "appearance" in self._sessions and "motion" in self._sessions
        self.readers: Readers | None = (self._appearance, self._motion) if reads else None
        self.memory = memory_of(runtime, provider)
        place = f", buffers on {self.memory['device_type']}" if self.memory else ""
        self.label = f"{provider}{place}"
        frame, generator = self._sessions["frame"], self._sessions["generator"]
        self._driving = self._buffer(POINTS)
        self._out = self._buffer(_shape(frame.get_outputs()[0]))
        self._image = self._buffer(_shape(generator.get_outputs()[0]))
        self._drawing = generator.io_binding()
        self._drawing.bind_ortvalue_input(generator.get_inputs()[0].name, self._out.value)
        self._drawing.bind_ortvalue_output(generator.get_outputs()[0].name, self._image.value)

    @runtime_errors()
    def prepare(self, volume: Array, kp_source: Array) -> Any:
        """See Runner."""
        given = {"feature_3d": self._filled(volume), "kp_source": self._filled(kp_source)}
        session = self._sessions["source"]
        binding = session.io_binding()
        for name, buffer in given.items():
            if name in {entry.name for entry in session.get_inputs()}:
                binding.bind_ortvalue_input(name, buffer.value)
        for entry in session.get_outputs():
            given[entry.name] = self._buffer(_shape(entry))
            binding.bind_ortvalue_output(entry.name, given[entry.name].value)
        session.run_with_iobinding(binding)
        frame = self._sessions["frame"]
        warping = frame.io_binding()
        given["kp_driving"] = self._driving
        for entry in frame.get_inputs():
            warping.bind_ortvalue_input(entry.name, given[entry.name].value)
        warping.bind_ortvalue_output(frame.get_outputs()[0].name, self._out.value)
        return warping, given  # the buffers must outlive the binding

    @runtime_errors()
    def warp(self, source: Any, kp_driving: Array) -> Buffer:
        """See Runner."""
        self._driving.write(kp_driving)
        self._sessions["frame"].run_with_iobinding(source[0])
        return self._out

    @runtime_errors()
    def draw(self, feature: Buffer) -> Array:
        """See Runner."""
        assert feature is self._out
        self._sessions["generator"].run_with_iobinding(self._drawing)
        return self._image.read()

    @runtime_errors()
    def _appearance(self, image: Array) -> Array:
        return np.asarray(self._sessions["appearance"].run(None, {"image": image})[0])

    @runtime_errors()
    def _motion(self, image: Array) -> dict[str, Array]:
        session = self._sessions["motion"]
        values = session.run(None, {"image": image})
        return {entry.name: np.asarray(v) for entry, v in zip(session.get_outputs(), values, strict=True)}

    def _buffer(self, shape: tuple[int, ...]) -> Buffer:
        return Buffer(self._runtime, shape, self.memory)

    def _filled(self, values: Array) -> Buffer:
        buffer = self._buffer(values.shape)
        buffer.write(values)
        return buffer


def memory_of(runtime: Any, provider: str) -> Mapping[str, Any]:
    """Device of a provider's buffers: its own memory if it can be written and read, else the CPU's ({}).

    Args:
        runtime: The module onnxruntime.
        provider: Execution provider that has been started.
    """
    probe = np.arange(4, dtype=np.float32)
    for where in MEMORIES.get(provider, ()):
        try:
            buffer = Buffer(runtime, probe.shape, where)
            buffer.write(probe)
            if np.array_equal(buffer.read(), probe):
                return where
        except Exception:  # noqa: BLE001, S112 - its errors have no public base class; CPU memory always works
            continue
    return {}


class OpenVinoRunner:
    """W and G on OpenVINO.

    Args:
        files: The networks; the files define the type of each operation.
        precision: Type of their convolutions: "fp32", "bf16" or "fp16".
        device: OpenVINO's name of the device.
        threads: CPU threads, 0 for all.
        cache: Folder for compiled kernels.

    Raises:
        RuntimeError: The device can't run that type.
    """

    readers: Readers | None = None  # PyTorch's rewritten M is just as fast

    def __init__(
        self, files: ExportedNetworks, *, precision: str = "fp32", device: str = "CPU", threads: int = 0,
        cache: Path | None = None,
    ) -> None:  # fmt: skip
        import openvino

        core = openvino.Core()
        if precision == "bf16" and "BF16" not in core.get_property(device, "OPTIMIZATION_CAPABILITIES"):
            raise RuntimeError(f"the {device} doesn't support bfloat16")
        # "f32" leaves all types as they are in the files. "bf16" would lower everything, coordinates too.
        common: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        if device == "CPU":  # torch needs the cores too
            common |= {"ENABLE_CPU_PINNING": False, "INFERENCE_NUM_THREADS": threads or os.cpu_count() or 1}
        if cache is not None:
            common["CACHE_DIR"] = str(cache)
        self.label, self.precision = f"OpenVINO {device}", precision

        self._source, self._frame, self._generator = (
            core.compile_model(str(path), device, common).create_infer_request()
            for path in (files.source, files.frame, files.generator)
        )
        self._tensor = openvino.Tensor
        self._driving, self._bound = np.zeros(POINTS, np.float32), None
        self._frame.set_tensor("kp_driving", self._shared(self._driving))
        self._generator.set_input_tensor(self._frame.get_output_tensor())  # W writes where G reads
        self._image = np.empty(tuple(self._generator.get_output_tensor().shape), np.float32)
        self._generator.set_output_tensor(self._shared(self._image))

    def prepare(self, volume: Array, kp_source: Array) -> Any:
        """See Runner."""
        given = {
            name: np.array(values, np.float32) for name, values in (("feature_3d", volume), ("kp_source", kp_source))
        }
        for port in self._source.model_inputs:
            self._source.set_tensor(port, self._shared(given[port.any_name]))
        self._source.infer()
        for port in self._source.model_outputs:
            given[port.any_name] = np.array(self._source.get_tensor(port).data)
        return {name: self._shared(values) for name, values in given.items()}

    def warp(self, source: Any, kp_driving: Array) -> Any:
        """See Runner."""
        if self._bound is not source:
            for name, tensor in source.items():
                self._frame.set_tensor(name, tensor)
            self._bound = source
        np.copyto(self._driving, kp_driving)
        self._frame.infer()
        return self._frame.get_output_tensor()

    def draw(self, feature: Any) -> Array:
        """See Runner."""
        self._generator.infer()
        return self._image

    def _shared(self, values: Array) -> Any:
        return self._tensor(values, shared_memory=True)


def has_bfloat16() -> bool:
    """Whether OpenVINO supports bfloat16 on this CPU."""
    import openvino

    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _shape(entry: Any) -> tuple[int, ...]:
    """Static shape of a session's input or output."""
    return tuple(int(length) for length in entry.shape)
