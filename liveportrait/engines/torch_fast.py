"""The LivePortrait engine on PyTorch with the rewritten networks: same weights, same images, less time.

The type of the convolutions is chosen by a timed self-test: of the types whose test image is close enough to that of
full precision, the fastest is used, and remembered (liveportrait.engines.memory). Weights are cast once; there is no
autocast, and F and M stay in full precision. On CUDA a frame is one graph (liveportrait.engines.graph); ``tune`` lets
torch.compile fuse the networks and keeps that form if it is faster.
"""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from liveportrait.engines.base import Image
from liveportrait.engines.compiled import compiled, compiler_missing, keep_compiled
from liveportrait.engines.graph import CudaRecorder, Recorder, StaticGraph, leaves, rebuilt
from liveportrait.engines.liveportrait import LivePortraitEngine
from liveportrait.engines.memory import SpeedMemory, fingerprint, speed_key
from liveportrait.engines.precision import (
    LOWEST_INT8_PSNR,
    LOWEST_PSNR,
    Precision,
    PrecisionGuard,
    judge_numbers,
    judge_pictures,
    pick_device,
    psnr,
)
from liveportrait.engines.runtime import (
    Runtime,
    SourceFeatures,
    checkpoint_files,
    mirror_case,
    place_networks,
    plain_networks,
    plain_pair,
    sample_picture,
    to_tensor,
)
from liveportrait.motion import Array
from models.registry import ModelError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from liveportrait.networks.fast.generator import FastGenerator
    from liveportrait.networks.fast.warping import FastWarping, WarpSource
    from liveportrait.networks.loading import Variant

logger = logging.getLogger(__name__)
EAGER, COMPILED = "eager", "compiled"


@dataclass(frozen=True)
class Trial:
    """One type in the self-test.

    Attributes:
        precision: "fp32", "fp16", "bf16" or "int8".
        seconds: Time of W and G for one frame.
        psnr: Of the test image against fp32, in dB; infinite for fp32 itself.
        refused: Why it can't be used, or an empty string.
    """

    precision: str
    seconds: float
    psnr: float
    refused: str = ""


class TimedGuard(PrecisionGuard):
    """Chooses the fastest type of the convolutions whose test image is close to that of full precision.

    Args:
        device: Device of the networks.
        asked: "auto" tries every type that the device supports; an explicit half precision is used if it passes,
            however slow.

    Attributes:
        trials: Results of the self-test.
    """

    takes_int8 = True

    def __init__(self, device: torch.device, asked: Precision = "auto") -> None:
        super().__init__(device, asked)
        self.trials: tuple[Trial, ...] = ()
        self._own = threading.local()

    @property
    def _modes(self) -> list[str]:
        """Nested modes of this thread; encoding a source and drawing may run concurrently."""
        modes: list[str] = self._own.__dict__.setdefault("modes", ["fp32"])
        return modes

    @property
    def active(self) -> str:
        """Type to compute in within mode()."""
        return self._modes[-1]

    def recall(self, precision: str, trials: tuple[Trial, ...]) -> None:
        """Use the result of an earlier self-test on this machine with these weights."""
        self._tested, self.precision, self.trials = True, precision, trials

    def candidates(self) -> list[str]:
        """Half precisions worth trying."""
        import torch

        if self.asked == "auto" and self.device.type == "cpu":
            from liveportrait.networks.fast.int8 import has_int8

            if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
                return []
            return ["bf16", "int8"] if has_int8() else ["bf16"]
        return super().candidates()

    @contextlib.contextmanager
    def mode(self, precision: str) -> Iterator[None]:
        """No gradients, no autocast, true float32 for float32 values; see active."""
        import torch

        exact = torch.backends.cudnn.flags(allow_tf32=False) if self.device.type == "cuda" else contextlib.nullcontext()
        self._modes.append(precision)
        try:
            with torch.inference_mode(), exact:
                yield
        finally:
            self._modes.pop()

    def self_test(self, draw: Callable[[], Tensor]) -> None:
        """Draw and time an image in every type, once, and choose.

        Args:
            draw: Draws the test image (1, 3, H, W) in 0..1.

        Raises:
            ModelError: Even full precision gives NaN.
        """
        if self._tested:
            return
        self._tested = True
        candidates = self.candidates()
        if not candidates:
            return
        full, seconds = self.timed(draw, "fp32")
        if judge_numbers(full) == "nan":
            raise ModelError("The networks give NaN even in full precision; verify the weights.")
        trials = [Trial("fp32", seconds, math.inf)]
        for precision in candidates:
            trials.append(self._trial(draw, full, precision))
        self.trials = tuple(trials)
        passed = [trial for trial in trials if not trial.refused]
        if self.asked == "auto":
            self.precision = min(passed, key=lambda trial: trial.seconds).precision
        elif passed[-1].precision == self.asked:
            self.precision = self.asked
        else:
            reason = trials[-1].refused
            logger.warning("%s fails on %s (%s); full precision is used.", self.asked, self.device, reason)

    def _trial(self, draw: Callable[[], Tensor], full: Tensor, precision: str) -> Trial:
        """Time one type and compare its image."""
        try:
            half, seconds = self.timed(draw, precision)
        except RuntimeError as error:
            return Trial(precision, math.inf, 0.0, str(error).splitlines()[0].rstrip("."))
        verdict = judge_pictures(half)
        if verdict == "nan" or verdict != judge_pictures(full):
            return Trial(precision, seconds, 0.0, "NaN" if verdict == "nan" else "a black image")
        square = float((half - full).square().mean())
        decibels = psnr(square)
        lowest = LOWEST_INT8_PSNR if precision == "int8" else LOWEST_PSNR
        refused = f"only {decibels:.1f} dB from full precision" if decibels < lowest else ""
        return Trial(precision, seconds, decibels, refused)

    def timed(self, draw: Callable[[], Tensor], precision: str, *, start: bool = False) -> tuple[Tensor, float]:
        """Image and seconds; on a GPU, or if ``start``, after one warm-up run."""
        with self.mode(precision):
            if start or self.device.type != "cpu":
                draw().cpu()
            begun = time.perf_counter()
            picture = draw().float().cpu()
            return picture, time.perf_counter() - begun


class FastRuntime(Runtime):
    """M, W and G rewritten, on PyTorch.

    Args:
        networks: As for TorchRuntime; W and G must be the original ones, whose weights are copied.
        device: As for TorchRuntime.
        precision: "auto" uses the fastest type that passes the self-test; an explicit one is used if it passes.
        threads: As for TorchRuntime.
        batch: As for TorchRuntime.

    Raises:
        ModelError: torch or the device isn't available, or a network is missing.
        ValueError: The precision is unknown.
    """

    name = "torch-fast"
    guard: TimedGuard

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        *,
        device: str = "auto",
        precision: Precision = "auto",
        threads: int = 0,
        batch: int = 0,
    ) -> None:
        where = pick_device(device)
        super().__init__(TimedGuard(where, precision), batch or (4 if where.type == "cuda" else 1))
        import torch

        from liveportrait.networks.fast.generator import FastGenerator
        from liveportrait.networks.fast.motion import FastMotionExtractor
        from liveportrait.networks.fast.warping import FastWarping
        from liveportrait.networks.motion_extractor import MotionExtractor

        if threads > 0:
            torch.set_num_threads(threads)
        rewritten = place_networks(networks, ("warping_module", "spade_generator"), torch.device("cpu"))
        read = place_networks(networks, ("appearance_feature_extractor", "motion_extractor"), where)
        self._appearance, motion = read.values()
        for parameter in self._appearance.parameters():
            if parameter.dim() == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        self._motion = FastMotionExtractor(motion) if isinstance(motion, MotionExtractor) else motion
        warping, generator = plain_pair(rewritten, self.name)
        self._pairs: dict[str, tuple[FastWarping, FastGenerator]] = {
            "fp32": (FastWarping(warping).to(where), FastGenerator(generator).to(where))
        }
        self._prepared: tuple[SourceFeatures, str, WarpSource] | None = None
        self._shape: WarpSource | None = None
        self._recall: tuple[SpeedMemory, str] | None = None
        self._form, self._form_note = EAGER, "not tried, see animate doctor --tune"
        self._recorder: Recorder | None = CudaRecorder(where) if where.type == "cuda" else None
        self._graphs: dict[str, StaticGraph] = {}

    def remember_in(self, memory: SpeedMemory, key: str) -> None:
        """Store the self-test's result under a key, and use a stored result instead of a self-test."""
        self._recall = memory, key

    def ready(self) -> PrecisionGuard:
        """See Runtime: the types are timed on a test image, W and G with a source that is prepared beforehand.

        The weights of the chosen type and of fp32 are kept.
        """
        if not self.guard.trials and self.guard.candidates() and not self._recalled():
            with self.guard.mode("fp32"):
                case = self._test_case()
            self.guard.self_test(lambda: self.draw(self.warp(*case)))
            self._keep()
            chosen = ("fp32", self.precision)
            self._pairs = {name: pair for name, pair in self._pairs.items() if name in chosen}
        return self.guard

    def appearance(self, image: Tensor) -> Tensor:
        """See Runtime."""
        volume: Tensor = self._appearance(image)
        return volume.float()

    def motion(self, image: Tensor) -> dict[str, Tensor]:
        """See Runtime."""
        return {name: tensor.float() for name, tensor in self._motion(image).items()}

    def warp(self, features: SourceFeatures, driving: Tensor) -> Any:
        """See Runtime."""
        return self._pair(self.guard.active)[0].warp(self._source(features), driving)["out"]

    def draw(self, warped: Any) -> Tensor:
        """See Runtime."""
        pictures: Tensor = self._pair(self.guard.active)[1](warped)
        return pictures

    def levels(self, features: SourceFeatures, driving: Tensor) -> tuple[Image, Array]:
        """See Runtime; conversion to uint8 happens on the device, so only a quarter of the bytes are transferred."""
        self._shape = source = self._source(features)

        def take(results: tuple[Tensor, ...]) -> tuple[Image, Array]:
            levels, peaks = (result.cpu().numpy().copy() for result in results)
            return levels, peaks

        active = self.guard.active
        if active not in self._graphs:
            self._graphs[active] = StaticGraph(self._draw_levels, self._recorder)
        return self._graphs[active](leaves(source), [driving], take)

    def details(self) -> dict[str, str]:
        """See Runtime: the self-test's results, and the form in which the networks run."""
        found = [
            f"{t.precision} {t.seconds * 1e3:.0f} ms" + (f" (refused: {t.refused})" if t.refused else "")
            for t in self.guard.trials
        ]
        own = {"self-test": ", ".join(found)} if found else {}
        own["networks"] = self._form
        if self._form == EAGER:
            own["torch.compile"] = compiler_missing(self.device.type) or self._form_note
        if self._recorder is not None:
            failed = next((graph.failed for graph in self._graphs.values() if graph.failed), "")
            own["CUDA graph"] = f"not used: {failed}" if failed else "yes"
        return own

    def tune(self) -> None:
        """Compile W and G in the chosen type, compare and time, and keep that form if it is faster; takes a minute.

        The result is remembered. If compiling is impossible, describe() says why.
        """
        self.ready()
        guard = self.guard
        if compiler_missing(self.device.type) or self._form == COMPILED:
            return
        with guard.mode(guard.precision):
            case = self._test_case()
            before, seconds = guard.timed(lambda: self.draw(self.warp(*case)), guard.precision, start=True)
            self._use(COMPILED)
            try:
                after, faster = guard.timed(lambda: self.draw(self.warp(*case)), guard.precision, start=True)
            except Exception as error:  # noqa: BLE001 - compilers fail in many ways; the eager form always works
                text = (str(error).strip().splitlines() or [type(error).__name__])[0]
                self._use(EAGER, f"failed ({text[:120]})")
            else:
                decibels = psnr(float((after - before).square().mean()))
                if decibels < LOWEST_PSNR:
                    self._use(EAGER, f"refused, {decibels:.1f} dB from the eager form")
                elif faster >= seconds:
                    self._use(EAGER, f"not faster ({faster * 1e3:.0f} ms against {seconds * 1e3:.0f} ms)")
                else:
                    self._form_note = f"{faster * 1e3:.0f} ms against {seconds * 1e3:.0f} ms"
        self._keep()

    # ------------------------------------------------------------------ parts

    def _pair(self, precision: str) -> tuple[FastWarping, FastGenerator]:
        """W and G in a type; created on first use."""
        if precision not in self._pairs:
            import copy

            import torch

            from liveportrait.networks.fast.int8 import has_int8

            if precision == "int8" and (self.device.type != "cpu" or not has_int8()):
                raise RuntimeError("it needs a processor with 8-bit products (VNNI)")
            warping, generator = copy.deepcopy(self._pairs["fp32"])
            kind = torch.float16 if precision == "fp16" else torch.bfloat16
            warping.set_type(kind)
            generator.set_type(kind)
            if precision == "int8":  # the rest of G, and W, in bfloat16
                generator.quantise(self._pairs["fp32"][1])
            self._pairs[precision] = warping, generator
        return self._pairs[precision]

    def _use(self, form: str, note: str = "") -> None:
        """Run W and G of the chosen type, eager or compiled."""
        self._form, self._form_note = form, note
        warping, generator = self._pair(self.precision)
        for module, name in ((warping, "warp"), (generator, "_pixels")):
            module.__dict__.pop(name, None)
            if form == COMPILED:
                module.__dict__[name] = compiled(getattr(module, name), self.device.type)
        self._graphs.clear()

    def _recalled(self) -> bool:
        """Use the stored type and form; returns whether there are any."""
        if self._recall is None or self.guard.asked != "auto":
            return False
        memory, key = self._recall
        known = memory.get(key)
        try:
            if known is None:
                return False
            trials = tuple(Trial(*entry) for entry in known["trials"])
            precision, form = str(known["precision"]), str(known["form"])
            if not trials or precision not in ("fp32", *self.guard.candidates()) or form not in (EAGER, COMPILED):
                return False
            note = str(known["note"])
        except (KeyError, TypeError):
            return False
        self.guard.recall(precision, trials)
        self._form_note = note
        if form == COMPILED and not compiler_missing(self.device.type):
            self._use(COMPILED, note)
        return True

    def _keep(self) -> None:
        """Store type and form."""
        if self._recall is None or self.guard.asked != "auto" or not self.guard.trials:
            return
        memory, key = self._recall
        trials = [[t.precision, round(t.seconds, 5), t.psnr, t.refused] for t in self.guard.trials]
        memory.put(
            key, {"precision": self.precision, "form": self._form, "note": self._form_note, "trials": trials}
        )  # fmt: skip

    def _test_case(self) -> tuple[SourceFeatures, Tensor]:
        """A synthetic head, and the keypoints of its mirror image."""
        return mirror_case(to_tensor(sample_picture(), self.device), self.appearance, self.motion)

    def _source(self, features: SourceFeatures) -> WarpSource:
        """The prepared source for W; the last one is cached."""
        kept, active = self._prepared, self.guard.active
        if kept is None or kept[0] is not features or kept[1] != active:
            warping = self._pair(active)[0]
            kept = self._prepared = features, active, warping.prepare(features.volume, features.keypoints)
        return kept[2]

    def _draw_levels(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """W and G for a source's tensors and the driving keypoints."""
        *fixed, driving = tensors
        warping, generator = self._pair(self.guard.active)
        return generator.levels_and_peaks(warping.warp(rebuilt(self._shape, iter(fixed)), driving)["out"])


def load_engine(weights: Path | None = None, *, variant: Variant = "human", **others: Any) -> LivePortraitEngine:
    """The engine with the official weights; arguments as for liveportrait.engines.torch.load_engine."""
    pick_device(others.get("device", "auto"))
    files = checkpoint_files(weights, variant)
    networks = plain_networks(files)
    runtime = FastRuntime(networks, **others)
    memory = SpeedMemory()
    keep_compiled(memory.path.parent / "compiled")
    weights_hash = fingerprint(sorted(set(files.values())))
    runtime.remember_in(memory, speed_key("torch-fast form", weights_hash, **{**others, "device": runtime.device}))
    return LivePortraitEngine(runtime, networks, animals=variant == "animals")
