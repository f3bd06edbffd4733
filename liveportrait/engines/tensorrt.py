"""The LivePortrait engine with F, M, W and G compiled by TensorRT for the card; the small networks stay on PyTorch.

The first start writes the networks as ONNX files and compiles them (liveportrait.engines.tensorrt_build); both are
kept. The test image of the compiled networks must match PyTorch's in float32 on the same card, or they aren't used.
This engine has been tested with a stand-in for the library's runtime; it has not run on a card yet.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from liveportrait.engines.cuda_card import Card, NoCardError, card_index, find_card
from liveportrait.engines.liveportrait import LivePortraitEngine
from liveportrait.engines.onnx import default_cache, first_working
from liveportrait.engines.precision import Precision, PrecisionGuard, picture_fault
from liveportrait.engines.runtime import (
    Runtime,
    SourceFeatures,
    checkpoint_files,
    mirror_case,
    plain_networks,
    sample_picture,
    to_tensor,
)
from liveportrait.engines.tensorrt_build import BuildCancelledError, BuildStep, Cancelled, build_engine
from liveportrait.engines.tensorrt_cache import RUNTIME_SUFFIX, EngineCache, EngineKey
from liveportrait.engines.tensorrt_library import (
    FLAGS,
    FULL,
    RTX,
    TARGETS,
    Library,
    UnknownOperatorError,
    find_library,
    targets_of,
)
from liveportrait.engines.tensorrt_runtime import BoundNetwork, side_stream
from liveportrait.engines.torch import TorchRuntime
from models.messages import msg
from models.registry import ModelError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from liveportrait.networks.fast.export import Sampler
    from liveportrait.networks.loading import Variant

logger = logging.getLogger(__name__)
PARTS: Final = ("appearance", "motion", "warping", "generator")
Build = Callable[..., Path]


class EngineBuildError(RuntimeError):
    """A network can't be compiled or written; the text is one sentence for the user."""


@dataclass(frozen=True)
class Compiled:
    """The compiled networks of one precision.

    Attributes:
        files: Network (PARTS) -> its key and its engine.
    """

    files: Mapping[str, tuple[EngineKey, memoryview]]


class EngineMaker:
    """Finds compiled networks, and compiles those that are missing or out of date.

    Args:
        networks: Network name (liveportrait.networks.NAMES) -> plain module with its weights.
        library: Which TensorRT.
        targets: Acceptable targets, best first (liveportrait.engines.tensorrt_library); missing engines are compiled
            for the last one.
        exports: Folder of the ONNX files; the user's cache by default.
        cache: Cache of the compiled networks.
        say: Called with one line on each engine that is compiled.
        warn: Called with one line on each engine that is compiled again, and why.
        progress: Called with each step.
        cancelled: Checked between steps; True stops the work.
        build: Compiles one file; liveportrait.engines.tensorrt_build.build_engine by default.
    """

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        library: Library,
        targets: Sequence[str],
        *,
        exports: Path | None = None,
        cache: EngineCache | None = None,
        say: Callable[[str], None] | None = None,
        warn: Callable[[str], None] | None = None,
        progress: Callable[[BuildStep], None] | None = None,
        cancelled: Cancelled | None = None,
        build: Build = build_engine,
    ) -> None:
        self._networks, self._library, self._targets = networks, library, targets
        self._exports, self.cache = exports or default_cache(), cache or EngineCache()
        self._say, self._warn = say or logger.info, warn or logger.warning
        self._progress, self._cancelled = progress, cancelled
        self._build = build

    def get(self, precision: str, *, rebuild: bool = False) -> Compiled:
        """The compiled networks.

        Args:
            precision: Type of the convolutions of W and G, "fp32" or "fp16"; F and M are in float32.
            rebuild: Compile them even if they exist.

        Raises:
            ModelError: A package is missing, or an ONNX file can't be written.
            EngineBuildError: A network can't be compiled, or its engine can't be written.
            BuildCancelledError: It was cancelled.
        """
        try:
            return self._all(precision, "native", rebuild)
        except UnknownOperatorError as error:
            self._warn(f"{error}. W is compiled with eight gathers instead of one sampling.")
        try:
            return self._all(precision, "gather", rebuild)
        except UnknownOperatorError as error:
            raise EngineBuildError(f"{self._library.name} {self._library.version}: {error}.") from error

    def _all(self, precision: str, sampler: Sampler, rebuild: bool) -> Compiled:
        found = {}
        for number, part in enumerate(PARTS, start=1):
            self._report(part, number, "ONNX")
            onnx = self._export(part, precision, sampler)
            found[part] = self._one(part, number, precision, onnx, rebuild)
        return Compiled(found)

    def _one(self, part: str, number: int, precision: str, onnx: Path, rebuild: bool) -> tuple[EngineKey, memoryview]:
        from liveportrait.networks.fast.kept import kept_key

        own = precision if part in ("warping", "generator") else "fp32"
        source, library = onnx.stem.rpartition("-")[0], self._library
        keys = [
            EngineKey(part, own, source, kept_key(onnx), library.name, library.version, target, FLAGS)
            for target in self._targets
        ]
        found = [(key, self.cache.read(key)) for key in keys]
        for key, kept in found:
            if isinstance(kept, memoryview) and not rebuild:
                return key, kept
        # An unusable engine is compiled again for its own target; otherwise the last target has the widest use.
        key, kept = next((pair for pair in found if pair[1]), found[-1])
        if isinstance(kept, str) and kept:
            self._warn(f"The engine of the {part} network {kept}; it is compiled again.")
        else:
            self._say(f"Compiling the {part} network by {library.name} {library.version} for {key.target}.")

        def progress(phase: str, step: int, steps: int) -> None:
            self._report(part, number, phase, step, steps)

        try:
            self._build(key, onnx, self.cache, progress=progress, cancelled=self._cancelled)
        except UnknownOperatorError:
            raise
        except OSError as error:
            raise EngineBuildError(
                msg("{folder} can't be written: {reason}.", self.cache.folder, error.strerror or error)
            ) from error
        except RuntimeError as error:
            raise EngineBuildError(f"{key.library} {key.version} can't compile the {part} network: {error}.") from error
        made = self.cache.read(key)
        if isinstance(made, str):
            raise EngineBuildError(f"{self.cache.path_of(key)} {made or 'is gone'} right after it was written.")
        return key, made

    def _export(self, part: str, precision: str, sampler: Sampler) -> Path:
        """ONNX file of a network."""
        from liveportrait.networks.fast.export import export_one

        return export_one(part, self._networks, self._exports, sampler=sampler, half=precision == "fp16", say=self._say)

    def _report(self, part: str, number: int, phase: str, step: int = 0, steps: int = 0) -> None:
        if self._cancelled is not None and self._cancelled():
            raise BuildCancelledError("The build was stopped.")
        if self._progress is not None:
            self._progress(BuildStep(part, number, len(PARTS), phase, step, steps))


class CompiledNetworks:
    """F, M, W and G, compiled, on one device.

    Args:
        compiled: The networks.
        trt: Module of the library.
        device: Where they run.
        card: Name of the card and version of its driver, part of the names of cached kernels.
        cache: Cache of the engines.

    Raises:
        RuntimeError: One can't be loaded.
    """

    def __init__(self, compiled: Compiled, trt: Any, device: Any, card: Card, cache: EngineCache) -> None:
        stream = side_stream(device)

        def load(part: str, shared: Mapping[str, Tensor] | None = None) -> BoundNetwork:
            key, engine = compiled.files[part]
            about = f"{card.sm}_{card.driver[0]}_{card.driver[1]}"
            kernels = cache.path_of(key).with_suffix(f".{about}{RUNTIME_SUFFIX}")
            return BoundNetwork(trt, engine, device, stream=stream, shared=shared, kernels=kernels)

        with stream():  # makes its card the current one, onto which the library loads
            self._appearance, self._motion, self._warping = load("appearance"), load("motion"), load("warping")
            self._generator = load("generator", {"feature": self._warping.outputs["out"]})

    def appearance(self, image: Tensor) -> Tensor:
        """(1, 3, 256, 256) -> f_s (1, 32, 16, 64, 64)."""
        return self._appearance({}, {"image": image})["feature_3d"].clone()

    def motion(self, image: Tensor) -> dict[str, Tensor]:
        """(1, 3, 256, 256) -> raw heads."""
        return {name: value.clone() for name, value in self._motion({}, {"image": image}).items()}

    def warp(self, features: SourceFeatures, driving: Tensor) -> Tensor:
        """(1, 21, 3) -> (1, 256, 64, 64), the buffer that G reads."""
        fixed = {"feature_3d": features.volume, "kp_source": features.keypoints}
        return self._warping(fixed, {"kp_driving": driving})["out"]

    def draw(self, feature: Tensor) -> Tensor:
        """(1, 256, 64, 64) -> (1, 3, 512, 512) in 0..1; the next call overwrites it."""
        changing = {} if feature is self._generator.inputs["feature"] else {"feature": feature}
        return self._generator({}, changing)["image"]

    def keep_kernels(self) -> None:
        """See BoundNetwork.keep_kernels."""
        for network in (self._appearance, self._motion, self._warping, self._generator):
            network.keep_kernels()


class TensorRtRuntime(Runtime):
    """F, M, W and G compiled by TensorRT.

    Args:
        networks: As for TorchRuntime; W and G must be the plain ones.
        device: "auto", "cuda" or "cuda:N".
        precision: "auto" uses fp16 if its test image passes, else fp32; an explicit one is the only one tried.
        threads: CPU threads of PyTorch, 0 for its own choice.
        exports: Folder of the ONNX files; the user's cache by default.
        cache: Cache of the compiled networks.
        card: The card; queried from the driver by default.
        library: Which TensorRT; the one that fits the card by default.
        build: See EngineMaker.

    Raises:
        ModelError: No card, no TensorRT, or PyTorch can't use the card.
        ValueError: The precision is unknown.
    """

    name = "tensorrt"

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        *,
        device: str = "auto",
        precision: Precision = "auto",
        threads: int = 0,
        exports: Path | None = None,
        cache: EngineCache | None = None,
        card: Card | None = None,
        library: Library | None = None,
        build: Build = build_engine,
    ) -> None:
        if precision in ("bf16", "int8"):
            raise ValueError(f"The tensorrt engine has no {precision} files; choose auto, fp32 or fp16.")
        try:
            self._card = card or find_card(card_index(device))
        except NoCardError as error:
            raise ModelError(f"It needs an NVIDIA graphics card, and {error}.") from error
        self._library = library or find_library(self._card)
        where = "cuda" if device == "auto" else device
        plain = TorchRuntime(networks, device=where, precision="fp32", threads=threads)
        super().__init__(plain.guard)
        maker = EngineMaker(
            plain.networks, self._library, targets_of(self._library, self._card), exports=exports, cache=cache,
            build=build,
        )  # fmt: skip
        self._plain: tuple[TorchRuntime, EngineMaker] | None = plain, maker
        self._forms = ["fp16", "fp32"] if precision == "auto" else [precision]
        self._form = ""
        self._compiled: CompiledNetworks | None = None

    def ready(self) -> PrecisionGuard:
        """See Runtime: networks are loaded or compiled, a test image chooses the precision; PyTorch's are freed."""
        if self._plain is None:
            return self.guard
        plain, maker = self._plain
        with self.guard.mode("fp32"):
            image = to_tensor(sample_picture(), self.device)
            wanted = plain.draw(plain.warp(*mirror_case(image, plain.appearance, plain.motion)))

            def judge(compiled: CompiledNetworks) -> str:
                """Fault of the compiled networks, or an empty string."""
                own = mirror_case(image, compiled.appearance, compiled.motion)
                return picture_fault(compiled.draw(compiled.warp(*own)), wanted)

            chosen: dict[str, CompiledNetworks] = {}

            def start(form: str) -> CompiledNetworks:
                chosen[form] = self._load(maker, form)
                return chosen[form]

            compiled = first_working(self._forms, start, judge)
        self._form = next(form for form, each in chosen.items() if each is compiled)
        compiled.keep_kernels()
        self._compiled, self._plain = compiled, None
        return self.guard

    @property
    def precision(self) -> str:
        """Type of the convolutions in use."""
        self.ready()
        return self._form

    def appearance(self, image: Tensor) -> Tensor:
        """See Runtime."""
        return self._started.appearance(image)

    def motion(self, image: Tensor) -> dict[str, Tensor]:
        """See Runtime."""
        return self._started.motion(image)

    def warp(self, features: SourceFeatures, driving: Tensor) -> Tensor:
        """See Runtime."""
        return self._started.warp(features, driving)

    def draw(self, warped: Tensor) -> Tensor:
        """See Runtime."""
        return self._started.draw(warped)

    def details(self) -> dict[str, str]:
        """See Runtime: the library and the card."""
        return {
            "runtime": f"{self._library.name} {self._library.version}",
            "card": f"{self._card.name} {self._card.sm}",
        }

    # ------------------------------------------------------------------ parts

    @property
    def _started(self) -> CompiledNetworks:
        self.ready()
        assert self._compiled is not None
        return self._compiled

    def _load(self, maker: EngineMaker, form: str) -> CompiledNetworks:
        """Compiled networks on the card; those that the driver rejects are compiled once more."""
        compiled = maker.get(form)
        try:
            return CompiledNetworks(compiled, self._library.module, self.device, self._card, maker.cache)
        except RuntimeError as error:
            logger.warning("The compiled networks can't be used, because %s; they are compiled again.", error)
        compiled = maker.get(form, rebuild=True)
        return CompiledNetworks(compiled, self._library.module, self.device, self._card, maker.cache)


def load_engine(weights: Path | None = None, *, variant: Variant = "human", **others: Any) -> LivePortraitEngine:
    """The engine with the official weights; arguments as for TensorRtRuntime."""
    networks = plain_networks(checkpoint_files(weights, variant))
    return LivePortraitEngine(TensorRtRuntime(networks, **others), networks, animals=variant == "animals")


def build_engines(
    weights: Path | None = None,
    *,
    variant: Variant = "human",
    precision: str = "fp16",
    library: str = "auto",
    target: str = "",
    device: str = "auto",
    cache: EngineCache | None = None,
    exports: Path | None = None,
    rebuild: bool = False,
    say: Callable[[str], None] | None = None,
    warn: Callable[[str], None] | None = None,
    progress: Callable[[BuildStep], None] | None = None,
    cancelled: Cancelled | None = None,
) -> list[Path]:
    """Compile the networks ahead of time; with TensorRT-RTX this needs no card.

    Args:
        weights: Folder of the official weights; None uses the installed ones.
        variant: "human" or "animals".
        precision: "fp16" or "fp32".
        library: "auto", "tensorrt-rtx" or "tensorrt".
        target: One of tensorrt_library.TARGETS; empty for one that fits the installed card, or most cards.
        device: The card, "cuda:N"; "auto" works without one.
        cache: Cache of the compiled networks; the user's cache by default.
        exports: Folder of the ONNX files; the user's cache by default.
        rebuild: Compile them even if they exist.
        say: Called with one line on each engine that is compiled.
        warn: Called with one line on each engine that is compiled again, and why.
        progress: Called with each step.
        cancelled: Polled all the time; True stops the work, which leaves no partial file.

    Returns:
        The engines' files.

    Raises:
        ModelError: No library fits, or weights or packages are missing.
        EngineBuildError: Something can't be compiled or written.
        BuildCancelledError: It was cancelled.
        ValueError: There is no such precision or target.
    """
    if precision not in ("fp16", "fp32"):
        raise ValueError(f"There are no {precision} engines; choose fp16 or fp32.")
    if target and library == FULL:
        raise ValueError("TensorRT compiles for the installed card; only tensorrt-rtx lets you choose a target.")
    if target and target not in TARGETS:
        raise ValueError(f"There is no target '{target}'; tensorrt-rtx compiles for {', '.join(TARGETS)}.")
    if device.partition(":")[0] not in ("auto", "cuda"):
        raise ValueError(f"Networks can't be compiled for the device '{device}'; choose cuda or cuda:N.")
    card = None
    if not target and (library != RTX or device != "auto"):
        try:
            card = find_card(card_index(device))
        except NoCardError as error:
            if device != "auto":
                raise ModelError(f"The device '{device}' can't be used: {error}.") from error
    found = find_library(card, library)
    networks = plain_networks(checkpoint_files(weights, variant))
    targets = [target] if target else targets_of(found, card)
    maker = EngineMaker(
        networks, found, targets, exports=exports, cache=cache, say=say, warn=warn, progress=progress,
        cancelled=cancelled,
    )  # fmt: skip
    compiled = maker.get(precision, rebuild=rebuild)
    return [maker.cache.path_of(key) for key, _ in compiled.files.values()]
