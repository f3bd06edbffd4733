"""The LivePortrait engine with W and G on ONNX Runtime or OpenVINO; the small networks stay on PyTorch.

The first start writes the networks as ONNX files (liveportrait.networks.fast.export) into the user's cache. Execution
providers are tried in order (onnx_providers); one that can't be started, or whose test picture differs from PyTorch's,
is passed over, and one warning names all causes. Where a provider has a memory of its own, F and M run there too.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

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
from liveportrait.engines.torch import SourceFeatures, TorchEngine, _mirror_case, _test_picture
from models.registry import ModelError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from liveportrait.networks.fast.export import ExportedNetworks, Half, Sampler
    from liveportrait.networks.loading import Variant

logger = logging.getLogger(__name__)
Started = TypeVar("Started")

KEPT_SOURCES: Final = 4
"""Sources that stay prepared: so many faces of a picture can be drawn in turns."""


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
        networks: As for TorchEngine; M, W and G must be the plain ones.
        device: One of onnx_providers.DEVICES.
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
        self._half: Half | None = "fp16" if precision == "fp16" else None
        self._where, self._threads = device, threads
        self._cache = cache or default_cache()
        self._runner: Runner | None = None
        self._sources: list[tuple[SourceFeatures, Any]] = []
        self._recall: tuple[SpeedMemory, str] | None = None
        self._wanted: tuple[SourceFeatures, Tensor, Tensor] | None = None

    def remember_in(self, memory: SpeedMemory, key: str) -> None:
        """Keep what the test pictures showed under a key, and draw none where that is known."""
        self._recall = memory, key

    def warm_up(self) -> None:
        """Write the ONNX files if need be, choose the runtime by a test picture, once."""
        if self._runner is None:
            import torch

            with torch.inference_mode():
                self._runner = self._open(self._verdict)
                self._read_with(self._runner)
                self._wanted = None

    def describe(self) -> dict[str, str]:
        """As TorchEngine.describe, with the runtime."""
        self.warm_up()
        assert self._runner is not None
        return super().describe() | {"device": self._runner.label, "precision": self._runner.precision}

    def split(self, features: SourceFeatures) -> tuple[Callable[[Tensor], Any], Callable[[Any], Tensor]]:
        """See TorchEngine.split; before warm_up these are PyTorch's own. The next picture overwrites the last one."""
        runner = self._runner
        return super().split(features) if runner is None else self._parts(runner, features)

    # ------------------------------------------------------------------ parts

    def _ready(self) -> PrecisionGuard:
        """See TorchEngine; the runtime is chosen first."""
        self.warm_up()
        return super()._ready()

    def _open(self, judge: Callable[[Runner], str]) -> Runner:
        """The best runtime."""
        import onnxruntime

        names = providers_to_try(available_providers(onnxruntime), self._where)
        return first_sound(names, self._start, judge)

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
        from liveportrait.networks.generator import SPADEGenerator
        from liveportrait.networks.warping import WarpingNetwork

        if not isinstance(self._warping, WarpingNetwork) or not isinstance(self._generator, SPADEGenerator):
            raise ModelError(f"The {self.name} engine rewrites the plain warping module and generator; it got others.")
        networks = {
            "appearance_feature_extractor": self._appearance, "motion_extractor": self._motion,
            "warping_module": self._warping, "spade_generator": self._generator,
        }  # fmt: skip
        return export_networks(
            networks, self._cache, **{"sampler": sampler, "half": self._half, "say": logger.info} | how
        )  # fmt: skip

    def _read_with(self, runner: Runner) -> None:
        """Let F and M run there too, or M in its rewritten form; PyTorch's W and G are let go."""
        readers = _on_tensors(runner)
        if readers is not None:
            self._appearance, self._motion = readers  # type: ignore[assignment]
        else:
            from liveportrait.networks.fast.motion import FastMotionExtractor
            from liveportrait.networks.motion_extractor import MotionExtractor

            if isinstance(self._motion, MotionExtractor):
                self._motion = FastMotionExtractor(self._motion).eval()
        del self._warping, self._generator

    def _test_case(self) -> tuple[SourceFeatures, Tensor]:
        """A synthetic head, and the keypoints of its mirror image."""
        return _mirror_case(self._image(_test_picture()), self._appearance, self._motion)

    def _verdict(self, runner: Runner) -> str:
        """What is wrong with a runtime, or an empty string; remembered, as PyTorch's picture takes seconds."""
        name, known = f"{runner.label}, {runner.precision}", None if self._recall is None else self._known()
        if known is not None and isinstance(known.get(name), str):
            return str(known[name])
        fault = self._fault(runner)
        if known is not None and self._recall is not None:
            memory, key = self._recall
            memory.put(key, {"verdicts": {**known, name: fault}})
        return fault

    def _known(self) -> dict[str, Any]:
        """Runtimes and what was found wrong with them before."""
        assert self._recall is not None
        memory, key = self._recall
        verdicts = (memory.get(key) or {}).get("verdicts")
        return verdicts if isinstance(verdicts, dict) else {}

    def _fault(self, runner: Runner) -> str:
        """What is wrong with a runtime's test picture, or an empty string; F and M take part where they run there."""
        if self._wanted is None:  # PyTorch's own picture
            features, driving = self._test_case()
            warp, draw = super().split(features)
            self._wanted = features, driving, draw(warp(driving))
        features, driving, wanted = self._wanted
        readers = _on_tensors(runner)
        if readers is not None:
            features, driving = _mirror_case(self._image(_test_picture()), *readers)
        warp, draw = self._parts(runner, features)
        fault = picture_fault(draw(warp(driving)), wanted)
        self._sources.clear()
        return fault

    def _parts(
        self, runner: Runner, features: SourceFeatures
    ) -> tuple[Callable[[Tensor], Any], Callable[[Any], Tensor]]:
        """W and G of a runtime on one source."""
        import torch

        source = next((source for known, source in self._sources if known is features), None)
        if source is None:
            source = runner.prepare(*(x.detach().contiguous().numpy() for x in (features.volume, features.keypoints)))
            self._sources = [(features, source), *self._sources][:KEPT_SOURCES]
        return (
            lambda driving: runner.warp(source, driving.detach().numpy()),
            lambda feature: torch.from_numpy(runner.draw(feature)),
        )


def _on_tensors(runner: Runner) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], dict[str, Tensor]]] | None:
    """F and M of a runtime on PyTorch's tensors, or None if they stay with PyTorch."""
    if runner.readers is None:
        return None
    import torch

    appearance, motion = runner.readers

    def heads(image: Tensor) -> dict[str, Tensor]:
        return {name: torch.from_numpy(values) for name, values in motion(image.contiguous().numpy()).items()}

    return lambda image: torch.from_numpy(appearance(image.contiguous().numpy())), heads


class OpenVinoEngine(OnnxEngine):
    """LivePortrait with W and G on OpenVINO.

    Args:
        networks: As for OnnxEngine.
        device: "auto" and "cpu" take the processor, "gpu" Intel's graphics.
        precision: "auto" takes bfloat16 convolutions where the processor has them (float16 on Intel's graphics),
            float32 elsewhere; "fp32" is never less.
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
        half = "fp16" if self._place == "GPU" else "bf16"
        if precision == "bf16" or (precision == "auto" and (half == "fp16" or has_bfloat16())):
            self._types.insert(0, half)

    def _open(self, judge: Callable[[Runner], str]) -> Runner:
        return first_sound(self._types, self._start, judge)

    def _start(self, name: str) -> Runner:
        half = None if name == "fp32" else name
        files = self._export("gather", half=half, processor=self._place == "CPU")
        # On the processor keeping what was compiled saves half a second and takes 300 MB; a card's kernels take longer.
        compiled = self._cache / "compiled" if self._place == "GPU" else None
        return OpenVinoRunner(files, precision=name, device=self._place, threads=self._threads, cache=compiled)


def default_cache() -> Path:
    """Folder of ONNX files: beside the user's models, or below $PORTRAIT_MODELS."""
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
    from liveportrait.networks.fast.export import VERSION
    from liveportrait.networks.generator import fold_spectral_norm
    from liveportrait.networks.loading import load_networks

    files = checkpoint_files(weights, variant)
    networks = load_networks(files, convert=True)
    fold_spectral_norm(networks["spade_generator"])
    engine = kind(networks, **others)
    engine.animals = variant == "animals"
    weights_hash = fingerprint(sorted(set(files.values())))
    engine.remember_in(SpeedMemory(), speed_key(f"{kind.name} test pictures", weights_hash, export=VERSION, **others))
    return engine
