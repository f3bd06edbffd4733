"""The LivePortrait engine with W and G on ONNX Runtime or OpenVINO; the small networks stay on PyTorch.

The first start writes W and G as ONNX files (liveportrait.networks.fast.export) into the user's cache. Execution
providers are tried in order; one that can't be started, or whose test picture differs from PyTorch's, is passed over,
and one warning names all causes.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import numpy as np

from liveportrait.engines.liveportrait21 import KEYPOINTS
from liveportrait.engines.precision import LOWEST_PSNR, Precision, psnr
from liveportrait.engines.torch import SourceFeatures, TorchEngine, _test_picture
from liveportrait.motion import Array
from models.registry import ModelError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from liveportrait.networks.fast.export import ExportedPair, Sampler
    from liveportrait.networks.loading import Variant

logger = logging.getLogger(__name__)
Started = TypeVar("Started")

PROVIDERS: Final[Mapping[str, str]] = {
    "NvTensorRTRTXExecutionProvider": "native",
    "CUDAExecutionProvider": "native",
    "OpenVINOExecutionProvider": "gather",
    "CoreMLExecutionProvider": "gather",
    "DmlExecutionProvider": "gather",
    "CPUExecutionProvider": "native",
}
"""Execution providers in the order in which they are tried, and the form of W that they can sample."""
DEVICES: Final[Mapping[str, tuple[str, ...]]] = {
    "auto": tuple(PROVIDERS),
    "cuda": ("NvTensorRTRTXExecutionProvider", "CUDAExecutionProvider"),
    "cpu": ("CPUExecutionProvider",),
}


class Runner(Protocol):
    """W and G on some runtime, one frame at a time."""

    label: str

    def warp(self, volume: Array, kp_source: Array, kp_driving: Array) -> Array:
        """(1, 32, 16, 64, 64), (1, 21, 3), (1, 21, 3) -> (1, 256, 64, 64), all float32."""
        ...

    def draw(self, feature: Array) -> Array:
        """(1, 256, 64, 64) -> (1, 3, 512, 512) float32 in 0..1."""
        ...


class OnnxRunner:
    """W and G on ONNX Runtime.

    Args:
        pair: Files of W and G.
        provider: Execution provider; the CPU one takes what it can't run.
        threads: CPU threads, 0 for the runtime's choice.

    Raises:
        RuntimeError: The provider can't be started.
    """

    def __init__(self, pair: ExportedPair, provider: str, threads: int = 0) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        wanted = [provider] if provider == "CPUExecutionProvider" else [provider, "CPUExecutionProvider"]
        self.label = provider
        self._sessions = []
        for path in (pair.warping, pair.generator):
            session = onnxruntime.InferenceSession(str(path), options, providers=wanted)
            if provider not in session.get_providers():  # the runtime falls back without an error
                raise RuntimeError("it can't be started; its driver or libraries are missing or of another version")
            self._sessions.append(session)

    def warp(self, volume: Array, kp_source: Array, kp_driving: Array) -> Array:
        """See Runner."""
        given = {"feature_3d": volume, "kp_source": kp_source, "kp_driving": kp_driving}
        return np.asarray(self._sessions[0].run(None, given)[0])

    def draw(self, feature: Array) -> Array:
        """See Runner."""
        return np.asarray(self._sessions[1].run(None, {"feature": feature})[0])


class OpenVinoRunner:
    """W and G on OpenVINO.

    W runs in float32, because a lower type would reach its coordinates; G takes bfloat16 if asked.

    Args:
        pair: Files of W and G in the form "gather".
        half: Let G run in bfloat16 where the processor has it.
        device: OpenVINO's name of the device.
        threads: CPU threads, 0 for the runtime's choice.
    """

    def __init__(self, pair: ExportedPair, *, half: bool, device: str = "CPU", threads: int = 0) -> None:
        import openvino

        core = openvino.Core()
        common: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,
        }  # torch needs the cores too
        if threads:
            common["INFERENCE_NUM_THREADS"] = threads
        self.label = f"OpenVINO {device}, W in fp32, G in {'bf16' if half else 'fp32'}"
        self._warping = core.compile_model(str(pair.warping), device, common | {"INFERENCE_PRECISION_HINT": "f32"})
        precision = "bf16" if half else "f32"
        self._generator = core.compile_model(
            str(pair.generator), device, common | {"INFERENCE_PRECISION_HINT": precision}
        )

    def warp(self, volume: Array, kp_source: Array, kp_driving: Array) -> Array:
        """See Runner."""
        given = {"feature_3d": volume, "kp_source": kp_source, "kp_driving": kp_driving}
        return np.array(self._warping(given)[0], np.float32)

    def draw(self, feature: Array) -> Array:
        """See Runner."""
        return np.array(self._generator({"feature": feature})[0], np.float32)


def providers_to_try(available: Sequence[str], device: str = "auto") -> list[str]:
    """Execution providers worth trying, best first.

    Args:
        available: What the installed ONNX Runtime was built with.
        device: One of DEVICES.

    Raises:
        ModelError: None of them is available.
    """
    if device not in DEVICES:
        raise ModelError(f"The onnx engine doesn't know the device '{device}'; choose one of {', '.join(DEVICES)}.")
    found = [name for name in DEVICES[device] if name in available]
    if not found:
        raise ModelError(
            f"The installed ONNX Runtime has no provider for '{device}' (it has {', '.join(available) or 'none'})."
        )
    return found


def first_sound(names: Sequence[str], start: Callable[[str], Started], judge: Callable[[Started], str]) -> Started:
    """Start the first runtime that works; one warning names those that were passed over, and why.

    Args:
        names: Runtimes, best first.
        start: Starts one by name.
        judge: What is wrong with the picture of one, or an empty string.

    Raises:
        ModelError: None works.
    """
    reasons: list[str] = []
    for name in names:
        try:
            runner = start(name)
            reason = judge(runner)
        except (RuntimeError, ValueError, OSError, ImportError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        if not reason:
            if reasons:
                logger.warning("%s is used: %s.", name, "; ".join(reasons))
            return runner
        reasons.append(f"not {name}, because {reason}")
    raise ModelError(f"No runtime draws a sound picture: {'; '.join(reasons)}.")


class OnnxEngine(TorchEngine):
    """LivePortrait with W and G on another runtime.

    Args:
        networks: As for TorchEngine; W and G must be the plain ones.
        device: One of DEVICES.
        precision: "auto" and "fp32" take float32 files, "fp16" those with float16 convolutions.
        threads: CPU threads, 0 for the runtimes' choice.
        cache: Folder of the ONNX files; the user's cache by default.

    Raises:
        ModelError: A package is missing, or no runtime works.
    """

    name = "onnx"

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        *,
        device: str = "auto",
        precision: Precision = "auto",
        threads: int = 0,
        cache: Path | None = None,
    ) -> None:
        if precision in ("bf16", "int8"):
            raise ValueError(f"The onnx engine has no {precision} files; choose auto, fp32 or fp16.")
        super().__init__(networks, device="cpu", precision="fp32", threads=threads, batch=1)
        self._half = precision == "fp16"
        self._where, self._threads = device, threads
        self._cache = cache or default_cache()
        self._runner: Runner | None = None

    def warm_up(self) -> None:
        """Write the ONNX files if need be, choose the runtime by a test picture, once."""
        if self._runner is None:
            import torch

            with torch.inference_mode():
                features, driving = self._test_case()
                wanted = super()._draw(features, driving)
                self._runner = self._open(lambda runner: self._fault(runner, features, driving, wanted))

    def describe(self) -> dict[str, str]:
        """As TorchEngine.describe, with the runtime."""
        self.warm_up()
        assert self._runner is not None
        return super().describe() | {"device": self._runner.label}

    # ------------------------------------------------------------------ parts

    def _open(self, judge: Callable[[Runner], str]) -> Runner:
        """The best runtime."""
        import onnxruntime

        names = providers_to_try(onnxruntime.get_available_providers(), self._where)
        return first_sound(names, self._start, judge)

    def _start(self, name: str) -> Runner:
        return OnnxRunner(self._export("gather" if PROVIDERS[name] == "gather" else "native"), name, self._threads)

    def _export(self, sampler: Sampler) -> ExportedPair:
        from liveportrait.networks.fast.export import export_pair
        from liveportrait.networks.generator import SPADEGenerator
        from liveportrait.networks.warping import WarpingNetwork

        warping, generator = self._warping, self._generator
        if not isinstance(warping, WarpingNetwork) or not isinstance(generator, SPADEGenerator):
            raise ModelError(f"The {self.name} engine rewrites the plain warping module and generator; it got others.")
        return export_pair(warping, generator, self._cache, sampler=sampler, half=self._half, say=logger.info)

    def _test_case(self) -> tuple[SourceFeatures, Tensor]:
        """A synthetic head, and the keypoints of its mirror image."""
        image = self._image(_test_picture())
        pair = (self._motion(image), self._motion(image.flip(-1)))
        source, driving = (heads["scale"][..., None] * heads["kp"].reshape(1, KEYPOINTS, 3) for heads in pair)
        return SourceFeatures(self._appearance(image), source), driving

    def _fault(self, runner: Runner, features: SourceFeatures, driving: Tensor, wanted: Tensor) -> str:
        """What is wrong with a runtime's test picture, or an empty string."""
        difference = self._run(runner, features, driving) - wanted
        square = float(difference.square().mean())
        if not math.isfinite(square):
            return "it draws NaN"
        decibels = psnr(square)
        return f"its picture is only {decibels:.1f} dB from PyTorch's" if decibels < LOWEST_PSNR else ""

    def _draw(self, features: SourceFeatures, driving: Tensor) -> Tensor:
        """(1, 3, 512, 512) float32 RGB, 0..1."""
        self.warm_up()
        assert self._runner is not None
        return self._run(self._runner, features, driving)

    @staticmethod
    def _run(runner: Runner, features: SourceFeatures, driving: Tensor) -> Tensor:
        import torch

        given = (tensor.detach().contiguous().numpy() for tensor in (features.volume, features.keypoints, driving))
        return torch.from_numpy(runner.draw(runner.warp(*given)))


class OpenVinoEngine(OnnxEngine):
    """LivePortrait with W and G on OpenVINO.

    Args:
        networks: As for OnnxEngine.
        device: "auto" and "cpu" take the processor, "gpu" Intel's graphics.
        precision: "auto" and "bf16" let G run in bfloat16 where the processor has it; "fp32" doesn't.
        threads: As for OnnxEngine.
        cache: As for OnnxEngine.
    """

    name = "openvino"

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        *,
        device: str = "auto",
        precision: Precision = "auto",
        threads: int = 0,
        cache: Path | None = None,
    ) -> None:
        if precision in ("fp16", "int8"):
            raise ValueError("The openvino engine runs in bf16 or fp32.")
        super().__init__(networks, threads=threads, cache=cache)
        self._place, self._types = ("GPU" if device == "gpu" else "CPU"), ["fp32"]
        if precision != "fp32":
            self._types.insert(0, "bf16")

    def _open(self, judge: Callable[[Runner], str]) -> Runner:
        return first_sound(self._types, self._start, judge)

    def _start(self, name: str) -> Runner:
        return OpenVinoRunner(self._export("gather"), half=name == "bf16", device=self._place, threads=self._threads)


def default_cache() -> Path:
    """Folder of ONNX files: beside the models in the user's cache, or below $PORTRAIT_MODELS."""
    from models.weights import user_folder

    return user_folder() / "onnx"


def load_engine(weights: Path | None = None, *, variant: Variant = "human", **others: Any) -> OnnxEngine:
    """The engine on ONNX Runtime with the official weights; arguments as those of OnnxEngine."""
    return _load(OnnxEngine, weights, variant, others)


def load_openvino(weights: Path | None = None, *, variant: Variant = "human", **others: Any) -> OnnxEngine:
    """The engine on OpenVINO with the official weights; arguments as those of OpenVinoEngine."""
    return _load(OpenVinoEngine, weights, variant, others)


def _load(kind: type[OnnxEngine], weights: Path | None, variant: Variant, others: Mapping[str, Any]) -> OnnxEngine:
    from liveportrait.engines.torch_fast import checkpoint_files
    from liveportrait.networks.generator import fold_spectral_norm
    from liveportrait.networks.loading import load_networks

    networks = load_networks(checkpoint_files(weights, variant), convert=True)
    fold_spectral_norm(networks["spade_generator"])
    engine = kind(networks, **others)
    engine.animals = variant == "animals"
    return engine
