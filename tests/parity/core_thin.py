"""Makes core_reference.npz from the full fixtures: python tests/parity/core_thin.py FOLDER."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

MATHS = (
    "headpose/", "rotation/", "transform_keypoint", "ratios/", "motion_multiplier/", "kalman/", "crop/",
    "driving_crop/per_frame_bbox", "driving_crop/global_bbox", "driving_crop/M_o2c", "paste/frame", "paste/lmk",
    "paste/M_", "paste/out", "resize_to_limit/",
)  # fmt: skip


def main(folder: Path) -> None:
    """Pick, shorten where a part is enough, and compress."""
    kept: dict[str, np.ndarray] = {}
    with np.load(folder / "maths.npz") as maths:
        kept |= {f"maths/{k}": maths[k] for k in maths.files if k.startswith(MATHS)}
    with np.load(folder / "sliders.npz") as sliders:
        kept |= {f"sliders/{k}": sliders[k] for k in sliders.files}
    with np.load(folder / "motion_modes.npz") as modes:
        kept |= {f"modes/{k}": modes[k] for k in modes.files if not k.endswith("/x_s") or k.startswith("in/")}
    np.savez_compressed(Path(__file__).with_name("core_reference.npz"), **kept)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
