"""Weights, inputs and the reference image for measuring the networks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [path for path in (str(ROOT), str(ROOT / "tests" / "parity")) if path not in sys.path]

F, M, W, G, S = "appearance_feature_extractor", "motion_extractor", "warping_module", "spade_generator", "stitching"
GIGAFLOPS = {"M": 11.6, "S": 0.0001, "W": 342.1, "G": 891.6}
"""Operations of the plain networks per frame, counted per convolution and linear layer."""
SMALL = {"stitching": "retarget_shoulder", "lip": "retarget_mouth", "eye": "retarget_eye"}


def make_weights(folder: Path, seed: int) -> None:
    """Write random weights for all networks in the official release's layout.

    Args:
        folder: Output folder.
        seed: 0 gives those of the parity recipe, other numbers new ones by the same rule.
    """
    import recipe
    import torch

    if seed:
        recipe.VERSION = f"{recipe.VERSION}-{seed}"
    specs = ROOT / "tests" / "parity" / "net_state_dict"
    small: dict[str, Any] = {}
    for path in sorted(specs.glob("*.json")):
        made = recipe.make_state_dict(path.stem, recipe.load_spec(path))
        state = {key: torch.from_numpy(np.asarray(value)) for key, value in made.items()}
        if path.stem in SMALL:
            small[SMALL[path.stem]] = {f"module.{key}": value for key, value in state.items()}
        else:
            torch.save(state, folder / f"{path.stem}.pth")
    torch.save(small, folder / "stitching_retargeting_module.pth")


def prepare(folder: Path, weights: Path | None, *, seed: int, batch: int) -> dict[str, Any]:
    """Write weights (if none are given), inputs and the reference image into a folder.

    Args:
        folder: Output folder.
        weights: The official pretrained_weights folder, or None.
        seed: See make_weights.
        batch: Frames per batch.

    Returns:
        Facts for the report; "folder" names the weights.
    """
    import torch
    from PIL import Image

    from liveportrait.networks.loading import find_checkpoints, load_networks

    if weights is None:
        make_weights(folder, seed)
    where = weights or folder
    networks = load_networks(find_checkpoints(where))

    def read(name: str) -> Any:
        picture = Image.open(ROOT / "tests" / "parity" / f"net_{name}_256.png").convert("RGB")
        return torch.from_numpy(np.array(picture).transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255.0))

    with torch.inference_mode():
        images = read("src_s9"), read("drv_s5")
        points = []
        for image in images:
            heads = networks[M](image)
            points.append(heads["scale"][..., None] * heads["kp"].reshape(1, 21, 3) + heads["exp"].reshape(1, 21, 3))
        share = torch.arange(1, batch + 1, dtype=torch.float32).reshape(-1, 1, 1) / batch
        driving = points[0] + share * (points[1] - points[0])
        volume = networks[F](images[0])
        out = networks[W](
            volume.expand(batch, -1, -1, -1, -1), kp_driving=driving, kp_source=points[0].expand(batch, -1, -1)
        )["out"]
        spread = float(torch.logit(networks[G](out), eps=1e-6).std())
        if weights is None:  # spread of 1 before the sigmoid: a saturated image would prove nothing
            networks[G].conv_img[0].weight.div_(spread)
            torch.save(networks[G].state_dict(), folder / f"{G}.pth")
        picture = networks[G](out)
    np.savez(
        folder / "inputs.npz", image=images[1].expand(batch, -1, -1, -1).numpy(), volume=volume.numpy(),
        source=points[0].numpy(), driving=driving.numpy(), reference=picture.numpy(),
    )  # fmt: skip
    kind = "official" if weights else f"made up by the parity recipe, {f'seed {seed}' if seed else 'its own seed'}"
    return {"folder": str(where), "kind": kind, "spread_before_scaling": round(spread, 2)}
