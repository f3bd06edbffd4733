"""ONNX Runtime's execution providers: the order in which they are tried, how each is opened, and why one can't be.

TensorRT-RTX is a plug-in (package onnxruntime-ep-nv-tensorrt-rtx) that is registered with ONNX Runtime; the others are
part of its builds. ONNX Runtime silently continues without a provider that it can't start; here that is an error whose
text names the cause: a missing library, the driver, or the card.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import io
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from liveportrait.engines.cuda_card import NoCardError, find_card
from models.registry import ModelError

CPU: Final = "CPUExecutionProvider"
CUDA: Final = "CUDAExecutionProvider"
DIRECTML: Final = "DmlExecutionProvider"
RTX: Final = "NvTensorRTRTXExecutionProvider"
PROVIDERS: Final[Mapping[str, str]] = {
    RTX: "native",
    CUDA: "native",
    "OpenVINOExecutionProvider": "gather",
    "CoreMLExecutionProvider": "gather",
    DIRECTML: "gather",
    CPU: "native",
}
"""Execution providers in the order in which they are tried, and the form of W's sampling that they support."""
ON_PROCESSOR: Final = ("OpenVINOExecutionProvider", CPU)
"""Providers that use the CPU and its memory; F and M stay on PyTorch there, whose rewritten M is just as fast."""
DEVICES: Final[Mapping[str, tuple[str, ...]]] = {
    "auto": tuple(PROVIDERS),
    "cuda": (RTX, CUDA),
    "cpu": (CPU,),
}
PLUGINS: Final[Mapping[str, str]] = {RTX: "onnxruntime_ep_nv_tensorrt_rtx"}
"""Provider -> package that contains its library."""
OPTIONS: Final[Mapping[str, Mapping[str, str]]] = {
    # All runs have the same shapes, so the most thorough kernel search pays off; float32 stays float32.
    CUDA: {"cudnn_conv_algo_search": "EXHAUSTIVE", "cudnn_conv_use_max_workspace": "1", "use_tf32": "0"},
    # Types as in the file: the Neural Engine and the older model format compute in float16, OpenVINO by default in
    # bfloat16 if the CPU supports it, and both would affect coordinates.
    "CoreMLExecutionProvider": {
        "ModelFormat": "MLProgram", "MLComputeUnits": "CPUAndGPU", "RequireStaticInputShapes": "1",
    },
    "OpenVINOExecutionProvider": {"precision": "ACCURACY"},
}  # fmt: skip
"""Provider -> options that differ from its own defaults or matter here. CUDA graphs stay off: they require every node
to run on the card, which has not been tested."""
RUNTIME_CACHE: Final = {RTX: "nv_runtime_cache_path", "CoreMLExecutionProvider": "ModelCacheDirectory"}
"""Provider -> option for the folder of compiled kernels."""
QUIET, NORMAL = 4, 2
"""Severities of ONNX Runtime's log: fatal errors only, and its default."""
LIBRARIES: Final = {
    "cudart": "CUDA", "cublas": "CUDA", "cufft": "CUDA", "curand": "CUDA", "nvrtc": "CUDA", "cudnn": "cuDNN",
}  # fmt: skip
NVIDIA: Final = 0x10DE
"""NVIDIA's PCI vendor number."""

Load = Callable[[str], Any]


@contextlib.contextmanager
def runtime_errors() -> Iterator[None]:
    """Convert ONNX Runtime's errors, which have no common base class, to RuntimeError; also a decorator."""
    try:
        yield
    except Exception as error:
        if type(error).__module__.startswith("onnxruntime"):
            raise RuntimeError(_first_line(error)) from error
        raise


def providers_to_try(available: Sequence[str], device: str = "auto") -> list[str]:
    """Execution providers worth trying, best first.

    Args:
        available: See available_providers.
        device: One of DEVICES.

    Raises:
        ModelError: None of them is available.
    """
    if device not in DEVICES:
        raise ModelError(f"The onnx engine doesn't support the device '{device}'; choose one of {', '.join(DEVICES)}.")
    found = [name for name in DEVICES[device] if name in available]
    if not found:
        raise ModelError(
            f"The installed ONNX Runtime has no provider for '{device}' (it has {', '.join(available) or 'none'})."
        )
    return found


def available_providers(runtime: Any) -> list[str]:
    """Providers of the installed ONNX Runtime, and plug-ins whose package is installed.

    Args:
        runtime: The module onnxruntime.
    """
    plugins = [name for name, package in PLUGINS.items() if importlib.util.find_spec(package) is not None]
    own = list(runtime.get_available_providers())
    takes_plugins = hasattr(runtime, "register_execution_provider_library")
    return own + [name for name in plugins if takes_plugins and name not in own]


@runtime_errors()
def open_session(
    runtime: Any, path: Path, provider: str, threads: int = 0, cache: Path | None = None, load: Load = ctypes.CDLL
) -> Any:
    """Open a file with a provider; the CPU provider runs what the other one can't.

    Args:
        runtime: The module onnxruntime.
        path: The ONNX file.
        provider: One of PROVIDERS.
        threads: CPU threads, 0 for the runtime's choice.
        cache: Folder for compiled kernels.
        load: Loads a library, to find out why a provider can't be started.

    Raises:
        RuntimeError: The provider can't be started; the text is the reason, as part of a sentence.
    """
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.enable_mem_pattern = provider != DIRECTML  # its documentation asks for this
    own = dict(OPTIONS.get(provider, {}))
    if cache is not None and provider in RUNTIME_CACHE:
        cache.mkdir(parents=True, exist_ok=True)
        own[RUNTIME_CACHE[provider]] = str(cache)
    with quiet(runtime):
        if provider in PLUGINS and provider not in runtime.get_available_providers():
            options.add_provider_for_devices(plugin_devices(runtime, provider), own)
            session = runtime.InferenceSession(str(path), options)
        else:
            if provider == CUDA:
                preload_cuda(runtime)
            wanted: list[Any] = [(provider, own) if own else provider]
            wanted += [CPU] if provider != CPU else []
            session = runtime.InferenceSession(str(path), options, providers=wanted)
    if provider not in session.get_providers():  # the runtime falls back without an error
        fault = cuda_fault(runtime, load) if provider == CUDA else ""
        raise RuntimeError(fault or "ONNX Runtime could not start it; its driver or libraries have the wrong version")
    return session


def check_provider(runtime: Any, provider: str, load: Load = ctypes.CDLL) -> None:
    """Check the requirements of a provider before networks are exported for it.

    Args:
        runtime: The module onnxruntime.
        provider: One of PROVIDERS.
        load: See open_session.

    Raises:
        RuntimeError: Something is missing; the text names it, as part of a sentence.
    """
    with quiet(runtime):
        if provider in PLUGINS and provider not in runtime.get_available_providers():
            plugin_devices(runtime, provider)
        elif provider == CUDA:
            preload_cuda(runtime)
            if fault := cuda_fault(runtime, load):
                raise RuntimeError(fault)


def plugin_devices(runtime: Any, provider: str) -> list[Any]:
    """Devices of a plug-in, which is registered first if necessary.

    Args:
        runtime: The module onnxruntime.
        provider: One of PLUGINS.

    Raises:
        RuntimeError: It can't be registered, or finds no device.
    """
    if not any(device.ep_name == provider for device in runtime.get_ep_devices()):
        package = importlib.import_module(PLUGINS[provider])
        try:
            runtime.register_execution_provider_library(provider, package.get_library_path())
        except Exception as error:  # ONNX Runtime's errors have no public base class
            if "already registered" not in str(error):
                raise RuntimeError(missing_library(str(error)) or _first_line(error)) from error
    devices = [device for device in runtime.get_ep_devices() if device.ep_name == provider]
    if not devices:
        raise RuntimeError("it finds no usable card")
    return devices[:1]


def preload_cuda(runtime: Any) -> None:
    """Load CUDA and cuDNN from PyTorch's or NVIDIA's packages, so that the provider finds them; prints nothing."""
    if hasattr(runtime, "preload_dlls"):
        with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(Exception):
            runtime.preload_dlls()


def cuda_fault(runtime: Any, load: Load = ctypes.CDLL) -> str:
    """What ONNX Runtime's CUDA provider lacks, as part of a sentence; empty if libraries, driver and card are present.

    Args:
        runtime: The module onnxruntime.
        load: Loads a library, or raises OSError as ctypes does.
    """
    faults = []
    try:
        load(str(cuda_library(runtime)))
    except OSError as error:
        faults.append(
            missing_library(str(error), str(getattr(runtime, "cuda_version", "") or "")) or _first_line(error)
        )
    try:
        card = find_card(load=load)
    except NoCardError as error:
        if "no NVIDIA driver is installed" not in faults:
            faults.append(str(error))
    else:
        needed = re.match(r"(\d+)", str(getattr(runtime, "cuda_version", "") or ""))
        if not faults and needed is not None and card.driver[0] < int(needed[1]):
            known = ".".join(map(str, card.driver))
            faults.append(
                f"the driver of {card.name} supports CUDA {known}, but this ONNX Runtime needs CUDA {needed[1]}"
            )
    return ", and ".join(reversed(faults))


def cuda_library(runtime: Any) -> Path:
    """Location of ONNX Runtime's CUDA provider."""
    name = "onnxruntime_providers_cuda.dll" if sys.platform == "win32" else "libonnxruntime_providers_cuda.so"
    return Path(str(runtime.__file__)).parent / "capi" / name


def missing_library(text: str, version: str = "") -> str:
    """Meaning of a dynamic linker's message, as part of a sentence, or an empty string.

    Args:
        text: Such as "libcublasLt.so.13: cannot open shared object file: No such file or directory".
        version: Required CUDA version, if known.
    """
    found = re.search(r"([\w.+-]+): cannot open shared object", text)
    name = found[1] if found is not None else ""
    if found is None:
        found = re.search(r"Could not find module '([^']+)'", text)
        if found is None:
            return ""
        module = re.split(r"[\\/]", found[1])[-1]
        return f"a library that {module} needs is missing (this ONNX Runtime needs CUDA {version} and cuDNN)"
    if name.startswith("libcuda.so"):
        return "no NVIDIA driver is installed"
    number = name.partition(".so.")[2].partition(".")[0]
    kind = next((kind for key, kind in LIBRARIES.items() if key in name), "")
    if not kind:
        return f"{name} is missing"
    needed = version.partition(".")[0] if kind == "CUDA" and version else number
    return f"{name} is missing (this ONNX Runtime needs {kind} {needed})"


@contextlib.contextmanager
def quiet(runtime: Any) -> Iterator[None]:
    """Suppress ONNX Runtime's own log lines on problems that are reported in one sentence here."""
    set_severity = getattr(runtime, "set_default_logger_severity", None)
    if set_severity is not None:
        set_severity(QUIET)
    try:
        yield
    finally:
        if set_severity is not None:
            set_severity(NORMAL)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
