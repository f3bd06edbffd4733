"""Device and numeric precision of torch engines: chosen once by a self-test, checked on every frame."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, TypeVar, get_args

import numpy as np
import numpy.typing as npt

from liveportrait.networks import require_torch
from models.registry import ModelError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Precision = Literal["auto", "fp32", "fp16", "bf16", "int8"]
Verdict = Literal["good", "black", "nan"]
Result = TypeVar("Result")
logger = logging.getLogger(__name__)

SELF_TEST_LIMIT: Final = 0.03
"""Mean absolute difference between half and full precision, on values of 0..1, above which half is rejected."""
LOWEST_PSNR: Final = 35.0
"""PSNR in decibels to the full-precision image below which another runtime or number format is rejected."""
LOWEST_INT8_PSNR: Final = 45.0
"""The same for 8-bit numbers, whose loss is larger."""
BLACK: Final = 1.0 / 255.0
"""An image whose highest value is below this counts as black."""


def pick_device(name: str = "auto") -> torch.device:
    """Choose the device of the networks.

    Args:
        name: "auto" (CUDA, then Apple's MPS, then the CPU), "cpu", "cuda", "cuda:1", "mps".

    Raises:
        ModelError: torch isn't installed or the device isn't available.
    """
    require_torch()
    import torch

    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda" if cuda else "mps" if mps else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ModelError(f"'{name}' is not a device; choose auto, cpu, cuda, cuda:N or mps.") from error
    here = {"cpu": True, "cuda": cuda and (device.index or 0) < torch.cuda.device_count(), "mps": mps}
    if not here.get(device.type, False):
        raise ModelError(f"The device '{name}' is not on this machine; choose another one or 'auto'.")
    return device


def psnr(mean_square: float) -> float:
    """PSNR in decibels of a mean square error between images in 0..1; infinite if they are equal."""
    return -10.0 * math.log10(mean_square) if mean_square else math.inf


def picture_fault(picture: Tensor, wanted: Tensor) -> str:
    """Fault of a runtime's test image in 0..1, as part of a sentence, or an empty string.

    Args:
        picture: The runtime's image.
        wanted: PyTorch's own image, of the same shape.
    """
    square = float((picture - wanted).square().mean())
    if not math.isfinite(square):
        return "it draws NaN"
    decibels = psnr(square)
    return f"its image is only {decibels:.1f} dB from PyTorch's" if decibels < LOWEST_PSNR else ""


def judge_numbers(*tensors: Tensor) -> Verdict:
    """Whether every value is a number."""
    return "good" if all(bool(tensor.isfinite().all()) for tensor in tensors) else "nan"


def judge_pictures(pictures: Tensor) -> Verdict:
    """Whether images (B, C, H, W) in 0..1 contain only numbers, and none of them is black."""
    return judge_peaks(pictures.amax(dim=(1, 2, 3)).float().cpu().numpy())


def judge_peaks(peaks: npt.NDArray[np.floating[Any]] | Tensor) -> Verdict:
    """The same for the highest value of each image."""
    values = np.asarray(peaks.cpu() if hasattr(peaks, "cpu") else peaks)
    if not np.isfinite(values).all():
        return "nan"
    return "good" if bool((values >= BLACK).all()) else "black"


class PrecisionGuard:
    """Uses half precision only as long as it gives valid images.

    Args:
        device: Device of the networks.
        asked: "auto" uses half precision on CUDA and MPS and full precision on the CPU; half precision, whether
            chosen or requested, must pass the self-test.

    Attributes:
        device: Device of the networks.
        asked: The requested precision.
        precision: The precision in use: "fp32", "fp16" or "bf16".

    Raises:
        ValueError: The precision is unknown.
    """

    takes_int8: ClassVar[bool] = False

    def __init__(self, device: torch.device, asked: Precision = "auto") -> None:
        known = [name for name in get_args(Precision) if self.takes_int8 or name != "int8"]
        if asked not in known:
            raise ValueError(f"This engine has no precision '{asked}'; choose one of {', '.join(known)}.")
        self.device = device
        self.asked = asked
        self.precision = "fp32"
        self._tested = False

    def candidates(self) -> list[str]:
        """Half precisions worth trying, best first."""
        import torch

        if self.asked != "auto":
            return [self.asked] if self.asked != "fp32" else []
        if self.device.type == "cuda":
            return ["fp16", "bf16"] if torch.cuda.is_bf16_supported(including_emulation=False) else ["fp16"]
        return ["fp16"] if self.device.type == "mps" else []

    def self_test(self, draw: Callable[[], Tensor]) -> None:
        """Draw an image in full and in half precision, once, and use half only if the two agree.

        Warns once if half precision is requested but fails.

        Args:
            draw: Draws the test image (1, 3, H, W) in 0..1; also initialises the device.

        Raises:
            ModelError: Even full precision gives NaN.
        """
        if self._tested:
            return
        self._tested = True
        candidates = self.candidates()
        reasons = []
        if self.device.type == "cpu" and "fp16" in candidates:
            candidates.remove("fp16")  # measured: 500 times slower than fp32, so not even worth a test image
            reasons.append("fp16: far slower than fp32 there; bf16 is the half precision of CPUs")
        if not candidates and self.device.type == "cpu":  # nothing to initialise, and every frame is checked anyway
            self._warn(reasons)
            return
        with self.mode("fp32"):
            full = draw()
        if judge_numbers(full) == "nan":
            raise ModelError("The networks give NaN even in full precision; verify the weights.")
        for candidate in candidates:
            reason = self._refusal(draw, full, candidate)
            if not reason:
                self.precision = candidate
                return
            reasons.append(f"{candidate}: {reason}")
        self._warn(reasons)

    def _warn(self, reasons: list[str]) -> None:
        if reasons:
            logger.warning("Half precision fails on %s (%s); full precision is used.", self.device, "; ".join(reasons))

    def _refusal(self, draw: Callable[[], Tensor], full: Tensor, precision: str) -> str:
        """Why a precision can't be used, or an empty string."""
        try:
            with self.mode(precision):
                half = draw()
        except RuntimeError as error:
            return str(error).splitlines()[0].rstrip(".")
        verdict = judge_pictures(half)
        if verdict == "nan" or verdict != judge_pictures(full):
            return "NaN" if verdict == "nan" else "a black image"
        difference = float((half - full).abs().mean())
        return f"an image that differs by {difference:.3f}" if difference > SELF_TEST_LIMIT else ""

    @contextlib.contextmanager
    def mode(self, precision: str) -> Iterator[None]:
        """No gradients; autocast in half precision, true float32 (no TF32) in full precision."""
        import torch

        with contextlib.ExitStack() as stack:
            stack.enter_context(torch.inference_mode())
            if precision != "fp32":
                kind = torch.float16 if precision == "fp16" else torch.bfloat16
                stack.enter_context(torch.autocast(self.device.type, dtype=kind))
            elif self.device.type == "cuda":
                stack.enter_context(torch.backends.cudnn.flags(allow_tf32=False))
            yield

    def run(self, compute: Callable[[], Result], judge: Callable[[Result], Verdict]) -> Result:
        """Compute; after an invalid result in half precision, warn once and use full precision from then on.

        Args:
            compute: Runs networks.
            judge: Judges the result.

        Raises:
            ModelError: NaN in full precision.
        """
        with self.mode(self.precision):
            result = compute()
            verdict = judge(result)
        if verdict != "good" and self.precision != "fp32":
            with self.mode("fp32"):
                result = compute()
                exact = judge(result)
            if exact != verdict:
                logger.warning(
                    "A frame came out %s in %s on %s; full precision is used from now on.",
                    "as NaN" if verdict == "nan" else "black", self.precision, self.device,
                )  # fmt: skip
                self.precision = "fp32"
            verdict = exact
        if verdict == "nan":
            raise ModelError("The networks gave NaN in full precision; verify the weights.")
        return result
