"""The LivePortrait engine with W and G on ONNX Runtime or OpenVINO; the small networks stay on PyTorch.

The first start writes the networks as ONNX files (liveportrait.networks.fast.export) into the user's cache. Execution
providers are tried in order (onnx_providers); one that can't be started, or whose test image differs from PyTorch's, is
skipped, and one warning names all causes. On providers with a memory of their own, F and M run as well.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from liveportrait.engines.liveportrait import LivePortraitEngine
from liveportrait.engines.memory import SpeedMemory, fingerprint, speed_key
from liveportrait.engines.onnx_providers import (
    ON_PROCESSOR,
    PROVIDERS,
    available_providers,
    check_provider,
    providers_to_try,
)
from liveportrait.engines.onnx_runners import OnnxRunner, OpenVinoRunner, Runner, has_bfloat16
from liveportrait.engines.precision import Precision, PrecisionGuard, picture_fault
from liveportrait.engines.runtime import (
    Runtime,
    SourceFeatures,
    checkpoint_files,
    mirror_case,
    plain_networks,
    plain_pair,
    sample_picture,
    to_tensor,
)
from liveportrait.engines.torch import TorchRuntime
from models.registry import ModelError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from liveportrait.networks.fast.export import ExportedNetworks, Half, Sampler
    from liveportrait.networks.loading import Variant

logger = logging.getLogger(__name__)
Started = TypeVar("Started")
Readers = tuple[Callable[["Tensor"], "Tensor"], Callable[["Tensor"], Mapping[str, "Tensor"]]]
"""F and M on PyTorch's tensors."""

KEPT_SOURCES: Final = 4
"""Number of sources kept prepared: so many faces of an image can be drawn alternately."""


def first_working(names: Sequence[str], start: Callable[[str], Started], judge: Callable[[Started], str]) -> Started:
    """Start the first runtime that works; one warning names those that were skipped, and why.

    Args:
        names: Runtimes, best first.
        start: Starts one by name.
        judge: Returns the fault of a started runtime's test image, or an empty string.

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
                logger.warning("Using %s: %s.", name, "; ".join(reasons))
            return runner
        reasons.append(f"{name} failed ({reason})")
    raise ModelError(f"No runtime passed the self-test: {'; '.join(reasons)}.")


class OnnxRuntime(Runtime):
    """F, M, W and G on another runtime than PyTorch, whose networks are freed once the test image matches.

    Args:
        networks: As for TorchRuntime; M, W and G must be the plain ones.
        device: One of onnx_providers.DEVICES.
        precision: "auto" and "fp32" use float32 files, "fp16" those with float16 convolutions.
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
        plain = TorchRuntime(networks, device="cpu", precision="fp32", threads=threads)
        super().__init__(plain.guard)
        self._plain: TorchRuntime | None = plain
        self._readers: Readers = plain.appearance, plain.motion
        self._half: Half | None = "fp16" if precision == "fp16" else None
        self._where, self._threads = device, threads
        self._cache = cache or default_cache()
        self._runner: Runner | None = None
        self._sources: list[tuple[SourceFeatures, Any]] = []
        self._recall: tuple[SpeedMemory, str] | None = None
        self._wanted: tuple[SourceFeatures, Tensor, Tensor] | None = None

    def remember_in(self, memory: SpeedMemory, key: str) -> None:
        """Store the results of the test images under a key, and skip tests whose result is known."""
        self._recall = memory, key

    def ready(self) -> PrecisionGuard:
        """See Runtime: the ONNX files are written if necessary, and a test image chooses the provider, once."""
        if self._plain is not None:
            import torch

            with torch.inference_mode():
                self._runner = runner = self._open(partial(self._verdict, self._plain))
                self._readers = _on_tensors(runner) or (self._plain.appearance, _fast_motion(self._plain))
            self._plain = self._wanted = None
        return self.guard

    @property
    def precision(self) -> str:
        """Type of the convolutions in use."""
        return self._started.precision

    @property
    def label(self) -> str:
        """See Runtime."""
        return self._started.label

    def appearance(self, image: Tensor) -> Tensor:
        """See Runtime."""
        return self._readers[0](image)

    def motion(self, image: Tensor) -> Mapping[str, Tensor]:
        """See Runtime."""
        return self._readers[1](image)

    def warp(self, features: SourceFeatures, driving: Tensor) -> Any:
        """See Runtime."""
        return self._warp_on(self._started, features, driving)

    def draw(self, warped: Any) -> Tensor:
        """See Runtime."""
        import torch

        return torch.from_numpy(self._started.draw(warped))

    # ------------------------------------------------------------------ parts

    @property
    def _started(self) -> Runner:
        self.ready()
        assert self._runner is not None
        return self._runner

    def _open(self, judge: Callable[[Runner], str]) -> Runner:
        """The best runtime."""
        import onnxruntime

        names = providers_to_try(available_providers(onnxruntime), self._where)
        return first_working(names, self._start, judge)

    def _start(self, name: str) -> Runner:
        import onnxruntime

        check_provider(onnxruntime, name)
        files = self._export(
            "gather" if PROVIDERS[name] == "gather" else "native",
            processor=name in ON_PROCESSOR,
            readers=name not in ON_PROCESSOR,
        )
        return OnnxRunner(files, name, self._threads, self._cache / "compiled", precision=self._half or "fp32")

    def _export(self, sampler: Sampler, **how: Any) -> ExportedNetworks:
        from liveportrait.networks.fast.export import export_networks

        assert self._plain is not None
        plain_pair(self._plain.networks, self.name)
        return export_networks(
            self._plain.networks, self._cache, **{"sampler": sampler, "half": self._half, "say": logger.info} | how
        )  # fmt: skip

    def _verdict(self, plain: TorchRuntime, runner: Runner) -> str:
        """Fault of a runtime, or an empty string; remembered, as PyTorch's image takes seconds."""
        name, known = f"{runner.label}, {runner.precision}", None if self._recall is None else self._known()
        if known is not None and isinstance(known.get(name), str):
            return str(known[name])
        fault = self._fault(plain, runner)
        if known is not None and self._recall is not None:
            memory, key = self._recall
            memory.put(key, {"verdicts": {**known, name: fault}})
        return fault

    def _known(self) -> dict[str, Any]:
        """Known runtimes and the faults found in them before."""
        assert self._recall is not None
        memory, key = self._recall
        verdicts = (memory.get(key) or {}).get("verdicts")
        return verdicts if isinstance(verdicts, dict) else {}

    def _fault(self, plain: TorchRuntime, runner: Runner) -> str:
        """Fault of a runtime's test image, or an empty string; includes F and M if they run there."""
        import torch

        image = to_tensor(sample_picture(), self.device)
        if self._wanted is None:  # PyTorch's own image
            features, driving = mirror_case(image, plain.appearance, plain.motion)
            self._wanted = features, driving, plain.draw(plain.warp(features, driving))
        features, driving, wanted = self._wanted
        if (readers := _on_tensors(runner)) is not None:
            features, driving = mirror_case(image, *readers)
        picture = runner.draw(self._warp_on(runner, features, driving))
        self._sources.clear()
        return picture_fault(torch.from_numpy(picture), wanted)

    def _warp_on(self, runner: Runner, features: SourceFeatures, driving: Tensor) -> Any:
        source = next((source for known, source in self._sources if known is features), None)
        if source is None:
            source = runner.prepare(*(x.detach().contiguous().numpy() for x in (features.volume, features.keypoints)))
            self._sources = [(features, source), *self._sources][:KEPT_SOURCES]
        return runner.warp(source, driving.detach().numpy())


def _fast_motion(plain: TorchRuntime) -> Callable[[Tensor], Mapping[str, Tensor]]:
    """M in its rewritten form, if it is the plain one."""
    from liveportrait.networks.fast.motion import FastMotionExtractor
    from liveportrait.networks.motion_extractor import MotionExtractor

    motion = plain.networks["motion_extractor"]
    return FastMotionExtractor(motion).eval() if isinstance(motion, MotionExtractor) else plain.motion


def _on_tensors(runner: Runner) -> Readers | None:
    """F and M of a runtime on PyTorch's tensors, or None if they stay with PyTorch."""
    if runner.readers is None:
        return None
    import torch

    appearance, motion = runner.readers

    def heads(image: Tensor) -> dict[str, Tensor]:
        return {name: torch.from_numpy(values) for name, values in motion(image.contiguous().numpy()).items()}

    return lambda image: torch.from_numpy(appearance(image.contiguous().numpy())), heads


class OpenVinoRuntime(OnnxRuntime):
    """W and G on OpenVINO.

    Args:
        networks: As for OnnxRuntime.
        device: "auto" and "cpu" use the CPU, "gpu" Intel's graphics.
        precision: "auto" uses bfloat16 convolutions if the CPU supports them (float16 on Intel's graphics), else
            float32; "fp32" never uses less.
        threads: As for OnnxRuntime.
        cache: As for OnnxRuntime.
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
        half = "fp16" if self._place == "GPU" else "bf16"
        if precision == "bf16" or (precision == "auto" and (half == "fp16" or has_bfloat16())):
            self._types.insert(0, half)

    def _open(self, judge: Callable[[Runner], str]) -> Runner:
        return first_working(self._types, self._start, judge)

    def _start(self, name: str) -> Runner:
        half = None if name == "fp32" else name
        files = self._export("gather", half=half, processor=self._place == "CPU")
        # On the CPU, caching the compiled networks saves only half a second and takes 300 MB; a GPU's kernels take
        # longer.
        compiled = self._cache / "compiled" if self._place == "GPU" else None
        return OpenVinoRunner(files, precision=name, device=self._place, threads=self._threads, cache=compiled)


def default_cache() -> Path:
    """Folder of ONNX files: next to the user's models, or below $PORTRAIT_MODELS."""
    from models.weights import user_folder

    return user_folder() / "onnx"


def load_engine(weights: Path | None = None, *, variant: Variant = "human", **others: Any) -> LivePortraitEngine:
    """The engine on ONNX Runtime with the official weights; arguments as for OnnxRuntime."""
    return _load(OnnxRuntime, weights, variant, others)


def load_openvino(weights: Path | None = None, *, variant: Variant = "human", **others: Any) -> LivePortraitEngine:
    """The engine on OpenVINO with the official weights; arguments as for OpenVinoRuntime."""
    return _load(OpenVinoRuntime, weights, variant, others)


def _load(
    kind: type[OnnxRuntime], weights: Path | None, variant: Variant, others: Mapping[str, Any]
) -> LivePortraitEngine:
    from liveportrait.networks.fast.export import VERSION

    files = checkpoint_files(weights, variant)
    networks = plain_networks(files)
    runtime = kind(networks, **others)
    weights_hash = fingerprint(sorted(set(files.values())))
    runtime.remember_in(SpeedMemory(), speed_key(f"{kind.name} test images", weights_hash, export=VERSION, **others))
    return LivePortraitEngine(runtime, networks, animals=variant == "animals")
