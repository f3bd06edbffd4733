"""Small fully connected networks as ONNX files with weights in half precision."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

Layer = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]


def write_network(layers: Sequence[Layer], path: Path, takes: str) -> None:
    """Write layers with ReLU between them.

    Args:
        layers: Weights (outputs, inputs) and bias (outputs,) each.
        path: The file.
        takes: Name of the input, (frames, inputs); the output is "scores".
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes, values, name = [], [], takes
    for index, (weights, bias) in enumerate(layers):
        values += [
            numpy_helper.from_array(weights.T.astype(np.float16), f"w{index}"),
            numpy_helper.from_array(bias.astype(np.float32), f"b{index}"),
        ]
        last = index == len(layers) - 1
        nodes += [
            helper.make_node("Cast", [f"w{index}"], [f"f{index}"], to=TensorProto.FLOAT),
            helper.make_node("Gemm", [name, f"f{index}", f"b{index}"], ["scores" if last else f"h{index}"]),
        ]
        if not last:
            nodes.append(helper.make_node("Relu", [f"h{index}"], [f"r{index}"]))
            name = f"r{index}"
    graph = helper.make_graph(
        nodes, path.stem,
        [helper.make_tensor_value_info(takes, TensorProto.FLOAT, ["frames", layers[0][0].shape[1]])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["frames", len(layers[-1][1])])], values,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    print(f"{path}: {path.stat().st_size} bytes")
