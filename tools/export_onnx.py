"""Write the warping module and the generator, or all four large networks, as ONNX files.

    python tools/export_onnx.py WEIGHTS FOLDER [--all] [--sampler native|gather] [--half] [--animals]

WEIGHTS is the official pretrained_weights folder. Needs the packages of the extra 'onnx'. The files are those that the
tensorrt engine compiles; existing files in FOLDER are not rewritten.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Write the warping module and the generator as ONNX files.")
    parser.add_argument("weights", type=Path, help="the official pretrained_weights folder")
    parser.add_argument("folder", type=Path, help="where the files go")
    parser.add_argument("--sampler", choices=("native", "gather"), default="native", help="gather: no 5-D GridSample")
    parser.add_argument("--half", action="store_true", help="float16 convolutions; coordinates stay float32")
    parser.add_argument("--all", action="store_true", help="also the appearance and the motion extractor, in float32")
    parser.add_argument("--animals", action="store_true", help="the weights for animals")
    args = parser.parse_args()
    from models.registry import ModelError

    try:
        from liveportrait.engines.runtime import checkpoint_files, plain_networks
        from liveportrait.networks.fast.export import export_one

        networks = plain_networks(checkpoint_files(args.weights, "animals" if args.animals else "human"))
        parts = ["appearance", "motion"] * args.all + ["warping", "generator"]
        paths = [export_one(part, networks, args.folder, sampler=args.sampler, half=args.half) for part in parts]
    except ModelError as error:
        print(f"export_onnx: error: {error}", file=sys.stderr)
        return 1
    for path in paths:
        print(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
