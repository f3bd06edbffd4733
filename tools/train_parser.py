#!/usr/bin/env python3
"""Train, score and export a face parser.

Training can be stopped at any time (even with kill -9) and restarted with the same command: it continues from the last
checkpoint, and its log equals that of an uninterrupted run.

    tools/train_parser.py train --data portraits --folder PORTRAITS --run runs/parser
    tools/train_parser.py evaluate --data portraits --folder PORTRAITS --run runs/parser
    tools/train_parser.py compare --parser parser.onnx --folder PORTRAITS
    tools/train_parser.py export --run runs/parser --output parser.onnx

Data sets, by path: portraits (a folder of .jpg with one person each, labelled by mesh polygons and matte, with
synthetic occluders), celebamask (CelebAMask-HQ as published), lapa (LaPa), drawn (ellipses, for tests).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from parsing.augment import Augmentation
from parsing.losses import LossWeights, parsing_loss
from parsing.scores import Scores
from training.manifest import Manifest
from training.trainer import CHECKPOINT, Trainer, TrainerConfig, TrainingError, load_average

import models
from models.parsing.classes import BASIC, CLASSES, COUNT
from models.parsing.network import MEAN, STD, Parser, export
from models.parsing.parser import FaceParser
from tools.parsing.compare import compare, report
from tools.parsing.data import CelebAMaskHQ, DrawnFaces, Faces, Lapa, Portraits, Recipe, make_batch
from tools.parsing.scenes import TRAINED, UNSEEN

SETTINGS = "settings.json"
MANIFEST = "manifest.json"
EVALUATION_SEED = 10_000
LICENCES = {
    "portraits": "as the portraits; labels made here",
    "celebamask": "CelebAMask-HQ: non-commercial research and education",
    "lapa": "LaPa: non-commercial research",
    "drawn": "MIT",
}


def faces_of(settings: Mapping[str, Any], part: str) -> Faces:
    """The data set of a run; part is "train" or "test"."""
    kind, count = settings["data"], int(settings["classes"])
    folder = Path(settings["folder"])
    if kind == "portraits":
        return Portraits(folder, part, Path(settings["cache"]))
    if kind == "celebamask":
        return CelebAMaskHQ(folder, part, count)
    if kind == "lapa":
        return Lapa(folder, part, count)
    return DrawnFaces(400 if part == "train" else 60, 0 if part == "train" else 1)


def recipe_of(settings: Mapping[str, Any]) -> Recipe:
    """How the images of a run are composed."""
    if settings["data"] == "drawn":
        calm = Augmentation(8, (0.95, 1.05), 0.03, 0.5, 0.5, 0.2)
        return Recipe(size=int(settings["size"]), occluded=0.0, replaced=0.0, shaded=0.0, augmentation=calm)
    occluded = float(settings["occluded"])
    return Recipe(size=int(settings["size"]), occluded=occluded if int(settings["classes"]) >= BASIC else 0.0)


def network_of(settings: Mapping[str, Any], auxiliary: bool = True) -> Parser:
    """The network of a run with random weights."""
    torch.manual_seed(int(settings["seed"]))
    net = models.create(
        settings["net"], num_classes=int(settings["classes"]), head=settings["head"], auxiliary=auxiliary
    )  # fmt: skip
    assert isinstance(net, Parser)
    return net


def normalised(pixels: Tensor) -> Tensor:
    """Normalise (N, 3, H, W) 0..255 for the network."""
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) * 255 for v in (MEAN, STD))
    return (pixels - mean.to(pixels)) / std.to(pixels)


def loss_of(network: nn.Module, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    """Loss of one batch of pixels and labels."""
    assert isinstance(network, Parser)
    return {"loss": parsing_loss(network.training_outputs(normalised(batch[0])), batch[1], LossWeights())}


def labels_of(network: nn.Module, pixels: Tensor) -> np.ndarray[Any, Any]:
    """(N, H, W) labels predicted by the network."""
    with torch.inference_mode():
        logits = functional.interpolate(
            network(normalised(pixels)), size=pixels.shape[-2:], mode="bilinear", align_corners=False
        )
    return logits.argmax(dim=1).to(torch.uint8).cpu().numpy()


def score(network: nn.Module, faces: Faces, recipe: Recipe, classes: int, pictures: int, seed: int) -> Scores:
    """Scores on composed images, the same ones for the same seed."""
    scores = Scores(classes)
    device = next(network.parameters()).device
    for step in range(-(-pictures // 8)):
        pixels, labels = make_batch(faces, recipe, 8, seed, step)
        scores.add(labels, labels_of(network, torch.from_numpy(pixels).to(device)))
    return scores


def train(settings: dict[str, Any], until: int | None = None, quiet: bool = False) -> list[dict[str, float]]:
    """Train or resume training, according to the settings.

    Returns:
        Rows of the log.
    """
    run = Path(settings["run"])
    run.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(int(settings["threads"]))
    faces, kept = faces_of(settings, "train"), faces_of(settings, "test")
    recipe = recipe_of(settings)
    manifest = Manifest(
        settings["data"], LICENCES[settings["data"]], (*faces.samples("train"), *kept.samples("test")),
        {key: settings[key] for key in ("classes", "size", "batch", "steps", "lr", "seed", "occluded")},
    )  # fmt: skip
    manifest.write(run / MANIFEST)
    (run / SETTINGS).write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
    device, seed, batch = settings["device"], int(settings["seed"]), int(settings["batch"])

    def batch_of(step: int) -> tuple[Tensor, Tensor]:
        pixels, labels = make_batch(faces, recipe, batch, seed, step)
        return torch.from_numpy(pixels).to(device), torch.from_numpy(labels).to(device)

    def evaluate(network: nn.Module) -> dict[str, float]:
        scores = score(network, kept, recipe, int(settings["classes"]), int(settings["pictures"]), EVALUATION_SEED)
        found = {"mean_iou": scores.mean_iou, "mean_f1": scores.mean_f1}
        if int(settings["classes"]) > 13 and not np.isnan(scores.iou[13]):
            found["occluder_iou"] = float(scores.iou[13])
        return found

    trainer = Trainer(
        network_of(settings), batch_of, loss_of, run,
        TrainerConfig(
            steps=int(settings["steps"]), lr=float(settings["lr"]), seed=seed, bf16=bool(settings["bf16"]),
            warmup=min(100, int(settings["steps"]) // 5), weight_decay=float(settings["decay"]),
            ema=float(settings["ema"]), save_every=int(settings["save_every"]),
            evaluate_every=int(settings["evaluate_every"]), optimizer=settings["optimizer"],
        ),
        evaluate=evaluate, device=device, report=(lambda line: None) if quiet else lambda line: print(line, flush=True),
        note={"net": settings["net"], "head": settings["head"], "data": manifest.digest()},
    )  # fmt: skip
    trainer.run(until)
    return trainer.rows


def load_run(run: Path) -> tuple[dict[str, Any], Parser]:
    """Settings and trained network of a run; the auxiliary heads are left out."""
    settings = json.loads((run / SETTINGS).read_text(encoding="utf-8"))
    network = network_of(settings)
    load_average(run / CHECKPOINT, network)
    network.auxiliary = None
    return settings, network.eval()


def table(scores: Scores) -> str:
    """Scores as a Markdown table."""
    lines = ["| class | IoU | F1 |", "| --- | --- | --- |"]
    lines += [f"| {name} | {iou:.3f} | {f1:.3f} |" for name, iou, f1 in scores.rows(CLASSES) if not np.isnan(iou)]
    lines.append(f"| mean (F1 without background) | {scores.mean_iou:.3f} | {scores.mean_f1:.3f} |")
    return "\n".join(lines)


def arguments() -> argparse.ArgumentParser:
    """Flags of the three commands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--run", default="runs/parser", help="folder of checkpoint, log, curves and manifest")
    common.add_argument("--threads", type=int, default=1)
    data = argparse.ArgumentParser(add_help=False)
    data.add_argument("--folder", default=".", help="where the data set lies")
    commands.add_parser("evaluate", parents=[common, data], help="score the kept-back part")
    versus = commands.add_parser("compare", parents=[common, data], help="a parser against mesh polygons and matte")
    versus.add_argument("--parser", default="parse/osa_micro", help="registered name or ONNX file")
    versus.add_argument("--cache", default="runs/parser-labels")
    versus.add_argument("--pictures", type=int, default=142)
    last = commands.add_parser("export", parents=[common], help="write the trained parser as ONNX")
    last.add_argument("--output", default="parser.onnx")
    one = commands.add_parser("train", parents=[common, data], help="train, or go on training")
    one.add_argument("--data", choices=sorted(LICENCES), default="portraits")
    one.add_argument("--cache", default="runs/parser-labels", help="folder for pseudo-labels of portraits")
    one.add_argument("--net", default="parse/osa_micro")
    one.add_argument("--head", default="small", help='"small" or letters of FFNet\'s heads such as CC; empty: its own')
    one.add_argument("--classes", type=int, default=BASIC, help=f"{BASIC} to {COUNT}; 19 of CelebAMask-HQ need {COUNT}")
    one.add_argument("--size", type=int, default=192)
    one.add_argument("--batch", type=int, default=16)
    one.add_argument("--steps", type=int, default=4000)
    one.add_argument("--lr", type=float, default=2e-3)
    one.add_argument("--decay", type=float, default=0.01)
    one.add_argument("--ema", type=float, default=0.998)
    one.add_argument("--optimizer", choices=("adamw", "sgd"), default="adamw")
    one.add_argument("--occluded", type=float, default=0.65, help="share of images with something drawn before them")
    one.add_argument("--seed", type=int, default=0)
    one.add_argument("--save-every", type=int, default=100)
    one.add_argument("--evaluate-every", type=int, default=250)
    one.add_argument("--pictures", type=int, default=96, help="images of an evaluation")
    one.add_argument("--device", default="cpu")
    one.add_argument("--bf16", action="store_true")
    return parser


def main(words: Sequence[str] | None = None) -> int:
    """Run a command."""
    given = vars(arguments().parse_args(words))
    command = given.pop("command")
    try:
        if command == "train":
            train(given)
            return 0
        if command == "compare":
            faces = Portraits(Path(given["folder"]), "test", Path(given["cache"]))
            for title, kinds in (("drawn as in training", TRAINED), ("drawn otherwise", UNSEEN), ("nothing drawn", ())):
                found = compare(FaceParser(given["parser"]), faces, kinds, given["pictures"], EVALUATION_SEED + 2)
                print(report(title, found) + "\n", flush=True)
            return 0
        settings, network = load_run(Path(given["run"]))
        torch.set_num_threads(given["threads"])
        if command == "export":
            worst = export(network, Path(given["output"]), int(settings["size"]))
            print(f"{given['output']}: {Path(given['output']).stat().st_size} bytes, differs by {worst:.1e}")
            return 0
        settings["folder"] = given["folder"] if given["folder"] != "." else settings["folder"]
        faces = faces_of(settings, "test")
        scores = score(network, faces, recipe_of(settings), int(settings["classes"]), len(faces), EVALUATION_SEED + 1)
        print(table(scores))
        return 0
    except (TrainingError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
