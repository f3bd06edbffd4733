#!/usr/bin/env python3
"""Train the small network that knows the timbre of real speakers, and write it as ONNX.

    tools/train_timbre.py part1.npz ... --model FOLDER --output assets/models/speech/timbre.onnx

FOLDER is ``pocketsphinx/model/en-us/en-us`` of the wheel on PyPI (BSD). Its acoustic model gives the probabilities of
visemes that the network learns to give, at a twentieth of its size. The inputs are samples of the acoustic model
itself, and spectra of synthetic speech (PARTs, made by ``tools/train_speech.py make``). No recording is used.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from models.speech import BANDS, CEPSTRA, CEPSTRAL, VISEMES, slopes
from tools.speech.acoustic import GROUPS, AcousticModel
from tools.speech.onnx_file import write_network

INPUTS = GROUPS * CEPSTRA
HIDDEN = (192, 112)
SAMPLES = 240_000
BATCH, RATE_OF_LEARNING, DECAY = 1024, 3e-3, 1e-3
SOFTNESS = 0.6
"""Exponent of the likelihoods: neighbouring spectra depend on each other, so that a single one proves less."""
SCALE = np.array([20, 18, 13, 16, 15, 14, 15, 15, 13, 13, 12, 11, 11] + [10] * 26, np.float32)
AUDIBLE = np.array([8, 3, -1.5, 2, -1.6, -3, -1.2, -2.6, -0.6, -1.3, 0, 0, 0] + [0] * 26, np.float32)
"""Mean of the audible spectra of a recording, relative to that of all, which is the acoustic model's zero."""
HELD_BACK = 4000
_SPREAD = 4.0  # natural logarithms of power per unit, as models.speech.normalised


def synthetic(paths: list[Path], every: int) -> np.ndarray:
    """(n, 39) features of every so manieth recording, relative to its mean."""
    out = []
    for path in paths:
        with np.load(path) as data:
            ends, rows = np.cumsum(data["lengths"]), data["inputs"]
            for start, end in list(zip([0, *ends[:-1]], ends, strict=True))[::every]:
                shapes = _SPREAD * rows[start:end].astype(np.float32).reshape(-1, BANDS) @ CEPSTRAL
                out.append(slopes(np.pad(shapes - shapes.mean(0), ((3, 3), (0, 0)), mode="edge")))
    return np.concatenate(out)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", type=Path, nargs="+")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=12000)
    parser.add_argument("--every", type=int, default=16)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    import torch
    from torch import nn
    from torch.nn import functional

    torch.set_num_threads(1)
    torch.manual_seed(0)
    random, began = np.random.default_rng(0), time.process_time()
    teacher = AcousticModel.read(arguments.model)
    inputs = np.concatenate([teacher.sample(random, SAMPLES), synthetic(arguments.parts, arguments.every)])
    inputs = inputs[random.permutation(len(inputs))]
    scores = np.concatenate([teacher.scores(inputs[i : i + 1000]) for i in range(0, len(inputs), 1000)])
    known, told = torch.from_numpy(inputs / SCALE), torch.softmax(torch.from_numpy(scores) * SOFTNESS, 1)
    print(f"{len(inputs)} spectra, {time.process_time() - began:.0f} CPU s", flush=True)
    first, second = HIDDEN
    network = nn.Sequential(
        nn.Linear(INPUTS, first), nn.ReLU(), nn.Linear(first, second), nn.ReLU(), nn.Linear(second, len(VISEMES))
    )
    optimizer = torch.optim.AdamW(network.parameters(), RATE_OF_LEARNING, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE_OF_LEARNING, total_steps=arguments.steps + 1)
    for step in range(arguments.steps):
        rows = torch.from_numpy(random.integers(0, len(known) - HELD_BACK, BATCH))
        loss = functional.cross_entropy(network(known[rows]), told[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 2000 == 1999:
            with torch.no_grad():
                heard = functional.log_softmax(network(known[-HELD_BACK:]), 1)
            truth = told[-HELD_BACK:]
            agree = (heard.argmax(1) == truth.argmax(1)).float().mean().item()
            apart = functional.kl_div(heard, truth, reduction="batchmean").item()
            spent = time.process_time() - began
            print(f"step {step + 1}: agrees {agree:.3f}, divergence {apart:.3f} nats, {spent:.0f} CPU s", flush=True)
    linear = [layer for layer in network if isinstance(layer, nn.Linear)]
    layers = [(layer.weight.detach().numpy(), layer.bias.detach().numpy()) for layer in linear]
    weights = layers[0][0] / SCALE
    layers[0] = (weights, layers[0][1] + weights @ AUDIBLE)
    write_network(layers, arguments.output, "shapes")


if __name__ == "__main__":
    main()
