"""A trained detector as an ONNX file that models.detection.runtime reads. Needs torch, onnx and onnxscript."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch

from models.detection.network import Deployed, FaceDetector
from models.export import finish_onnx, write_onnx

OUTPUTS: Final = ("scores", "boxes", "points")


def export_detector(network: FaceDetector, path: Path, size: int = 320, half: bool = False) -> Path:
    """Write a detector with decoding, so that the file gives boxes and points in pixels.

    Args:
        network: Trained; set to evaluation.
        path: The .onnx file.
        size: Side of its square input, a multiple of 32.
        half: Keep the weights in half precision: half the file, the same speed, as they are widened when it is opened.

    Returns:
        path.

    Raises:
        ModelError: onnx or onnxscript is missing, or the file can't be written.
        ValueError: The size is no multiple of 32, or a weight does not fit into half precision.
    """
    example = torch.zeros(1, size, size, 3, dtype=torch.uint8)
    deployed = Deployed(network, size).eval()
    write_onnx(deployed, (example,), path, inputs=["image"], outputs=list(OUTPUTS))
    if half:
        finish_onnx(path, half=True)
    return path
