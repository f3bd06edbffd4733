"""A training loop that can be killed at any moment and resumes as if it hadn't been.

Every random choice depends only on the seed and the step: batches are requested by step, and torch's generator is
seeded again for each. A checkpoint (network, optimizer, moving average, step, sums since the last row of the log)
appears complete or not at all; on resuming, the log is cut back to it. On one machine with a fixed number of threads,
an interrupted run logs the same numbers, bit for bit, as an uninterrupted one.
"""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from models.files import written_whole
from training.curves import draw_curves
from training.log import append_row, cut_log, read_log

CHECKPOINT: Final = "checkpoint.pt"
LOG: Final = "log.jsonl"
CURVES: Final = "curves.png"
VERSION: Final = 1
SEEDS: Final = 1_000_003
"""Prime factor that separates the seeds of neighbouring steps and of different runs."""


class TrainingError(ValueError):
    """Training can't start or continue; the text is one sentence for the user."""


@dataclass(frozen=True)
class TrainerConfig:
    """Settings of a run.

    Attributes:
        steps: Optimizer steps in all.
        lr: Highest learning rate.
        final_lr: Share of it at the end of the cosine.
        warmup: Steps of linear warm-up.
        weight_decay: Weight decay of weights with two or more axes; norms and biases have none.
        optimizer: "adamw" or "sgd" (Nesterov momentum 0.9).
        clip: Largest norm of the gradient; 0 does not clip.
        ema: Decay of the moving average of the weights, which is evaluated and exported; 0 for none.
        seed: Seed of everything.
        save_every: Steps between checkpoints.
        log_every: Steps between rows of the log; each contains the means since the previous one.
        evaluate_every: Steps between evaluations; 0 evaluates only at the end.
        bf16: Run forward passes in bfloat16 (faster only on CPUs with AMX or AVX512-BF16, and on graphics cards).
    """

    steps: int
    lr: float = 2e-3
    final_lr: float = 0.02
    warmup: int = 100
    weight_decay: float = 0.01
    optimizer: str = "adamw"
    clip: float = 10.0
    ema: float = 0.998
    seed: int = 0
    save_every: int = 100
    log_every: int = 10
    evaluate_every: int = 0
    bf16: bool = False

    def rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0: linear warm-up, then half a cosine."""
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        share = (step - self.warmup) / max(self.steps - self.warmup, 1)
        return self.lr * (self.final_lr + (1 - self.final_lr) * 0.5 * (1 + math.cos(math.pi * min(share, 1.0))))


class Trainer:
    """Trains one network in one folder, which gets checkpoint.pt, log.jsonl and curves.png.

    Args:
        network: The network to train; it is moved to the device.
        batch: Batch of a step: the same for the same step, whatever came before. Any value that loss accepts.
        loss: (network, batch) -> name -> scalar; "loss" is minimised, the others are logged as well.
        folder: Created if missing. If it contains a checkpoint, the run resumes from it.
        config: Settings of the run.
        evaluate: Network (the moving average, in evaluation mode) -> name -> score, logged with the prefix "val_".
        panels: (title, keys) of the curves; loss and scores if None.
        note: Stored in the checkpoint, such as the digest of the manifest; a run only resumes with the same note.
        device: Device for training.
        report: Called with one line of text for each row of the log.
    """

    def __init__(
        self, network: nn.Module, batch: Callable[[int], Any],
        loss: Callable[[nn.Module, Any], Mapping[str, Tensor]], folder: Path, config: TrainerConfig, *,
        evaluate: Callable[[nn.Module], Mapping[str, float]] | None = None,
        panels: Sequence[tuple[str, Sequence[str]]] | None = None,
        note: Mapping[str, str | int | float] | None = None, device: str = "cpu",
        report: Callable[[str], None] = lambda line: None,
    ) -> None:  # fmt: skip
        self.network = network.to(device)
        self.average = copy.deepcopy(self.network).requires_grad_(False) if config.ema else self.network
        self.batch, self.loss, self.folder, self.config = batch, loss, folder, config
        self.evaluate, self.panels, self.device, self.report = evaluate, panels, device, report
        self.note = dict(note or {})
        self.optimizer = make_optimizer(self.network, config)
        self.step = 0
        """Steps done."""
        self._sums: dict[str, float] = {}
        self._count = 0
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / CHECKPOINT).is_file():
            self._load()
        cut_log(folder / LOG, self.step)

    @property
    def rows(self) -> list[dict[str, float]]:
        """The log so far."""
        return read_log(self.folder / LOG)

    def run(self, until: int | None = None) -> nn.Module:
        """Train up to a step, all of them if None, then save.

        Returns:
            The moving average of the network, in evaluation mode.

        Raises:
            TrainingError: The loss is no longer finite.
        """
        config, end = self.config, min(until or self.config.steps, self.config.steps)
        began, first = time.monotonic(), self.step
        while self.step < end:
            for key, value in self._one().items():
                self._sums[key] = self._sums.get(key, 0.0) + value
            self._count += 1
            if self.step % config.log_every == 0 or self.step == config.steps:
                means = {key: value / self._count for key, value in self._sums.items()}
                append_row(self.folder / LOG, {"step": self.step, "lr": config.rate(self.step - 1), **means})
                pace = (time.monotonic() - began) / (self.step - first)
                self.report(f"step {self.step}/{config.steps}  loss {means['loss']:.4f}  {pace:.2f} s per step")
                self._sums, self._count, began, first = {}, 0, time.monotonic(), self.step
            due = config.evaluate_every and self.step % config.evaluate_every == 0
            if self.evaluate is not None and (due or self.step == config.steps):
                self._evaluate()
            if self.step % config.save_every == 0:
                self.save()
        self.save()
        return self.average.eval()

    def _one(self) -> dict[str, float]:
        config = self.config
        torch.manual_seed(config.seed * SEEDS + self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = config.rate(self.step)
        batch = self.batch(self.step)
        self.network.train()
        with torch.autocast(self.device.split(":")[0], torch.bfloat16, enabled=config.bf16):
            losses = self.loss(self.network, batch)
        values = {key: float(value.detach()) for key, value in losses.items()}
        if not math.isfinite(values["loss"]):
            raise TrainingError(
                f"The loss of step {self.step} is {values['loss']}; resume from the checkpoint in {self.folder} with a "
                "lower learning rate."
            )
        self.optimizer.zero_grad(set_to_none=True)
        losses["loss"].backward()
        if config.clip:
            values["grad"] = float(nn.utils.clip_grad_norm_(self.network.parameters(), config.clip))
        self.optimizer.step()
        self.step += 1
        if config.ema:
            self._average()
        return values

    def _average(self) -> None:
        # A short memory at first, so that the initial weights are soon forgotten.
        decay = min(self.config.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            mine, theirs = self.average.state_dict(), self.network.state_dict()
            for key, value in mine.items():
                if value.dtype.is_floating_point:
                    value.lerp_(theirs[key], 1 - decay)
                else:
                    value.copy_(theirs[key])

    def _evaluate(self) -> None:
        assert self.evaluate is not None
        with torch.inference_mode():
            scores = self.evaluate(self.average.eval())
        append_row(self.folder / LOG, {"step": self.step, **{f"val_{key}": v for key, v in scores.items()}})
        self.report(f"step {self.step}/{self.config.steps}  " + "  ".join(f"{k} {v:.4f}" for k, v in scores.items()))

    def save(self) -> None:
        """Write checkpoint and curves; a crash leaves either the previous or the new ones."""
        state = {
            "version": VERSION, "step": self.step, "note": self.note, "network": self.network.state_dict(),
            "average": self.average.state_dict(), "optimizer": self.optimizer.state_dict(),
            "sums": self._sums, "count": self._count,
        }  # fmt: skip
        with written_whole(self.folder / CHECKPOINT) as part, part.open("wb") as stream:
            torch.save(state, stream)
            stream.flush()
            os.fsync(stream.fileno())
        rows = self.rows
        draw_curves(self.folder / CURVES, rows, self.panels or default_panels(rows))

    def _load(self) -> None:
        path = self.folder / CHECKPOINT
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
            note = state["note"]
        except (OSError, RuntimeError, ValueError, KeyError, EOFError) as error:
            raise TrainingError(f"{path} is not a checkpoint ({_first(error)}); remove it.") from None
        except Exception as error:  # the restricted unpickler's errors
            if type(error).__name__ != "UnpicklingError":
                raise
            raise TrainingError(f"{path} is not a checkpoint; remove it.") from None
        if state.get("version") != VERSION or note != self.note:
            raise TrainingError(f"{path} belongs to another training ({note}, not {self.note}); choose another folder.")
        try:
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError) as error:
            first = _first(error)
            raise TrainingError(f"{path} does not fit this network ({first}); choose another folder.") from None
        self.step, self._sums, self._count = int(state["step"]), dict(state["sums"]), int(state["count"])


def make_optimizer(network: nn.Module, config: TrainerConfig) -> torch.optim.Optimizer:
    """Optimizer with weight decay on convolutions and matrices only.

    Raises:
        TrainingError: Unknown optimizer.
    """
    parameters = [p for p in network.parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=config.lr)
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=0.9, nesterov=True)
    raise TrainingError(f"{config.optimizer!r} is not an optimizer; use adamw or sgd.")


def load_average(path: Path, network: nn.Module) -> int:
    """Load the moving average of a checkpoint into a network.

    Args:
        path: checkpoint.pt.
        network: A network of the trained kind.

    Returns:
        Steps done.

    Raises:
        TrainingError: It is not a checkpoint of this network.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        network.load_state_dict(state["average"])
        return int(state["step"])
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{path} is not a checkpoint of this network ({_first(error)}).") from None


def _first(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def default_panels(rows: Sequence[Mapping[str, float]]) -> list[tuple[str, list[str]]]:
    """Losses on a logarithmic axis, scores below."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    losses = [key for key in keys if key not in ("step", "lr", "grad") and not key.startswith("val_")]
    scores = [key for key in keys if key.startswith("val_")]
    return [("log loss", losses), *([("score", scores)] if scores else [])]
