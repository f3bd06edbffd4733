"""Every network on a device against the same network on the processor, float32, same made-up weights and inputs.

    python tools/benching/parity.py [cuda]

Prints the largest difference over the spread of the outputs for each network; exit status 1 above 1e-3 (the products of
a card in full float32 differ by about 1e-5; TF32 is switched off here).
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from liveportrait.networks import build_network  # noqa: E402

SHAPES = {
    "appearance_feature_extractor": [(1, 3, 256, 256)],
    "motion_extractor": [(1, 3, 256, 256)],
    "warping_module": [(1, 32, 16, 64, 64), (1, 21, 3), (1, 21, 3)],
    "spade_generator": [(1, 256, 64, 64)],
}
MOST = 1e-3


def outputs(found: object) -> list[torch.Tensor]:
    """All tensors in what a network gave."""
    if isinstance(found, torch.Tensor):
        return [found.float().cpu()]
    parts = found.values() if isinstance(found, dict) else found if isinstance(found, (list, tuple)) else ()
    return [tensor for part in parts for tensor in outputs(part)]


@torch.inference_mode()
def difference(name: str, device: str) -> float:
    """Largest difference of the outputs over their spread."""
    torch.manual_seed(0)
    network = build_network(name).eval()
    inputs = [torch.rand(shape) for shape in SHAPES[name]]
    expected = outputs(network(*inputs))
    found = outputs(network.to(device)(*(one.to(device) for one in inputs)))
    return max(
        float((a - b).abs().max() / (a.std() + 1e-6)) for a, b in zip(expected, found, strict=True) if a.numel() > 1
    )


def main() -> int:
    """Run it."""
    device = sys.argv[1] if len(sys.argv) > 1 else "cuda"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    worst = 0.0
    for name in SHAPES:
        found = difference(name, device)
        worst = max(worst, found)
        print(f"{name}\t{found:.2e}", flush=True)
    return 1 if worst > MOST else 0


if __name__ == "__main__":
    sys.exit(main())
