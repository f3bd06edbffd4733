"""Exports networks as ONNX files. Only imported for that purpose: it needs torch, onnx and onnxscript.

The files have static heights and widths and, optionally, any number of images; attention over windows and resizing
would be slower in every run if their sizes were dynamic.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from models.files import written_whole
from models.installation import install_hint
from models.messages import msg
from models.registry import ModelError

OPSET: Final = 20
LEAST_HALVED: Final = 64
"""Weights with fewer values than this keep full precision: they hardly affect the file size."""


def write_onnx(
    network: nn.Module, example: tuple[Tensor, ...], path: Path, *,
    inputs: Sequence[str], outputs: Sequence[str], any_batch: bool = False, opset: int = OPSET,
) -> Path:  # fmt: skip
    """Export a network; the file appears only when it is complete.

    Args:
        network: The network; it is set to evaluation mode.
        example: One tensor for each input, of the file's input shapes.
        path: The file; its folder is created if missing.
        inputs: Names of the inputs.
        outputs: Names of the outputs, in the order in which the network returns them.
        any_batch: Make the first axis of every input dynamic.
        opset: Version of the operators.

    Returns:
        path.

    Raises:
        ModelError: The packages onnx and onnxscript are missing, or the file can't be written.
    """
    shapes = tuple({0: torch.export.Dim("batch", min=1)} for _ in example) if any_batch else None
    if any_batch:  # an axis of length 1 would be treated as constant
        example = tuple(x.expand(2, *x.shape[1:]) if x.shape[0] == 1 else x for x in example)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as part, torch.inference_mode(False), torch.no_grad(), _quiet():
            program = torch.onnx.export(
                network.eval(), example, dynamo=True, opset_version=opset, input_names=list(inputs),
                output_names=list(outputs), external_data=False, verbose=False, dynamic_shapes=shapes,
            )  # fmt: skip
            assert program is not None
            for node in program.model.graph.all_nodes():
                node.metadata_props.clear()  # paths and lines of this code: equal networks must give equal files
            program.save(part)
    except ImportError as error:
        raise ModelError(
            f"Writing ONNX files needs the packages onnx and onnxscript ({error}). {install_hint('onnx')}"
        ) from error
    except OSError as error:
        raise ModelError(msg("{path} can't be written: {reason}.", path, error.strerror or error)) from error
    return path


def finish_onnx(path: Path, *, half: bool = False, facts: Mapping[str, str] | None = None) -> None:
    """Store the large float32 weights of a file as float16 with a Cast after each, and add metadata.

    It remains a float32 network: the weights are widened on loading, so the file is half as large at the same speed.

    Args:
        path: The .onnx file.
        half: Whether weights are halved; those of fewer than LEAST_HALVED values are left alone.
        facts: Entries for its metadata.

    Raises:
        ValueError: A weight does not fit into half precision.
    """
    import onnx

    model = onnx.load(str(path))
    for key, value in (facts or {}).items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    casts = []
    for tensor in model.graph.initializer if half else []:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < LEAST_HALVED:
            continue
        if np.abs(values).max() > np.finfo(np.float16).max:
            raise ValueError(f"{path}: weight {tensor.name} is too large for half precision.")
        name = tensor.name
        tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
        casts.append(onnx.helper.make_node("Cast", [f"{name}.half"], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    del model.graph.value_info[:]
    onnx.checker.check_model(model)
    with written_whole(path) as part:
        onnx.save(model, str(part))


def disagreement(network: nn.Module, path: Path, example: tuple[Tensor, ...]) -> float:
    """Largest difference between the file in ONNX Runtime on the CPU and the network, over all outputs.

    Args:
        network: The network that was exported.
        path: The file.
        example: Inputs to compare on.

    Returns:
        The difference relative to the largest value of its output; below 1e-5 they are equivalent.
    """
    import onnxruntime

    with torch.inference_mode():
        expected = network.eval()(*example)
    expected = [expected] if isinstance(expected, Tensor) else list(expected)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    feed = {spec.name: x.numpy() for spec, x in zip(session.get_inputs(), example, strict=True)}
    found = session.run(None, feed)
    return max(
        float(np.abs(np.asarray(a) - b.numpy()).max() / max(float(b.abs().max()), 1e-12))
        for a, b in zip(found, expected, strict=True)
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the exporter's remarks on packages unrelated to these networks."""
    exporter = logging.getLogger("torch.onnx")
    level = exporter.level
    exporter.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        exporter.setLevel(level)
