"""Make net_reference.npz and the pictures of the network tests out of the full parity fixtures.

Usage: python tests/parity/net_thin.py FOLDER_OF_FULL_FIXTURES
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parent
PICTURES = ("src_s9_256.png", "drv_s5_256.png", "drv_s3_256.png")
CONTENT = {
    "appearance": {"syn_a/feature_3d": 2000, "syn_b/feature_3d": 1000, "syn_a/layer": 200},
    "motion": {"unit": 500, "syn_a/layer": 200, "": 1000},
    "mlp": {"": 2000},
    "warping": {"k1/layer": 200, "k1": 2000, "batch2": 2000},
    "generator": {"g1/layer": 200, "g1/out": 3000, "g3/out": 2000},
    "e2e": {"photo": 3000},
}
"""File -> prefix of names -> most values kept of each array; names that match no prefix are left out."""


def thin(sample: np.ndarray, stride: int, limit: int) -> tuple[np.ndarray, int]:
    """Every step-th value, with an odd step so that rows and channels are all met."""
    step = max(1, -(-len(sample) // limit))
    step += 1 - step % 2
    return sample[::step].copy(), stride * step


def main(folder: Path) -> None:
    """Write the thinned fixtures next to this file."""
    out: dict[str, np.ndarray] = {}
    for file, prefixes in CONTENT.items():
        full = np.load(folder / f"{file}.npz")
        for name in full.files:
            base, _, last = name.rpartition("/")
            digest = last in ("sample", "stride", "shape", "stats")
            array = base if digest else name
            limit = next((n for p, n in prefixes.items() if array == p or array.startswith(p and f"{p}/")), None)
            if limit is None or (digest and last == "stride"):
                continue
            value = full[name]
            if digest and last == "sample":
                value, stride = thin(value, int(full[f"{base}/stride"]), limit)
                out[f"{file}/{base}/stride"] = np.int64(stride)
            elif not digest and value.size > limit:
                flat = value.reshape(-1).astype(np.float64)
                out[f"{file}/{name}/sample"], stride = thin(value.reshape(-1), 1, limit)
                out[f"{file}/{name}/stride"] = np.int64(stride)
                out[f"{file}/{name}/shape"] = np.asarray(value.shape, np.int64)
                out[f"{file}/{name}/stats"] = np.array(
                    [flat.mean(), flat.std(), np.abs(flat).max(), flat.min(), flat.max()]
                )
                continue
            out[f"{file}/{name}"] = value
    for driver in ("drv_s5", "drv_s3"):
        picture = np.asarray(Image.open(folder / f"images/out_photo_{driver}.png").convert("RGB"))
        out[f"e2e/photo/{driver}/levels"] = picture.reshape(-1)[::97].copy()
    np.savez_compressed(HERE / "net_reference.npz", **out)
    for name in PICTURES:
        shutil.copyfile(folder / "images" / name, HERE / f"net_{name}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
