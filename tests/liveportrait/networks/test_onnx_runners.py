"""The exported networks on ONNX Runtime and OpenVINO: bound buffers, W in two halves, types within a file, parity."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch (extra 'torch') is not installed")
onnx = pytest.importorskip("onnx", reason="onnx (extra 'onnx') is not installed")
pytest.importorskip("onnxscript", reason="onnxscript (extra 'onnx') is not installed")

import onnxruntime  # noqa: E402

from liveportrait.engines.onnx_providers import CPU  # noqa: E402
from liveportrait.engines.onnx_runners import OnnxRunner, OpenVinoRunner, has_bfloat16  # noqa: E402
from liveportrait.networks.fast.export import SOURCE_OUTPUTS, export_one  # noqa: E402
from liveportrait.networks.fast.kept import content_key, kept_key  # noqa: E402

pytestmark = pytest.mark.xdist_group("exports")  # with --dist loadgroup, one worker writes the files
SIZE = 32
KNOWN = {
    "Abs", "Add", "AveragePool", "BatchNormalization", "Cast", "Clip", "Concat", "Conv", "DepthToSpace", "Div", "Exp",
    "Expand", "Gather", "Gelu", "Gemm", "GridSample", "InstanceNormalization", "LayerNormalization", "LeakyRelu",
    "MatMul", "Mul", "Pad", "Pow", "ReduceL2", "ReduceMean", "ReduceSum", "Relu", "Reshape", "Resize", "Sigmoid",
    "Slice", "Softmax", "Split", "Sqrt", "Sub", "Transpose", "Unsqueeze",
}  # fmt: skip


@pytest.fixture(scope="module")
def given():
    """A smooth volume, source keypoints, two sets of driving keypoints."""
    random = np.random.default_rng(3)
    points = (0.4 * random.standard_normal((3, 1, 21, 3))).astype(np.float32)
    coarse = torch.from_numpy(random.standard_normal((1, 32, 4, 8, 8)).astype(np.float32))
    volume = torch.nn.functional.interpolate(coarse, (16, SIZE, SIZE), mode="trilinear", align_corners=False)
    return volume.numpy(), points[0], points[1], points[2]


@pytest.fixture(scope="module")
def wanted(networks, given):
    volume, source, *drivings = (torch.from_numpy(values) for values in given)
    with torch.inference_mode():
        outs = [networks["warping_module"](volume, driving, source)["out"] for driving in drivings]
        return [out.numpy() for out in outs], networks["spade_generator"](outs[0]).numpy()


@pytest.fixture(scope="module")
def files(exported):
    """As ONNX Runtime's CPU provider takes them."""
    return exported(processor=True)


@pytest.fixture(scope="module")
def readers(networks, onnx_folder):
    return {part: export_one(part, networks, onnx_folder) for part in ("appearance", "motion")}


@pytest.fixture(scope="module")
def runner(files):
    return OnnxRunner(files, CPU, threads=2)


def test_w_in_two_halves_is_w(runner, given, wanted):
    source = runner.prepare(given[0], given[1])
    for driving, out in zip(given[2:], wanted[0], strict=True):
        assert np.abs(runner.warp(source, driving).read() - out).max() < 2e-4
    image = runner.draw(runner.warp(source, given[2]))
    assert image.shape == (1, 3, 8 * SIZE, 8 * SIZE)
    assert np.abs(image - wanted[1]).max() < 1e-4


def test_bound_buffers_change_no_bit(runner, files, given):
    def run(path, **inputs):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 2
        return onnxruntime.InferenceSession(path, options, providers=[CPU]).run(None, inputs)

    image = runner.draw(runner.warp(runner.prepare(given[0], given[1]), given[2])).copy()
    source = {"feature_3d": given[0], "kp_source": given[1]}
    halves = dict(zip(SOURCE_OUTPUTS, run(files.source, **source), strict=True))
    [out] = run(files.frame, **source, **halves, kp_driving=given[2])
    assert np.array_equal(run(files.generator, feature=out)[0], image)


def test_buffers_stay_and_sources_dont_mix(runner, given):
    first = runner.prepare(given[0], given[1])
    second = runner.prepare(given[0][..., ::-1], given[3])
    one = runner.draw(runner.warp(first, given[2]))
    kept = one.copy()
    other = runner.draw(runner.warp(second, given[2]))
    assert other is one  # the same memory, written anew
    assert not np.array_equal(other, kept)
    assert np.array_equal(runner.draw(runner.warp(first, given[2])), kept)


def test_the_processor_copies_nothing(runner, given):
    out = runner.warp(runner.prepare(given[0], given[1]), given[2])
    assert np.shares_memory(out.read(), out.read())
    assert runner.memory == {}
    assert runner.readers is None


def test_operators_of_every_file(files, readers):
    samples = {}
    for name, path in ({k: v for k, v in vars(files).items() if v} | readers).items():
        model = onnx.load(path)
        onnx.checker.check_model(model)
        counts = Counter(node.op_type for node in model.graph.node)
        assert set(counts) <= KNOWN, name
        samples[name] = counts["GridSample"]
        values = (*model.graph.input, *model.graph.output)
        assert {value.type.tensor_type.elem_type for value in values} == {onnx.TensorProto.FLOAT}
        assert all(d.dim_value > 0 for value in values for d in value.type.tensor_type.shape.dim)
    assert samples == {"source": 0, "frame": 1, "generator": 0, "appearance": 0, "motion": 0}


def test_half_a_file_is_written_again(networks, tmp_path):
    said = []
    path = export_one("source", networks, tmp_path, size=SIZE, say=said.append)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    again = export_one("source", networks, tmp_path, size=SIZE, say=said.append)
    assert [line.partition(" ")[0] for line in said] == ["Writing", path.name, "Writing"]
    assert content_key(again) == kept_key(again)
    onnx.checker.check_model(onnx.load(again))
    assert list(tmp_path.iterdir()) == [again]


def test_readers_on_the_runtime(networks, readers, files):
    runner = OnnxRunner(SimpleNamespace(**vars(files) | readers), CPU)
    image = np.random.default_rng(0).random((1, 3, 256, 256)).astype(np.float32)
    assert runner.readers is not None
    read_appearance, read_motion = runner.readers
    with torch.inference_mode():
        volume = networks["appearance_feature_extractor"](torch.from_numpy(image)).numpy()
        motion = networks["motion_extractor"](torch.from_numpy(image))
    assert np.abs(read_appearance(image) - volume).max() < 1e-4 * np.abs(volume).max()
    found = read_motion(image)
    assert found.keys() == motion.keys()
    for name, values in motion.items():
        assert np.abs(found[name] - values.numpy()).max() < 1e-4 * max(1.0, float(values.abs().max())), name


def test_bfloat16_is_in_the_file_and_reaches_the_convolutions_only(exported):
    files = exported(sampler="gather", half="bf16", processor=True)
    model = onnx.load(files.frame)
    onnx.checker.check_model(model)
    counts = Counter(node.op_type for node in model.graph.node)
    assert counts["GridSample"] == 0
    assert counts["Softmax"] == 1
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    types = {v.name: v.type.tensor_type.elem_type for v in (*inferred.graph.value_info, *inferred.graph.output)}
    types |= {weight.name: weight.data_type for weight in model.graph.initializer}
    low, full = onnx.TensorProto.BFLOAT16, onnx.TensorProto.FLOAT
    convs = [types[node.input[1]] for node in model.graph.node if node.op_type == "Conv"]
    assert convs.count(full) == 3  # the sum of occlusion taps, and the two on the way to G
    assert convs.count(low) == len(convs) - 3 > 20
    for node in model.graph.node:
        if node.op_type in {"Softmax", "Exp", "Abs", "Floor", "Sigmoid", "GatherElements"}:
            assert types[node.output[0]] == full, node.op_type
    assert low not in {weight.data_type for weight in onnx.load(files.source).graph.initializer}
    model = onnx.shape_inference.infer_shapes(onnx.load(files.generator), data_prop=True)
    onnx.checker.check_model(model)
    types = {v.name: v.type.tensor_type.elem_type for v in (*model.graph.value_info, *model.graph.output)}
    types |= {weight.name: weight.data_type for weight in model.graph.initializer}
    convs = [types[node.input[1]] for node in model.graph.node if node.op_type == "Conv"]
    assert convs.count(full) == 1  # the one that reads what W gives
    assert convs.count(low) == len(convs) - 1
    norms = [types[node.output[0]] for node in model.graph.node if node.op_type == "InstanceNormalization"]
    assert set(norms) == {full}


def test_openvino_in_float32(exported, given, wanted):
    pytest.importorskip("openvino", reason="openvino (extra 'openvino') is not installed")
    runner = OpenVinoRunner(exported(sampler="gather", processor=True), precision="fp32", threads=2)
    source, other = runner.prepare(given[0], given[1]), runner.prepare(given[0][..., ::-1], given[3])
    for driving, out in zip(given[2:], wanted[0], strict=True):
        assert np.abs(runner.warp(source, driving).data - out).max() < 1e-4 * np.abs(out).max()
    image = runner.draw(runner.warp(source, given[2])).copy()
    assert np.abs(image - wanted[1]).max() < 2e-4
    assert not np.array_equal(runner.draw(runner.warp(other, given[2])), image)
    assert np.array_equal(runner.draw(runner.warp(source, given[2])), image)


def test_openvino_in_bfloat16(exported, given, wanted):
    pytest.importorskip("openvino", reason="openvino (extra 'openvino') is not installed")
    if not has_bfloat16():
        pytest.skip("this processor doesn't support bfloat16")
    files = exported(sampler="gather", half="bf16", processor=True)
    runner = OpenVinoRunner(files, precision="bf16", threads=2)
    out = runner.warp(runner.prepare(given[0], given[1]), given[2])
    assert 1e-7 < np.square(out.data - wanted[0][0]).mean() / np.square(wanted[0][0]).mean() < 5e-4
    image = runner.draw(out)
    assert -10 * np.log10(np.square(image - wanted[1]).mean()) > 42
