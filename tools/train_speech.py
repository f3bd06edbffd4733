#!/usr/bin/env python3
"""Train the viseme network from synthetic speech, and write it as ONNX.

    tools/train_speech.py make --seed 1 --sentences 700 --output part1.npz     # needs espeak-ng, flite, festival, Faker
    tools/train_speech.py train part1.npz part2.npz ... --epochs 14 --output assets/models/speech/viseme.onnx

No recorded voices are used: text comes from Faker, sound and phone times from speech synthesizers.
The same seeds and packages give the same data.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from models.speech import AHEAD, BACK, BANDS, CONTEXT, RATE, VISEMES, Spectra, normalised, reference_of
from tools.speech.augment import labels, noise, varied
from tools.speech.onnx_file import write_network
from tools.speech.voices import FESTIVAL, FLITE, LANGUAGES, VARIANTS, Sound, Spoken, espeak, festival, flite

INPUTS = len(CONTEXT) * 2 * BANDS
HIDDEN = (128, 96)
BATCH, RATE_OF_LEARNING, DECAY = 1024, 2e-3, 1e-2
LONGEST = 14.0  # seconds of a sentence
HELD_BACK = 12  # one in this many sentences, at the end of the data, is used for validation


def spoken(random: np.random.Generator, count: int) -> Iterator[Spoken]:
    """Sentences: half by espeak-ng in many languages, half by voices built from recorded speech."""
    from faker import Faker

    Faker.seed(int(random.integers(1 << 30)))
    text = {locale: Faker(locale) for locale in {*LANGUAGES.values(), *FESTIVAL.values()}}
    waiting: list[Spoken] = []
    for number in range(count):
        if number % 4 == 3:
            if not waiting:
                for voice, locale in FESTIVAL.items():
                    waiting += festival([text[locale].sentence(nb_words=9) for _ in range(8)], voice)
            yield waiting.pop(int(random.integers(len(waiting))))
        elif number % 4 == 1:
            yield flite(text["en_US"].sentence(nb_words=9), str(random.choice(FLITE)), random.uniform(0.85, 1.25))
        else:
            language = str(random.choice(list(LANGUAGES)))
            voice = f"{language}+{random.choice(VARIANTS)}"
            said = espeak().say(
                text[LANGUAGES[language]].sentence(nb_words=9),
                voice,
                random.uniform(120, 230),
                *random.uniform(20, 80, 2),
            )
            if said is not None:
                yield said


def frames(sound: Sound) -> np.ndarray:
    """(n, 2 * BANDS) network input for a whole sound."""
    spectra = Spectra()
    rows = np.concatenate([spectra.feed(sound), spectra.finish()])
    return normalised(rows, reference_of([sound]).level)


def make(arguments: argparse.Namespace) -> None:
    """Write frames and their visemes."""
    random = np.random.default_rng(arguments.seed)
    inputs, targets, others, seconds = [], [], [], 0.0
    for number, said in enumerate(spoken(random, arguments.sentences)):
        if not 0.5 < len(said.sound) / RATE < LONGEST or said.sound.std() < 1e-4:
            continue
        seconds += len(said.sound) / RATE
        others = [*others, said.sound[: 4 * RATE]][-40:]
        for hard in (bool(random.random() < 0.3), True):
            heard = varied(random, said, hard, others)
            inputs.append(frames(heard.sound).astype(np.float16))
            targets.append(labels(heard.phones, len(inputs[-1])))
        if number % 10 == 0:  # without speech
            inputs.append(frames(noise(random, 4 * RATE, []) * np.float32(0.1)).astype(np.float16))
            targets.append(np.zeros(len(inputs[-1]), np.int8))
        if number % 100 == 0:
            print(f"{number} sentences, {seconds / 60:.1f} minutes", flush=True)
    lengths = np.array([len(rows) for rows in inputs])
    np.savez(arguments.output, inputs=np.concatenate(inputs), targets=np.concatenate(targets), lengths=lengths)
    print(f"{seconds / 60:.1f} minutes of speech, {lengths.sum() / 50 / 60:.1f} minutes of frames")


def loaded(paths: list[Path]) -> tuple[np.ndarray, np.ndarray, int]:
    """Frames padded by their context, visemes (-1 in the padding), and the first padded row used for validation."""
    inputs, targets = [], []
    for path in paths:
        with np.load(path) as data:
            ends = np.cumsum(data["lengths"])
            rows, visemes = data["inputs"].astype(np.float32), data["targets"].astype(np.int64)
        for start, end in zip([0, *ends[:-1]], ends, strict=True):
            inputs.append(np.pad(rows[start:end], ((BACK, AHEAD), (0, 0)), mode="edge"))
            targets.append(np.pad(visemes[start:end], (BACK, AHEAD), constant_values=-1))
    held = sum(map(len, targets[: -(len(targets) // HELD_BACK)]))
    return np.concatenate(inputs), np.concatenate(targets), held


def train(arguments: argparse.Namespace) -> None:
    """Train and export."""
    import torch
    from torch import nn
    from torch.nn import functional

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    inputs, targets, held = loaded(arguments.data)
    known = np.flatnonzero(targets >= 0)
    learn, judge = known[known < held], known[known >= held]
    offsets = np.array(CONTEXT)
    share = np.bincount(targets[learn], minlength=len(VISEMES)) / len(learn)
    weight = torch.tensor((1 / np.maximum(share, 0.004)) ** 0.35, dtype=torch.float32)
    weight /= weight.mean()
    first, second = HIDDEN
    network = nn.Sequential(
        nn.Linear(INPUTS, first), nn.ReLU(), nn.BatchNorm1d(first), nn.Linear(first, second), nn.ReLU(),
        nn.BatchNorm1d(second), nn.Linear(second, len(VISEMES)),
    )  # fmt: skip
    optimizer = torch.optim.AdamW(network.parameters(), RATE_OF_LEARNING, weight_decay=DECAY)
    steps = arguments.epochs * (len(learn) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE_OF_LEARNING, total_steps=steps + 1, pct_start=0.1)
    print(f"{len(learn) / 3000:.0f} minutes, {sum(p.numel() for p in network.parameters())} weights", flush=True)

    def seen(rows: np.ndarray) -> np.ndarray:
        return inputs[rows[:, None] + offsets].reshape(len(rows), INPUTS)

    began = time.process_time()
    for epoch in range(arguments.epochs):
        order = random.permutation(learn)
        for start in range(0, len(order) - BATCH, BATCH):
            rows = order[start : start + BATCH]
            batch = seen(rows) + random.uniform(-0.35, 0.35, (BATCH, 1)).astype(np.float32)  # random level
            low = int(random.integers(0, BANDS - 6))
            gone = random.random(BATCH) < 0.5  # bands cut off by a microphone
            batch.reshape(BATCH, len(CONTEXT), 2, BANDS)[gone, :, :, low : low + int(random.integers(1, 6))] = -2
            loss = functional.cross_entropy(
                network(torch.from_numpy(batch)), torch.from_numpy(targets[rows]), weight=weight, label_smoothing=0.05
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        network.eval()
        with torch.no_grad():
            pieces = [
                network(torch.from_numpy(seen(judge[i : i + 8192]))).argmax(1) for i in range(0, len(judge), 8192)
            ]
        network.train()
        told, truth = torch.cat(pieces).numpy(), targets[judge]
        speech, lips = truth > 0, truth == VISEMES.index("PP")
        print(
            f"epoch {epoch}: loss {loss.item():.3f}, right {np.mean(told == truth):.3f}, of speech "
            f"{np.mean(told[speech] == truth[speech]):.3f}, of p b m {np.mean(told[lips] == truth[lips]):.3f}, "
            f"{time.process_time() - began:.0f} CPU s",
            flush=True,
        )
    export(network.eval(), arguments.output)


def export(network, path: Path) -> None:  # type: ignore[no-untyped-def]
    """Write the network; batch norms are folded into the layers that follow them."""
    layers = list(network)
    folded, scale, shift = [], np.ones(INPUTS, np.float32), np.zeros(INPUTS, np.float32)
    for linear, norm in ((layers[0], layers[2]), (layers[3], layers[5]), (layers[6], None)):
        weights, bias = linear.weight.detach().numpy(), linear.bias.detach().numpy()
        folded.append((weights * scale, bias + weights @ shift))
        if norm is not None:
            scale = (norm.weight / (norm.running_var + norm.eps).sqrt()).detach().numpy()
            shift = norm.bias.detach().numpy() - norm.running_mean.numpy() * scale
    write_network(folded, path, "spectra")


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("make", help="synthesize speech")
    one.add_argument("--seed", type=int, default=1)
    one.add_argument("--sentences", type=int, default=700)
    one.add_argument("--output", type=Path, required=True)
    one.set_defaults(run=make)
    two = commands.add_parser("train", help="train on such data")
    two.add_argument("data", type=Path, nargs="+")
    two.add_argument("--epochs", type=int, default=14)
    two.add_argument("--threads", type=int, default=1)
    two.add_argument("--output", type=Path, required=True)
    two.set_defaults(run=train)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
