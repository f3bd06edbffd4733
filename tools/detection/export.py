"""Exports a trained detector as an ONNX file for models.detection.runtime. Needs torch, onnx and onnxscript."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch

from models.detection.network import Deployed, FaceDetector
from models.export import finish_onnx, write_onnx

OUTPUTS: Final = ("scores", "boxes", "points")


def export_detector(network: FaceDetector, path: Path, size: int = 320, half: bool = False) -> Path:
    """Write a detector including the decoding, so that the file outputs boxes and points in pixels.

    Args:
        network: Trained detector; set to evaluation mode.
        path: The .onnx file.
        size: Side of its square input, a multiple of 32.
        half: Store the weights in half precision: half the file size at the same speed, as they are widened on loading.

    Returns:
        path.

    Raises:
        ModelError: onnx or onnxscript is missing, or the file can't be written.
        ValueError: The size is not a multiple of 32, or a weight does not fit into half precision.
    """
    example = torch.zeros(1, size, size, 3, dtype=torch.uint8)
    deployed = Deployed(network, size).eval()
    write_onnx(deployed, (example,), path, inputs=["image"], outputs=list(OUTPUTS))
    if half:
        finish_onnx(path, half=True)
    return path
