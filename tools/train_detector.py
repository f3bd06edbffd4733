"""Train a face detector, resume training, evaluate and export it.

    python tools/train_detector.py prepare PICTURES WORK          landmarks and mattes of portraits
    python tools/train_detector.py train RUN --prepared WORK      train, or go on where it was killed
    python tools/train_detector.py evaluate RUN --prepared WORK   average precision, recall, precision
    python tools/train_detector.py export RUN detector.onnx       for `animate --detector detector.onnx`

Data: prepared portraits (--prepared), WIDER FACE by path (--wider LABELS IMAGES), synthetic faces (--drawn), or several
of them in equal parts. docs/detection.md describes each step. Needs the extra "torch", export also "onnx".
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from detection.compose import compose
from detection.drawn import draw_faces
from detection.labels import Labels
from detection.portraits import FILE, load_prepared, prepare
from training.manifest import Manifest

Image = npt.NDArray[np.uint8]
MANIFEST = Path(__file__).parent / "detection" / "portraits.json"
HELD_OUT_SEED = 7
"""First part of the seeds for images composed for evaluation."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns 1 after printing one sentence for an expected error."""
    args = _parser().parse_args(arguments)
    try:
        return int(args.run(args))
    except ValueError as error:  # ModelError, ManifestError, TrainingError
        print(f"train_detector: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)

    command = commands.add_parser("prepare", help="landmarks and mattes of portraits")
    command.add_argument("pictures", type=Path, help="folder of square JPEG crops with landmarks.npz")
    command.add_argument("work", type=Path, help=f"folder that gets {FILE}")
    command.add_argument("--manifest", type=Path, help="write the manifest here")
    command.set_defaults(run=_prepare)

    command = commands.add_parser("train", help="train, or go on with a training")
    command.add_argument("folder", type=Path, help="gets checkpoint.pt, log.jsonl and curves.png")
    _add_data(command)
    command.add_argument("--net", default="detect/osa_nano", help="`animate models list 'detect/*'` lists them")
    command.add_argument("--steps", type=int, default=4500)
    command.add_argument("--batch", type=int, default=16)
    command.add_argument("--sizes", type=_sizes, default=(224, 256, 320), help="sides of the images, in turn")
    command.add_argument("--lr", type=float, default=3e-3)
    command.add_argument("--warmup", type=int, default=100)
    command.add_argument("--optimizer", choices=("adamw", "sgd"), default="adamw")
    command.add_argument("--ema", type=float, default=0.999)
    command.add_argument("--score", choices=("qfl", "bce"), default="qfl", help="loss of the score")
    command.add_argument("--box", choices=("eiou", "diou"), default="eiou", help="loss of the boxes")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--save-every", type=int, default=50)
    command.add_argument("--evaluate-every", type=int, default=500)
    command.add_argument("--threads", type=int, default=1)
    command.add_argument("--device", default="cpu", help="cpu or cuda")
    command.add_argument("--bf16", action="store_true", help="worth it on graphics cards and CPUs with AMX")
    command.set_defaults(run=_train)

    command = commands.add_parser("evaluate", help="average precision, recall, precision, error of the points")
    command.add_argument("model", type=Path, help="folder of a training, or its checkpoint.pt")
    _add_data(command)
    command.add_argument("--net", default="detect/osa_nano")
    command.add_argument("--threshold", type=float, default=0.5)
    command.set_defaults(run=_evaluate)

    command = commands.add_parser("export", help="write an ONNX file for the app")
    command.add_argument("model", type=Path, help="folder of a training, or its checkpoint.pt")
    command.add_argument("target", type=Path)
    command.add_argument("--net", default="detect/osa_nano")
    command.add_argument("--size", type=int, default=320, help="side of the input, a multiple of 32")
    command.add_argument("--half", action="store_true", help="weights in half precision")
    command.set_defaults(run=_export)
    return parser


def _add_data(command: argparse.ArgumentParser) -> None:
    command.add_argument("--prepared", type=Path, help=f"folder with {FILE}")
    command.add_argument("--manifest", type=Path, default=MANIFEST, help="which of these portraits, in which split")
    command.add_argument("--wider", type=Path, nargs=2, metavar=("LABELS", "IMAGES"), help="WIDER FACE, training part")
    command.add_argument("--wider-val", type=Path, nargs=2, metavar=("LABELS", "IMAGES"), help="its validation part")
    command.add_argument("--drawn", action="store_true", help="drawn faces")
    command.add_argument("--pictures", type=int, default=200, help="composed or drawn images to evaluate on")


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _prepare(args: argparse.Namespace) -> int:
    manifest, left_out = prepare(args.pictures, args.work, lambda line: print(line, flush=True))
    if args.manifest:
        manifest.write(args.manifest)
    test = len(manifest.split("test"))
    print(f"{len(manifest.samples)} portraits, {test} of them kept back for the test; left out: {len(left_out)}")
    return 0


class Data:
    """The data named on the command line."""

    def __init__(self, args: argparse.Namespace, training: bool) -> None:
        from detection.wider import WiderPick, read_wider

        self.picks, self.notes = [], []
        self.held_out: list[tuple[str, list[tuple[Image, Labels]]]] = []
        if args.prepared:
            manifest = Manifest.read(args.manifest)
            data = load_prepared(args.prepared, manifest)
            train, test = data.split(manifest, "train"), data.split(manifest, "test")
            self.picks.append(lambda side, rng: compose(train, side, rng))
            self.notes.append(manifest.digest())
            rngs = [np.random.default_rng((HELD_OUT_SEED, i)) for i in range(args.pictures)]
            self.held_out.append(("composed, other persons", [compose(test, 320, rng) for rng in rngs]))
        if args.wider and training:
            self.picks.append(WiderPick(read_wider(*args.wider)))
            self.notes.append(hashlib.sha256(args.wider[0].read_bytes()).hexdigest())
        if args.wider_val:
            self.held_out += _wider_pictures(read_wider(*args.wider_val))
        if args.drawn:
            self.picks.append(draw_faces)
            self.notes.append("drawn")
            rngs = [np.random.default_rng((HELD_OUT_SEED, i)) for i in range(args.pictures)]
            self.held_out.append(("drawn", [draw_faces(128, rng) for rng in rngs]))
        if not (self.picks if training else self.held_out):
            raise ValueError("No data is named; use --prepared, --wider (evaluation: --wider-val) or --drawn.")

    def pick(self, side: int, rng: np.random.Generator) -> tuple[Image, Labels]:
        """Pick an image from one of the sources."""
        choice = int(rng.integers(len(self.picks))) if len(self.picks) > 1 else 0
        return self.picks[choice](side, rng)


def _wider_pictures(entries: list) -> list[tuple[str, list[tuple[Image, Labels]]]]:
    """The validation split at 640 ("VGA"), once for each minimum face height."""
    from detection.portraits import read_picture
    from detection.wider import HEIGHTS, fitted, subset

    sets = []
    for name, height in HEIGHTS.items():
        pictures = [fitted(read_picture(e.path), subset(e.labels, name), 640) for e in entries]
        sets.append((f"WIDER FACE at 640, faces from {height:g} px", pictures))
    return sets


def _train(args: argparse.Namespace) -> int:
    import torch
    from detection.learn import PANELS, Batches, Learner, evaluator
    from detection.losses import LossConfig
    from training.trainer import Trainer, TrainerConfig

    import models

    torch.set_num_threads(args.threads)
    data = Data(args, training=True)
    torch.manual_seed(args.seed)
    network = models.create(args.net).to(memory_format=torch.channels_last)
    held_out = data.held_out[0][1] if data.held_out else []
    config = TrainerConfig(
        steps=args.steps, lr=args.lr, warmup=args.warmup, optimizer=args.optimizer, ema=args.ema, seed=args.seed,
        save_every=args.save_every, evaluate_every=args.evaluate_every, bf16=args.bf16,
    )  # fmt: skip
    trainer = Trainer(
        network, Batches(data.pick, args.batch, args.sizes, args.seed, args.device),
        Learner(LossConfig(score=args.score, box=args.box)), args.folder, config,
        evaluate=evaluator(held_out, device=args.device) if held_out else None, panels=PANELS,
        note={"data": "+".join(data.notes), "net": args.net}, device=args.device,
        report=lambda line: print(line, flush=True),
    )  # fmt: skip
    if trainer.step:
        print(f"going on after step {trainer.step}")
    trainer.run()
    return 0


def _network(args: argparse.Namespace):
    import torch
    from training.trainer import CHECKPOINT, load_average

    import models

    network = models.create(args.net).to(memory_format=torch.channels_last).eval()
    steps = load_average(args.model / CHECKPOINT if args.model.is_dir() else args.model, network)
    return network, steps


def _evaluate(args: argparse.Namespace) -> int:
    import torch
    from detection.evaluate import score_detector
    from detection.learn import find

    torch.set_num_threads(1)
    network, steps = _network(args)
    print(f"{args.model}, {steps} steps")
    print("| images | faces | AP | recall | precision | error of the points |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, pictures in Data(args, training=False).held_out:
        found = [find(network, image) for image, _ in pictures]
        s = score_detector(found, [labels for _, labels in pictures], args.threshold)
        print(f"| {name} | {s.faces} | {s.ap:.4f} | {s.recall:.4f} | {s.precision:.4f} | {s.points:.4f} |")
    return 0


def _export(args: argparse.Namespace) -> int:
    from detection.export import export_detector

    network, steps = _network(args)
    export_detector(network, args.target, args.size, args.half)
    print(f"{args.target}: {args.target.stat().st_size:,} bytes, {steps} steps")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
