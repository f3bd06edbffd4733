"""The LivePortrait engine on PyTorch with the rewritten networks: same weights, same pictures, less time.

The type of the convolutions is found by a timed self-test: of the types whose test picture is close enough to that of
full precision, the fastest is taken. Weights are cast once; there is no autocast, and F and M stay in full precision.
"""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from liveportrait.engines.liveportrait21 import KEYPOINTS
from liveportrait.engines.precision import LOWEST_PSNR, Precision, PrecisionGuard, judge_numbers, judge_pictures, psnr
from liveportrait.engines.torch import SourceFeatures, TorchEngine, _test_picture
from models.registry import ModelError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from liveportrait.networks.fast.generator import FastGenerator
    from liveportrait.networks.fast.warping import FastWarping, WarpSource
    from liveportrait.networks.loading import Variant

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trial:
    """One type in the self-test.

    Attributes:
        precision: "fp32", "fp16" or "bf16".
        seconds: Time of W and G for one frame.
        psnr: Of the test picture against fp32, in dB; infinite for fp32 itself.
        refused: Why it can't be taken, or an empty string.
    """

    precision: str
    seconds: float
    psnr: float
    refused: str = ""


class TimedGuard(PrecisionGuard):
    """Takes the fastest type of the convolutions whose test picture is close to that of full precision.

    Args:
        device: Where the networks run.
        asked: "auto" tries every type that the device has; a named half precision is taken if it passes, however slow.

    Attributes:
        trials: What the self-test found.
    """

    def __init__(self, device: torch.device, asked: Precision = "auto") -> None:
        super().__init__(device, asked)
        self.trials: tuple[Trial, ...] = ()
        self._modes = ["fp32"]

    @property
    def active(self) -> str:
        """Type to compute in, inside of mode()."""
        return self._modes[-1]

    def candidates(self) -> list[str]:
        """Half precisions worth trying."""
        import torch

        if self.asked == "auto" and self.device.type == "cpu":
            return ["bf16"] if torch.ops.mkldnn._is_mkldnn_bf16_supported() else []
        return super().candidates()

    @contextlib.contextmanager
    def mode(self, precision: str) -> Iterator[None]:
        """No gradients, no autocast, true float32 for what is float32; see active."""
        import torch

        exact = torch.backends.cudnn.flags(allow_tf32=False) if self.device.type == "cuda" else contextlib.nullcontext()
        self._modes.append(precision)
        try:
            with torch.inference_mode(), exact:
                yield
        finally:
            self._modes.pop()

    def self_test(self, draw: Callable[[], Tensor]) -> None:
        """Draw and time a picture in every type, once, and choose.

        Args:
            draw: Draws the test picture (1, 3, H, W) in 0..1.

        Raises:
            ModelError: Not even full precision gives numbers.
        """
        if self._tested:
            return
        self._tested = True
        candidates = self.candidates()
        if not candidates:
            return
        full, seconds = self._timed(draw, "fp32")
        if judge_numbers(full) == "nan":
            raise ModelError("The networks give no picture even in full precision; verify the weights.")
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
        """Time one type and compare its picture."""
        try:
            half, seconds = self._timed(draw, precision)
        except RuntimeError as error:
            return Trial(precision, math.inf, 0.0, str(error).splitlines()[0].rstrip("."))
        verdict = judge_pictures(half)
        if verdict == "nan" or verdict != judge_pictures(full):
            return Trial(precision, seconds, 0.0, "NaN" if verdict == "nan" else "a black picture")
        square = float((half - full).square().mean())
        decibels = psnr(square)
        refused = f"only {decibels:.1f} dB from full precision" if decibels < LOWEST_PSNR else ""
        return Trial(precision, seconds, decibels, refused)

    def _timed(self, draw: Callable[[], Tensor], precision: str) -> tuple[Tensor, float]:
        """Picture and seconds; on a GPU after one run that starts it up."""
        with self.mode(precision):
            if self.device.type != "cpu":
                draw().cpu()
            start = time.perf_counter()
            picture = draw().float().cpu()
            return picture, time.perf_counter() - start


class TorchFastEngine(TorchEngine):
    """LivePortrait on PyTorch with the rewritten W and G.

    Args:
        networks: As for TorchEngine; W and G must be the plain ones, whose weights are copied.
        device: As for TorchEngine.
        precision: "auto" takes the fastest type that passes the self-test; a named one is taken if it passes.
        others: As for TorchEngine.

    Raises:
        ModelError: torch or the device isn't here, or a network is missing.
        ValueError: The precision is unknown.
    """

    name = "torch-fast"

    def __init__(
        self, networks: Mapping[str, nn.Module], *, device: str = "auto", precision: Precision = "auto", **others: Any
    ) -> None:
        super().__init__(networks, device=device, precision="fp32", **others)
        import torch

        from liveportrait.networks.fast.generator import FastGenerator
        from liveportrait.networks.fast.warping import FastWarping
        from liveportrait.networks.generator import SPADEGenerator
        from liveportrait.networks.warping import WarpingNetwork

        warping, generator = self._warping, self._generator
        if not isinstance(warping, WarpingNetwork) or not isinstance(generator, SPADEGenerator):
            raise ModelError("The torch-fast engine rewrites the plain warping module and generator; it got others.")
        del self._warping, self._generator
        for module in (self._appearance, self._motion):
            for parameter in module.parameters():
                if parameter.dim() == 4:
                    parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        self._guard: TimedGuard = TimedGuard(self.device, precision)
        full = FastWarping(warping.cpu()), FastGenerator(generator.cpu())
        self._pairs: dict[str, tuple[FastWarping, FastGenerator]] = {
            "fp32": (full[0].to(self.device), full[1].to(self.device))
        }
        self._prepared: tuple[SourceFeatures, WarpSource] | None = None

    def warm_up(self) -> None:
        """Time the types on a test picture and choose, once; then keep the weights of the chosen one and of fp32."""
        self._ready()
        chosen = ("fp32", self.precision)
        self._pairs = {name: pair for name, pair in self._pairs.items() if name in chosen}

    def describe(self) -> dict[str, str]:
        """As TorchEngine.describe, with what the self-test found."""
        own = super().describe()
        found = [
            f"{t.precision} {t.seconds * 1e3:.0f} ms" + (f" (refused: {t.refused})" if t.refused else "")
            for t in self._guard.trials
        ]
        return own | ({"self-test": ", ".join(found)} if found else {})

    # ------------------------------------------------------------------ parts

    def _pair(self, precision: str) -> tuple[FastWarping, FastGenerator]:
        """W and G in a type; made when first asked for."""
        if precision not in self._pairs:
            import copy

            import torch

            warping, generator = copy.deepcopy(self._pairs["fp32"])
            kind = torch.float16 if precision == "fp16" else torch.bfloat16
            warping.set_type(kind)
            generator.set_type(kind)
            self._pairs[precision] = warping, generator
        return self._pairs[precision]

    def _ready(self) -> PrecisionGuard:
        """The guard, after its self-test: W and G on one source, prepared outside of the timing."""
        if not self._guard.trials and self._guard.candidates():
            with self._guard.mode("fp32"):
                features, driving = self._test_case()
            self._guard.self_test(lambda: self._draw(features, driving))
        return self._guard

    def _test_case(self) -> tuple[SourceFeatures, Tensor]:
        """A synthetic head, and the keypoints of its mirror image."""
        image = self._image(_test_picture())
        pair = (self._motion(image), self._motion(image.flip(-1)))
        source, driving = (heads["scale"][..., None] * heads["kp"].reshape(1, KEYPOINTS, 3) for heads in pair)
        return SourceFeatures(self._appearance(image).float(), source.float()), driving.float()

    def _draw(self, features: SourceFeatures, driving: Tensor) -> Tensor:
        """(B, 3, 512, 512) float32 RGB, 0..1."""
        warp, draw = self.split(features)
        return draw(warp(driving))

    def split(self, features: SourceFeatures) -> tuple[Callable[[Tensor], Any], Callable[[Any], Tensor]]:
        """See TorchEngine.split."""
        warping, generator = self._pair(self._guard.active)
        if self._prepared is None or self._prepared[0] is not features:
            self._prepared = features, warping.prepare(features.volume, features.keypoints)
        prepared = self._prepared[1]
        return (lambda driving: warping.warp(prepared, driving)["out"]), generator


def load_engine(weights: Path | None = None, *, variant: Variant = "human", **others: Any) -> TorchFastEngine:
    """The engine with the official weights; arguments as those of liveportrait.engines.torch.load_engine."""
    engine = TorchFastEngine.from_checkpoints(checkpoint_files(weights, variant), **others)
    assert isinstance(engine, TorchFastEngine)
    engine.animals = variant == "animals"
    return engine


def checkpoint_files(weights: Path | None, variant: Variant) -> dict[str, Path]:
    """Network name -> file, in a folder or as installed.

    Args:
        weights: Folder (liveportrait.networks.loading.find_checkpoints); None takes the installed ones.
        variant: "human" or "animals".

    Raises:
        ModelError: A file is missing.
    """
    from liveportrait.networks.loading import find_checkpoints

    if weights is not None:
        return find_checkpoints(weights, variant)
    from models.weights import find_model

    *base, shared = find_model(f"liveportrait/{variant}")
    return {path.stem: path for path in base} | dict.fromkeys(("stitching", "eye", "lip"), shared)
