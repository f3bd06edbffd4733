"""A trained detector as an ONNX file that models.detection.runtime reads. Needs torch, onnx and onnxscript."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from models.detection.network import Deployed, FaceDetector
from models.export import write_onnx

OUTPUTS: Final = ("scores", "boxes", "points")
LEAST_SHARED: Final = 64
"""Weights with fewer values than this keep full precision: they weigh nothing."""


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
        ValueError: The size is no multiple of 32.
    """
    example = torch.zeros(1, size, size, 3, dtype=torch.uint8)
    deployed = Deployed(network, size).eval()
    write_onnx(deployed, (example,), path, inputs=["image"], outputs=list(OUTPUTS))
    if half:
        halve_weights(path)
    return path


def halve_weights(path: Path) -> None:
    """Store large float32 weights of an ONNX file as float16 with a Cast behind each; it stays a float32 network.

    Raises:
        ValueError: A weight does not fit into half precision.
    """
    import onnx
    from onnx import numpy_helper

    model = onnx.load(str(path))
    graph, casts, kept = model.graph, [], []
    for tensor in graph.initializer:
        values: np.ndarray[Any, Any] = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < LEAST_SHARED:
            kept.append(tensor)
            continue
        if np.abs(values).max() > np.finfo(np.float16).max:
            raise ValueError(f"{path}: weight {tensor.name} is too large for half precision.")
        kept.append(numpy_helper.from_array(values.astype(np.float16), f"{tensor.name}.half"))
        casts.append(onnx.helper.make_node("Cast", [f"{tensor.name}.half"], [tensor.name], to=onnx.TensorProto.FLOAT))
    del graph.initializer[:]
    graph.initializer.extend(kept)
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend([*casts, *nodes])
    onnx.checker.check_model(model)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    onnx.save(model, str(part))
    part.replace(path)
