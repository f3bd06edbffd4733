"""The exported files: operators, types, parity of the very file on ONNX Runtime, and their cache."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch (extra 'torch') is not installed")
onnx = pytest.importorskip("onnx", reason="onnx (extra 'onnx') is not installed")
pytest.importorskip("onnxscript", reason="onnxscript (extra 'onnx') is not installed")

import onnxruntime  # noqa: E402

from liveportrait.networks.fast.export import WARPING_INPUTS, export_pair, weights_key  # noqa: E402
from liveportrait.networks.fast.kept import content_key, find_kept, keep_file, kept_key  # noqa: E402

pytestmark = pytest.mark.xdist_group("exports")  # with --dist loadgroup, one worker writes the files
SIZE = 32
KNOWN = {
    "Abs", "Add", "AveragePool", "Cast", "Clip", "Concat", "Constant", "ConstantOfShape", "Conv", "DepthToSpace", "Div",
    "Exp", "Expand", "Floor", "Gather", "GatherElements", "GreaterOrEqual", "GridSample", "Identity",
    "InstanceNormalization", "And", "LeakyRelu", "LessOrEqual", "MatMul", "Mul", "Neg", "Pad", "Pow", "ReduceSum",
    "Relu", "Reshape", "Resize", "Shape", "Sigmoid", "Slice", "Softmax", "Split", "Squeeze", "Sub", "Transpose",
    "Unsqueeze",
}  # fmt: skip


@pytest.fixture(scope="module")
def given():
    random = np.random.default_rng(3)
    points = (0.4 * random.standard_normal((2, 1, 21, 3))).astype(np.float32)
    return random.standard_normal((1, 32, 16, SIZE, SIZE)).astype(np.float32), points[0], points[1]


@pytest.fixture(scope="module")
def wanted(networks, given):
    volume, source, driving = (torch.from_numpy(values) for values in given)
    with torch.inference_mode():
        out = networks["warping_module"](volume, driving, source)["out"]
        return out.numpy(), networks["spade_generator"](out).numpy()


@pytest.fixture(scope="module")
def pairs(networks, onnx_folder):
    """Both samplers and both types; test_tensorrt_real.py has the native one in half precision."""
    plain = networks["warping_module"], networks["spade_generator"]
    return {
        "native": export_pair(*plain, onnx_folder, size=SIZE),
        "gather half": export_pair(*plain, onnx_folder, size=SIZE, sampler="gather", half=True),
    }


def run(path, **given):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"]).run(None, given)[0]


def warp(path, given):
    return run(path, **dict(zip(WARPING_INPUTS, given, strict=True)))


@pytest.mark.parametrize(("form", "samples"), [("native", 1), ("gather half", 0)])
def test_operators(pairs, form, samples):
    warping, generator = (onnx.load(path) for path in (pairs[form].warping, pairs[form].generator))
    counts = Counter(node.op_type for node in warping.graph.node)
    assert set(counts) <= KNOWN
    assert counts["GridSample"] == samples
    assert {node.op_type for node in generator.graph.node} <= KNOWN - {"GridSample"}
    for model in (warping, generator):
        onnx.checker.check_model(model)
        assert all(opset.version == 20 for opset in model.opset_import if not opset.domain)
        sizes = [d for value in (*model.graph.input, *model.graph.output) for d in value.type.tensor_type.shape.dim]
        assert all(d.dim_value > 0 for d in sizes)


def test_parity_on_onnx_runtime(pairs, given, wanted):
    assert np.abs(warp(pairs["native"].warping, given) - wanted[0]).max() < 2e-4
    image = run(pairs["native"].generator, feature=wanted[0])
    assert image.shape == (1, 3, 8 * SIZE, 8 * SIZE)
    assert np.abs(image - wanted[1]).max() < 1e-4


def test_half_precision_reaches_the_convolutions_only(pairs):
    full = onnx.TensorProto.FLOAT
    for path in (pairs["gather half"].warping, pairs["gather half"].generator):
        model = onnx.shape_inference.infer_shapes(onnx.load(path), data_prop=True)
        check_types(model)
        values = (*model.graph.input, *model.graph.output)
        assert {value.type.tensor_type.elem_type for value in values} == {full}


def test_half_precision_draws_nearly_the_same(pairs, given, wanted):
    out = warp(pairs["gather half"].warping, given)
    assert np.square(out - wanted[0]).mean() < 1e-4 * np.square(wanted[0]).mean()
    difference = run(pairs["gather half"].generator, feature=wanted[0]) - wanted[1]
    assert -10 * np.log10(np.square(difference).mean()) > 45


def check_types(model):
    """float16 in convolutions only; coordinates, weights of gathers, softmax, statistics and sigmoid in float32."""
    types = {v.name: v.type.tensor_type.elem_type for v in (*model.graph.value_info, *model.graph.output)}
    types |= {weight.name: weight.data_type for weight in model.graph.initializer}
    half, full = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
    convs = [types[node.input[1]] for node in model.graph.node if node.op_type == "Conv"]
    single = 2 if any(node.op_type == "Softmax" for node in model.graph.node) else 0
    assert convs.count(half) == len(convs) - single  # of W: compress, once per source, and the sum of occlusion taps
    for node in model.graph.node:
        if node.op_type in {"Softmax", "GridSample", "Exp", "Abs", "Floor", "InstanceNormalization", "Sigmoid"}:
            assert types[node.output[0]] == full, node.op_type
        if node.op_type == "GridSample":
            assert types[node.input[1]] == full


def test_files_say_nothing_of_where_they_were_made(pairs):
    """No paths and lines of this code, so that the same network is the same file everywhere."""
    for path in (pairs["native"].warping, pairs["gather half"].generator):
        model = onnx.load(path)
        assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
        assert b"export.py" not in path.read_bytes()


def test_files_are_found_again(pairs, networks):
    plain = networks["warping_module"], networks["spade_generator"]
    said: list[str] = []
    again = export_pair(*plain, pairs["native"].warping.parent, size=SIZE, say=said.append)
    assert again == pairs["native"]
    assert not said
    assert not list(again.warping.parent.glob(".*"))
    assert kept_key(again.warping) == content_key(again.warping)


def test_a_damaged_file_is_made_again(tmp_path):
    path = keep_file(tmp_path, "net-fp32", lambda part: part.write_bytes(b"graph"))
    said: list[str] = []
    assert find_kept(tmp_path, "net-fp32", say=said.append) == path
    path.write_bytes(b"graph, cut o")
    assert find_kept(tmp_path, "net-fp32", say=said.append) is None
    assert said == [f"{path.name} is damaged; it is created again."]
    assert not list(tmp_path.iterdir())


def test_a_file_that_was_not_finished_leaves_nothing(tmp_path):
    def write(part):
        part.write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        keep_file(tmp_path, "net", write)
    assert not list(tmp_path.iterdir())


def test_the_key_follows_the_weights():
    one, other = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    other.load_state_dict(one.state_dict())
    assert weights_key(one) == weights_key(other)
    with torch.no_grad():
        other.bias[0] += 1
    assert weights_key(one) != weights_key(other)


def test_unknown_sampler(networks, tmp_path):
    with pytest.raises(ValueError, match="no sampler 'cubic'"):
        export_pair(networks["warping_module"], networks["spade_generator"], tmp_path, sampler="cubic")
