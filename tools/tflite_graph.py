"""Translate the operators of a .tflite graph to ONNX nodes (only those that MediaPipe's face models use)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from onnx import TensorProto, helper, numpy_helper

OPERATORS = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
TYPES = {
    schema.TensorType.FLOAT32: np.float32,
    schema.TensorType.FLOAT16: np.float16,
    schema.TensorType.INT32: np.int32,
}
Array = np.ndarray[Any, Any]
f32 = np.float32


class GraphConverter:
    """Converts one graph. 4-D activations are NHWC in tflite and NCHW here.

    Args:
        path: The .tflite file.
    """

    def __init__(self, path: Path) -> None:
        self._model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes(), 0))
        self._graph = self._model.subgraphs[0]
        self.inputs = [int(i) for i in self._graph.inputs]
        self.outputs = [int(i) for i in self._graph.outputs]
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self._names: dict[int, str] = {}
        self._count = 0
        self._weights: dict[int, Array] = {}
        for index, tensor in enumerate(self._graph.tensors):
            data = self._model.buffers[tensor.buffer].data
            if data is not None and len(data):
                self._weights[index] = stored_values(tensor, np.asarray(data, np.uint8).tobytes())

    # ---- building blocks

    def node(self, op: str, inputs: Sequence[str], attributes: Mapping[str, Any] | None = None, out: str = "") -> str:
        """Append a node; returns the name of its output."""
        self._count += 1
        out = out or f"{op.lower()}_{self._count}"
        name = f"n{self._count}_{op}"
        self.nodes.append(helper.make_node(op, list(inputs), [out], name=name, **(attributes or {})))
        return out

    def constant(self, values: Any, cast: bool = False) -> str:
        """Add an initializer; fp16 ones get a Cast to float if requested."""
        self._count += 1
        name = f"c{self._count}"
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        if cast and values.dtype == np.float16:
            return self.node("Cast", [name], {"to": TensorProto.FLOAT})
        return name

    def shape(self, tensor: int) -> list[int]:
        """Shape in tflite's layout."""
        return [int(n) for n in self._graph.tensors[tensor].shape]

    def by_name(self, name: str) -> int:
        """Index of the graph output with this name."""
        return next(o for o in self.outputs if self._graph.tensors[o].name.decode() == name)

    def flat(self, tensor: int, shape: list[int]) -> str:
        """A tensor of the graph in a new shape."""
        return self.node("Reshape", [self._names[tensor], self.constant(np.array(shape, np.int64))])

    def run(self, entry: str) -> None:
        """Translate all operators.

        Args:
            entry: Name of the NCHW float input.

        Raises:
            NotImplementedError: The graph has an unsupported operator.
        """
        self._names[self.inputs[0]] = entry
        for operator in self._graph.operators:
            code = self._model.operatorCodes[operator.opcodeIndex]
            name = OPERATORS[max(code.builtinCode, code.deprecatedBuiltinCode)]
            if name == "CUSTOM":
                raw = code.customCode
                name = (raw.tobytes() if hasattr(raw, "tobytes") else bytes(raw)).decode()
            translate = getattr(self, f"_op_{name.lower()}", None)
            if translate is None:
                raise NotImplementedError(f"operator {name}")
            ins, out = [int(i) for i in operator.inputs], int(operator.outputs[0])
            result = translate(ins, out, operator)
            if result is not None:
                self._names[out] = result

    def _activated(self, x: str, function: int) -> str:
        if function == schema.ActivationFunctionType.NONE:
            return x
        if function == schema.ActivationFunctionType.RELU:
            return self.node("Relu", [x])
        if function == schema.ActivationFunctionType.RELU6:
            return self.node("Clip", [x, self.constant(f32(0)), self.constant(f32(6))])
        raise NotImplementedError(f"activation {function}")

    def _value(self, tensor: int) -> str:
        """A 4-D operand: an activation, or weights converted to NCHW."""
        if tensor not in self._weights:
            return self._names[tensor]
        values = self._weights[tensor]
        if values.ndim == 4:
            values = values.transpose(0, 3, 1, 2)
        elif values.ndim == 1 and values.size > 1:
            values = values.reshape(1, -1, 1, 1)
        return self.constant(values, cast=True)

    # ---- operators

    def _op_dequantize(self, ins: list[int], out: int, _: Any) -> None:
        self._weights[out] = self._weights[ins[0]]

    _op_densify = _op_dequantize

    def _op_conv_2d(self, ins: list[int], out: int, operator: Any, depthwise: bool = False) -> str:
        options = operator.builtinOptions
        kernel = self._weights[ins[1]]
        kernel = kernel.transpose(3, 0, 1, 2) if depthwise else kernel.transpose(0, 3, 1, 2)
        if depthwise and options.depthMultiplier != 1:
            raise NotImplementedError("depth multiplier")
        stride = (options.strideH, options.strideW)
        dilation = (options.dilationHFactor, options.dilationWFactor)
        height, width, channels = self.shape(ins[0])[1:]
        pads = padding((height, width), kernel.shape[2:], stride, options.padding, dilation)
        operands = [self._names[ins[0]], self.constant(kernel, cast=True)]
        if len(ins) > 2 and ins[2] >= 0:
            operands.append(self.constant(self._weights[ins[2]], cast=True))
        attributes = {
            "pads": pads,
            "strides": list(stride),
            "dilations": list(dilation),
            "kernel_shape": list(kernel.shape[2:]),
            "group": channels if depthwise else 1,
        }
        return self._activated(self.node("Conv", operands, attributes), options.fusedActivationFunction)

    def _op_depthwise_conv_2d(self, ins: list[int], out: int, operator: Any) -> str:
        return self._op_conv_2d(ins, out, operator, depthwise=True)

    def _op_max_pool_2d(self, ins: list[int], out: int, operator: Any, op: str = "MaxPool") -> str:
        options = operator.builtinOptions
        size, kernel = self.shape(ins[0])[1:3], [options.filterHeight, options.filterWidth]
        stride = [options.strideH, options.strideW]
        if op == "AveragePool" and kernel == size:
            return self.node("GlobalAveragePool", [self._names[ins[0]]])
        attributes = {
            "kernel_shape": kernel,
            "strides": stride,
            "pads": padding(size, kernel, stride, options.padding),
        }
        return self.node(op, [self._names[ins[0]]], attributes)

    def _op_average_pool_2d(self, ins: list[int], out: int, operator: Any) -> str:
        return self._op_max_pool_2d(ins, out, operator, "AveragePool")

    def _op_mean(self, ins: list[int], out: int, _: Any) -> str:
        if sorted(self._weights[ins[1]].ravel().tolist()) != [1, 2]:
            raise NotImplementedError("mean over other axes than height and width")
        return self.node("GlobalAveragePool", [self._names[ins[0]]])

    def _op_add(self, ins: list[int], out: int, operator: Any, op: str = "Add") -> str:
        if len(self.shape(ins[0])) == 4:
            operands = [self._value(ins[0]), self._value(ins[1])]
        else:
            operands = [self._names.get(i) or self.constant(self._weights[i].astype(f32)) for i in ins]
        return self._activated(self.node(op, operands), operator.builtinOptions.fusedActivationFunction)

    def _op_mul(self, ins: list[int], out: int, operator: Any) -> str:
        return self._op_add(ins, out, operator, "Mul")

    def _op_prelu(self, ins: list[int], out: int, _: Any) -> str:
        # slope * x + (1 - slope) * relu(x)
        x, slope = self._names[ins[0]], self._weights[ins[1]].reshape(-1, 1, 1, 1).astype(f32)
        attributes = {"group": slope.shape[0], "kernel_shape": [1, 1]}
        low = self.node("Conv", [x, self.constant(slope)], attributes)
        high = self.node("Conv", [self.node("Relu", [x]), self.constant(1 - slope)], attributes)
        return self.node("Add", [low, high])

    def _op_relu(self, ins: list[int], out: int, _: Any) -> str:
        return self.node("Relu", [self._names[ins[0]]])

    def _op_logistic(self, ins: list[int], out: int, _: Any) -> str:
        return self.node("Sigmoid", [self._names[ins[0]]])

    def _op_hard_swish(self, ins: list[int], out: int, _: Any) -> str:
        return self.node("HardSwish", [self._names[ins[0]]])

    def _op_pad(self, ins: list[int], out: int, _: Any) -> str:
        pads = self._weights[ins[1]].reshape(4, 2)[[0, 3, 1, 2]]
        return self.node("Pad", [self._names[ins[0]], self.constant(pads.T.reshape(-1).astype(np.int64))])

    def _op_reshape(self, ins: list[int], out: int, _: Any) -> str:
        x = self._names[ins[0]]
        if len(self.shape(ins[0])) == 4:
            x = self.node("Transpose", [x], {"perm": [0, 2, 3, 1]})
        y = self.node("Reshape", [x, self.constant(np.array(self.shape(out), np.int64))])
        return self.node("Transpose", [y], {"perm": [0, 3, 1, 2]}) if len(self.shape(out)) == 4 else y

    def _op_concatenation(self, ins: list[int], out: int, operator: Any) -> str:
        axis = operator.builtinOptions.axis
        if len(self.shape(out)) == 4:
            axis = [0, 2, 3, 1][axis]
        return self.node("Concat", [self._names[i] for i in ins], {"axis": axis})

    def _op_resize_bilinear(self, ins: list[int], out: int, operator: Any) -> str:
        options = operator.builtinOptions
        height, width, channels = self.shape(out)[1:]
        grid = "half_pixel" if options.halfPixelCenters else "asymmetric"
        mode = "align_corners" if options.alignCorners else grid
        size = self.constant(np.array([1, channels, height, width], np.int64))
        attributes = {"mode": "linear", "coordinate_transformation_mode": mode}
        return self.node("Resize", [self._names[ins[0]], "", "", size], attributes)

    def _op_depth_to_space(self, ins: list[int], out: int, operator: Any) -> str:
        attributes = {"blocksize": operator.builtinOptions.blockSize, "mode": "DCR"}
        return self.node("DepthToSpace", [self._names[ins[0]]], attributes)

    def _op_strided_slice(self, ins: list[int], out: int, _: Any) -> str:
        if self.shape(ins[0]) != self.shape(out):
            raise NotImplementedError("a slice that cuts something off")
        return self._names[ins[0]]

    # ---- MediaPipe's custom operators

    def _op_convolution2dtransposebias(self, ins: list[int], out: int, _: Any) -> str:
        kernel = self._weights[ins[1]]  # out, height, width, in
        if self.shape(out)[1] != 2 * self.shape(ins[0])[1] or kernel.shape[1] != 2:
            raise NotImplementedError("transposed convolution that doesn't double the size")
        operands = [self._names[ins[0]], self.constant(kernel.transpose(3, 0, 1, 2), cast=True)]
        operands.append(self.constant(self._weights[ins[2]], cast=True))
        return self.node("ConvTranspose", operands, {"strides": [2, 2], "kernel_shape": [2, 2]})

    def _block(self, x: str, start: list[int], end: list[int]) -> str:
        ends = [self.constant(np.array(v, np.int64)) for v in (start, end, [1, 2])]
        return self.node("Slice", [x, *ends])

    def _op_landmarks2transformmatrix(self, ins: list[int], out: int, operator: Any) -> str:
        """4x4 matrix from an upright crop around some landmarks to the feature map in which they were found."""
        from flatbuffers import flexbuffers

        options = flexbuffers.Loads(bytes(np.asarray(operator.customOptions, np.uint8)))
        flat = self._block(self._names[ins[0]], [0, 0], [468, 2])

        def points(indices: Sequence[int]) -> str:
            picked = self.constant(np.array([int(i) for i in indices], np.int64))
            return self.node("Gather", [flat, picked], {"axis": 1})

        left = points([options["left_rotation_idx"]])
        right = points([options["right_rotation_idx"]])
        across = self.node("Sub", [right, left])
        length = self.node("ReduceL2", [across], {"axes": [2], "keepdims": 1})
        unit = self.node("Div", [across, self.node("Max", [length, self.constant(f32(1e-6))])])
        cos, sin = self._block(unit, [0, 0], [1, 1]), self._block(unit, [0, 1], [1, 2])
        minus_sin = self.node("Neg", [sin])
        # upright = R @ point with R = [[cos, sin], [-sin, cos]]; row vectors are multiplied by its transpose.
        rows = [self.node("Concat", pair, {"axis": 2}) for pair in ([cos, sin], [minus_sin, cos])]
        turn = self.node("Concat", rows, {"axis": 1})
        back = self.node("Transpose", [turn], {"perm": [0, 2, 1]})
        upright = self.node("MatMul", [points(options["subset_idxs"]), back])
        high, low = (self.node(op, [upright], {"axes": [1], "keepdims": 1}) for op in ("ReduceMax", "ReduceMin"))
        size = self.node("Sub", [high, low])
        middle = self.node("Mul", [self.node("Add", [high, low]), self.constant(f32(0.5))])
        centre = self.node("MatMul", [middle, turn])
        width, height = options["output_width"], options["output_height"]
        per_pixel = np.array([[[options["scale_x"] / width, options["scale_y"] / height]]], f32)
        linear = self.node("Mul", [back, self.node("Mul", [size, self.constant(per_pixel)])])
        corner = self.node("MatMul", [linear, self.constant(np.array([[[-width / 2], [-height / 2]]], f32))])
        shift = self.node("Add", [self.node("Transpose", [centre], {"perm": [0, 2, 1]}), corner])
        top = self.node("Concat", [linear, self.constant(np.zeros((1, 2, 1), f32)), shift], {"axis": 2})
        bottom = self.constant(np.array([[[0, 0, 1, 0], [0, 0, 0, 1]]], f32))
        return self.node("Concat", [top, bottom], {"axis": 1})

    def _op_transformtensorbilinear(self, ins: list[int], out: int, _: Any) -> str:
        """Resample a feature map through that matrix; zero outside."""
        in_height, in_width = self.shape(ins[0])[1:3]
        height, width = self.shape(out)[1:3]
        y, x = np.mgrid[:height, :width].astype(f32)
        count = height * width
        grid = np.stack([x.ravel() + f32(0.5), y.ravel() + f32(0.5), np.zeros(count, f32), np.ones(count, f32)])[None]
        mapped = self.node("MatMul", [self._block(self._names[ins[1]], [0, 0], [2, 4]), self.constant(grid)])
        mapped = self.node("Sub", [mapped, self.constant(f32(0.5))])
        limit = np.array([[[in_width - 1], [in_height - 1]]], f32)
        lower = self.node("GreaterOrEqual", [mapped, self.constant(f32(0))])
        upper = self.node("LessOrEqual", [mapped, self.constant(limit)])
        inside = self.node("Cast", [self.node("And", [lower, upper])], {"to": TensorProto.FLOAT})
        inside = self.node("ReduceMin", [inside], {"axes": [1], "keepdims": 1})
        inside = self.node("Reshape", [inside, self.constant(np.array([1, 1, height, width], np.int64))])
        scaled = self.node("Mul", [mapped, self.constant(f32(2) / limit)])
        scaled = self.node("Sub", [scaled, self.constant(f32(1))])
        scaled = self.node("Transpose", [scaled], {"perm": [0, 2, 1]})
        scaled = self.node("Reshape", [scaled, self.constant(np.array([1, height, width, 2], np.int64))])
        attributes = {"align_corners": 1, "mode": "bilinear", "padding_mode": "zeros"}
        sampled = self.node("GridSample", [self._names[ins[0]], scaled], attributes)
        return self.node("Mul", [sampled, inside])

    def _op_transformlandmarks(self, ins: list[int], out: int, _: Any) -> str:
        matrix = self._names[ins[1]]
        turn = self.node("Transpose", [self._block(matrix, [0, 0], [2, 2])], {"perm": [0, 2, 1]})
        shift = self.node("Transpose", [self._block(matrix, [0, 3], [2, 4])], {"perm": [0, 2, 1]})
        return self.node("Add", [self.node("MatMul", [self._names[ins[0]], turn]), shift])


def padding(
    size: Sequence[int], kernel: Sequence[int], stride: Sequence[int], mode: int, dilation: Sequence[int] = (1, 1)
) -> list[int]:
    """ONNX pads (top, left, bottom, right) of tflite's SAME or VALID."""
    if mode == schema.Padding.VALID:
        return [0, 0, 0, 0]
    pairs = []
    for length, taps, step, spread in zip(size, kernel, stride, dilation, strict=True):
        total = max((-(-length // step) - 1) * step + (taps - 1) * spread + 1 - length, 0)
        pairs.append((total // 2, total - total // 2))
    return [pairs[0][0], pairs[1][0], pairs[0][1], pairs[1][1]]


def stored_values(tensor: Any, raw: bytes) -> Array:
    """Weights of a tensor, unpacked if they are stored sparsely."""
    values = np.frombuffer(raw, TYPES[tensor.type])
    shape = [] if tensor.shape is None else [int(n) for n in tensor.shape]
    return values.reshape(shape) if tensor.sparsity is None else unpacked(tensor.sparsity, shape, values)


def unpacked(sparsity: Any, shape: list[int], values: Array) -> Array:
    """Dense form of block-sparse values (tflite's SparsityParameters: levels in traversal order, dense or CSR)."""
    rank = len(shape)
    block_of = [] if sparsity.blockMap is None else [int(d) for d in sparsity.blockMap]
    levels = sparsity.dimMetadata
    block = [1] * rank
    for position, dimension in enumerate(block_of):
        block[dimension] = int(levels[rank + position].denseSize)
    order = [int(d) for d in sparsity.traversalOrder]

    def numbers(vector: Any) -> list[int]:
        return [] if vector is None else [int(v) for v in vector.values]

    tables = [(m.format, int(m.denseSize), numbers(m.arraySegments), numbers(m.arrayIndices)) for m in levels]
    dense = np.zeros(shape, values.dtype)

    def visit(level: int, path: list[int], entry: int) -> None:
        if level == len(order):
            place = [0] * rank
            for index, dimension in zip(path, order, strict=True):
                if dimension < rank:
                    place[dimension] += index * block[dimension]
                else:
                    place[block_of[dimension - rank]] += index
            dense[tuple(place)] = values[entry]
            return
        layout, size, segments, indices = tables[level]
        if layout == schema.DimensionType.DENSE:
            for index in range(size):
                visit(level + 1, [*path, index], entry * size + index)
        else:
            for position in range(segments[entry], segments[entry + 1]):
                visit(level + 1, [*path, indices[position]], position)

    visit(0, [], 0)
    return dense
