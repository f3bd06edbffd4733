"""ONNX files of the user's: odd inputs and outputs, files that want memory or time, weights outside their folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import models.probe
from models.choices import DetectorChoice
from models.detection.choose import open_detector
from models.detection.runtime import OnnxDetector
from models.parsing.parser import FaceParser
from models.probe import open_model, probe
from models.registry import ModelError
from models.weights import model_path

BOXES = np.tile(np.array([10, 10, 40, 40], np.float32), (1, 4, 1))
POINTS = np.tile(np.array([[15, 15], [35, 15], [25, 25], [18, 35], [32, 35]], np.float32), (1, 4, 1, 1))
SCORES = np.full((1, 4), 0.9, np.float32)
PICTURE = np.zeros((80, 100, 3), np.uint8)


class Session:
    """Answers with given arrays."""

    def __init__(self, *answer: Any) -> None:
        self.answer = list(answer)

    def run(self, names: Sequence[str], feed: dict[str, Any]) -> list[Any]:
        return self.answer


def detector(*answer: Any) -> OnnxDetector:
    one = OnnxDetector(Path("own.onnx"))
    one.__dict__["_opened"] = (Session(*answer), 64)
    return one


def changed(values: np.ndarray, at: tuple[int, ...], value: float) -> np.ndarray:
    out = values.copy()
    out[at] = value
    return out


def test_sound_answers_are_faces() -> None:
    (face,) = detector(SCORES, BOXES, POINTS)(PICTURE)
    assert face.score == pytest.approx(0.9)
    assert detector(changed(SCORES, (0, slice(None)), 0.1), BOXES, POINTS)(PICTURE) == []
    assert detector(SCORES, np.zeros_like(BOXES), POINTS)(PICTURE) == []
    empty = [np.zeros((1, 0, *tail), np.float32) for tail in ((), (4,), (5, 2))]
    assert detector(*empty)(PICTURE) == []


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((changed(SCORES, (0, 1), np.nan), BOXES, POINTS), "not finite"),
        ((changed(SCORES, (0, 1), np.inf), BOXES, POINTS), "not finite"),
        ((SCORES, changed(BOXES, (0, 2, 1), np.nan), POINTS), "not finite"),
        ((SCORES, BOXES, changed(POINTS, (0, 2, 1, 1), -np.inf)), "not finite"),
        ((SCORES, changed(BOXES, (0, 0, 0), -1e30), POINTS), "far outside"),
        ((SCORES, BOXES, changed(POINTS, (0, 3, 4, 0), 1e9)), "far outside"),
        ((np.float32(0.9), np.float32(1), np.float32(1)), "shape"),
        ((SCORES[0], BOXES[0], POINTS[0]), "shape"),
        ((SCORES, BOXES[:, :3], POINTS), "shape"),
        ((SCORES, BOXES, POINTS[..., :1]), "shape"),
        ((SCORES.astype(np.int64), BOXES, POINTS), "type int64"),
        ((np.full((1, 4), "x", object), BOXES, POINTS), "type object"),
    ],
)
def test_answers_that_are_no_faces_are_one_sentence(answer: tuple[Any, ...], words: str) -> None:
    with pytest.raises(ModelError, match=words) as error:
        detector(*answer)(PICTURE)
    assert "own.onnx" in str(error.value)


def write(path: Path, shape: Sequence[int | str] = (1, 64, 64, 3), *, nodes: Sequence[Any] = (), kind: int = 2) -> Path:
    """A network with an input "image" (kind 2: uint8, 1: float) and constant scores, boxes and points."""
    onnx = pytest.importorskip("onnx", reason="onnx (extra 'tools') is not installed")
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    values = {"scores": SCORES, "boxes": BOXES, "points": POINTS}
    made = {name for node in nodes for name in node.output}
    own = [
        helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value))
        for name, value in values.items()
        if name not in made
    ]
    outputs = [helper.make_tensor_value_info(name, 1, None) for name in values]
    graph = helper.make_graph([*nodes, *own], "g", [helper.make_tensor_value_info("image", kind, shape)], outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize(
    ("shape", "kind", "words"),
    [
        ((1, 100_000, 100_000, 3), 2, "shape"),
        ((1, 8192, 8192, 3), 2, "shape"),
        ((1, 4096, 4096, 3), 2, "needs images of 4096 px"),
        ((1, 1, 1, 3), 2, "needs images of 1 px"),
        ((1, 0, 0, 3), 2, "shape"),
        ((1, -5, -5, 3), 2, "can't|not a face detector"),
        ((1, 64, 32, 3), 2, "not a face detector"),
        ((7, 64, 64, 3), 2, "not a face detector"),
        ((1, 3, 64, 64), 2, "not a face detector"),
        ((1, "s", "s", 3), 2, "not a face detector"),
        ((64, 64), 2, "not a face detector"),
        ((1, 64, 64, 3), 1, "not a face detector"),
        ((1, 64, 64, 3), 7, "type"),
    ],
)
def test_inputs_are_bounded_before_anything_is_allocated(tmp_path: Path, shape: Any, kind: int, words: str) -> None:
    with pytest.raises(ModelError, match=words) as error:
        open_detector(DetectorChoice.parse(str(write(tmp_path / "own.onnx", shape, kind=kind))))
    assert "own.onnx" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_wants_memory_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("resource", reason="no limits of memory on this system")
    onnx = pytest.importorskip("onnx", reason="onnx (extra 'tools') is not installed")
    shape = onnx.numpy_helper.from_array(np.array([1, 4_000_000_000], np.int64))
    nodes = [
        onnx.helper.make_node("Constant", [], ["shape"], value=shape),
        onnx.helper.make_node("ConstantOfShape", ["shape"], ["scores"]),
    ]
    with pytest.raises(ModelError, match="more memory"):
        open_model(write(tmp_path / "own.onnx", nodes=nodes))


def test_a_file_that_never_ends_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx (extra 'tools') is not installed")
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    monkeypatch.setattr(models.probe, "SECONDS", 3.0)
    info = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["c1"]), helper.make_node("Add", ["x", "x"], ["x1"])], "body",
        [info("i", 7, []), info("c", 9, []), info("x", 1, [1, 4])], [info("c1", 9, []), info("x1", 1, [1, 4])],
    )  # fmt: skip
    start = {"n": np.int64(10**12), "go": np.bool_(True), "x0": SCORES}
    nodes = [
        helper.make_node("Constant", [], [k], value=numpy_helper.from_array(np.asarray(v))) for k, v in start.items()
    ]
    nodes.append(helper.make_node("Loop", ["n", "go", "x0"], ["scores"], body=body))
    with pytest.raises(ModelError, match="more than 3 s"):
        probe(write(tmp_path / "own.onnx", nodes=nodes))


@pytest.mark.parametrize("place", ["../weights.bin", "{absolute}", "none.bin"])
def test_weights_outside_the_folder_are_refused(tmp_path: Path, place: str) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx (extra 'tools') is not installed")
    (tmp_path / "weights.bin").write_bytes(SCORES.tobytes())
    folder = tmp_path / "sub"
    folder.mkdir()
    path = write(folder / "own.onnx", nodes=[onnx.helper.make_node("Identity", ["w"], ["scores"])])
    model = onnx.load(path)
    tensor = model.graph.initializer.add(name="w", data_type=1, dims=[1, 4], data_location=1)
    for key, value in (("location", place.format(absolute=tmp_path / "weights.bin")), ("length", "16")):
        tensor.external_data.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="outside its folder") as error:
        open_model(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"x", b"\x08\x07nonsense", bytes(1000), b"\xff" * 100, b"\x08\x07\x3a\x00"])
def test_what_is_no_onnx_file_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "own.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"own\.onnx") as error:
        open_model(path)
    assert "\n" not in str(error.value)


def test_random_damage_ends_in_a_sentence_or_a_model(tmp_path: Path) -> None:
    data = model_path("detect/osa_nano").read_bytes()
    rng = np.random.default_rng(1)
    path = tmp_path / "own.onnx"
    for _ in range(6):
        broken = bytearray(data)
        for at in rng.integers(0, 4000, 20):
            broken[at] = rng.integers(0, 256)
        path.write_bytes(broken)
        try:
            open_detector(DetectorChoice.parse(str(path)))(PICTURE)
        except ModelError as error:
            assert "\n" not in str(error)  # noqa: PT017 - damage may also leave a detector


def test_the_probe_reads_nothing_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("numpy", "onnxruntime", "json", "models"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nraise SystemExit\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    assert probe(model_path("detect/osa_nano"))["shapes"]["boxes"][2] == 4
    assert not (tmp_path / "ran").exists()


def test_parsers_of_odd_sizes_are_refused(tmp_path: Path) -> None:
    for shape, words in (((1, 3, 64, 32), "squares"), ((1, 3, 8, 8), "squares"), ((1, 3), "not a face parser")):
        path = write(tmp_path / "own.onnx", shape, kind=1)
        with pytest.raises(ModelError, match=words):
            assert FaceParser(path)._session
