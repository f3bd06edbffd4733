"""Write the warping module and the generator as ONNX files.

    python tools/export_onnx.py WEIGHTS FOLDER [--sampler native|gather] [--half] [--animals]

WEIGHTS is the official pretrained_weights folder. Needs the packages of the extra 'onnx'.
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
    parser.add_argument("--animals", action="store_true", help="the weights for animals")
    args = parser.parse_args()
    from models.registry import ModelError

    try:
        from liveportrait.networks.fast.export import export_pair
        from liveportrait.networks.loading import find_checkpoints, load_networks

        found = find_checkpoints(args.weights, "animals" if args.animals else "human")
        both = load_networks({name: found[name] for name in ("warping_module", "spade_generator")})
        warping, generator = both.values()
        pair = export_pair(warping, generator, args.folder, sampler=args.sampler, half=args.half)  # type: ignore[arg-type]
    except ModelError as error:
        print(f"export_onnx: error: {error}", file=sys.stderr)
        return 1
    for path in (pair.warping, pair.generator):
        print(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
