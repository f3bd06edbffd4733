"""Make the embedded face models: convert MediaPipe's .tflite files to ONNX.

    pip download --no-deps mediapipe==0.10.21 -d wheel
    pip install '.[tools]'
    python tools/convert_face_models.py wheel/mediapipe-*.whl            # compare with the shipped files
    python tools/convert_face_models.py wheel/mediapipe-*.whl -o FOLDER  # and write them

The flatbuffers are read with ai-edge-litert's schema; TensorFlow is not needed. The conversion: weights stay fp16 with
a Cast (ONNX Runtime folds it at load), activations become NCHW, the input is uint8 RGB with its scaling baked in,
sparse weights are unpacked, the custom operators of the attention mesh become plain ONNX, its refinements are merged
into 478 points, and PRelu becomes depthwise convolutions, for which ONNX Runtime's CPU kernels are twice as fast.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from models.files import file_hash
from models.weights import bundled_folder

if TYPE_CHECKING:
    from tools.tflite_graph import GraphConverter

FACE = "mediapipe/modules/face_"
SOURCES = {
    "face_detection_full_range_sparse": (FACE + "detection/face_detection_full_range_sparse.tflite", "blaze"),
    "face_detection_short_range": (FACE + "detection/face_detection_short_range.tflite", "blaze"),
    "face_landmark_with_attention": (FACE + "landmark/face_landmark_with_attention.tflite", "attention"),
    "selfie_segmentation": ("mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite", "selfie"),
}

# Index in the 478-point mesh of every point that the attention mesh refines.
LIPS = (
    61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409, 78, 95, 88, 178, 87, 14,
    317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 312, 311, 310, 415, 76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306,
    184, 74, 73, 72, 11, 302, 303, 304, 408, 62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292, 183, 42, 41, 38, 12, 268,
    271, 272, 407,
)  # fmt: skip
LEFT_EYE = (
    33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173, 130, 25, 110, 24, 23, 22, 26, 112, 243,
    247, 30, 29, 27, 28, 56, 190, 226, 31, 228, 229, 230, 231, 232, 233, 244, 113, 225, 224, 223, 222, 221, 189, 35,
    124, 46, 53, 52, 65, 143, 111, 117, 118, 119, 120, 121, 128, 245, 156, 70, 63, 105, 66, 107, 55, 193,
)  # fmt: skip
RIGHT_EYE = (
    263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398, 359, 255, 339, 254, 253, 252, 256,
    341, 463, 467, 260, 259, 257, 258, 286, 414, 446, 261, 448, 449, 450, 451, 452, 453, 464, 342, 445, 444, 443, 442,
    441, 413, 265, 353, 276, 283, 282, 295, 372, 340, 346, 347, 348, 349, 350, 357, 465, 383, 300, 293, 334, 296, 336,
    285, 417,
)  # fmt: skip
LID_POINTS = 16  # the first points of each eye table: the lid contour


def convert(source: Path, kind: str) -> Any:
    """Convert one model to an onnx.ModelProto.

    Args:
        source: The .tflite file.
        kind: "blaze", "attention" or "selfie": how input and outputs are adapted.
    """
    import numpy as np
    import onnx
    from onnx import TensorProto, helper

    from tools.tflite_graph import GraphConverter

    graph = GraphConverter(source)
    height, width = graph.shape(graph.inputs[0])[1:3]
    image = graph.node("Cast", ["image"], {"to": TensorProto.FLOAT})
    image = graph.node("Transpose", [image], {"perm": [0, 3, 1, 2]})
    if kind == "blaze":
        image = graph.node("Mul", [image, graph.constant(np.float32(1 / 127.5))])
        image = graph.node("Sub", [image, graph.constant(np.float32(1))])
    else:
        image = graph.node("Mul", [image, graph.constant(np.float32(1 / 255))])
    graph.run(image)

    results = []

    def output(name: str, tensor: str, shape: list[int]) -> None:
        graph.node("Identity", [tensor], out=name)
        results.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    if kind == "blaze":
        boxes, scores = graph.outputs
        count = graph.shape(boxes)[1]
        output("boxes", graph.flat(boxes, [count, 16]), [count, 16])
        output("logits", graph.flat(scores, [count]), [count])
    elif kind == "attention":
        output("landmarks", merge_refinements(graph), [478, 3])
        flag = graph.flat(graph.by_name("conv_faceflag"), [1])
        output("score", graph.node("Sigmoid", [flag]), [1])
    else:
        output("mask", graph.flat(graph.outputs[0], [height, width]), [height, width])

    entry = helper.make_tensor_value_info("image", TensorProto.UINT8, [1, height, width, 3])
    model = helper.make_model(
        helper.make_graph(graph.nodes, kind, [entry], results, graph.initializers),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
        producer_name="tflite_to_onnx",
    )
    onnx.checker.check_model(model)
    return model


def merge_refinements(graph: GraphConverter) -> str:
    """(478, 3) points: x and y of the refined ones from their own heads, z of an iris = mean z of its lids."""
    import numpy as np

    mesh = graph.flat(graph.by_name("output_mesh_identity"), [468, 3])
    heads = (
        ("output_lips", LIPS),
        ("output_left_eye", LEFT_EYE),
        ("output_right_eye", RIGHT_EYE),
        ("output_left_iris", tuple(range(468, 473))),
        ("output_right_iris", tuple(range(473, 478))),
    )
    parts = [graph.flat(graph.by_name(name), [len(table), 2]) for name, table in heads]
    axis = graph.constant(np.array([1], np.int64))

    def columns(first: int, last: int) -> str:
        ends = [graph.constant(np.array([value], np.int64)) for value in (first, last)]
        return graph.node("Slice", [mesh, *ends, axis])

    flat, depth = columns(0, 2), columns(2, 3)
    everything = graph.node("Concat", [flat, *parts], {"axis": 0})
    source = np.arange(478)
    position = 468
    for _, table in heads:
        # One by one: some lip indices are listed twice, and the last one wins.
        for index in table:
            source[index] = position
            position += 1
    weights = np.zeros((10, 468), np.float32)
    weights[:5, list(LEFT_EYE[:LID_POINTS])] = 1 / LID_POINTS
    weights[5:, list(RIGHT_EYE[:LID_POINTS])] = 1 / LID_POINTS
    iris = graph.node("MatMul", [graph.constant(weights), depth])
    depth = graph.node("Concat", [depth, iris], {"axis": 0})
    picked = graph.node("Gather", [everything, graph.constant(source.astype(np.int64))], {"axis": 0})
    return graph.node("Concat", [picked, depth], {"axis": 1})


def difference(new: Path, shipped: Path) -> float:
    """Largest difference of any output value over three noise images of different coarseness."""
    import cv2
    import numpy as np
    import onnxruntime

    sessions = [onnxruntime.InferenceSession(str(p), providers=["CPUExecutionProvider"]) for p in (new, shipped)]
    shape = sessions[0].get_inputs()[0].shape
    random, worst = np.random.default_rng(0), 0.0
    for grain in (4, 16, 64):
        noise = random.integers(0, 256, (grain, grain, 3), dtype=np.uint8)
        image = cv2.resize(noise, (shape[2], shape[1]), interpolation=cv2.INTER_CUBIC)[None]
        a, b = (session.run(None, {"image": image}) for session in sessions)
        worst = max(worst, *(float(np.abs(x - y).max()) for x, y in zip(a, b, strict=True)))
    return worst


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Convert MediaPipe's face models and compare with the shipped ones.")
    parser.add_argument("wheel", type=Path, help="mediapipe-0.10.21-*.whl, or a zip with the same folders")
    parser.add_argument("-o", "--output", type=Path, help="folder to write the .onnx files to")
    options = parser.parse_args(arguments)
    if not zipfile.is_zipfile(options.wheel):
        print(f"{options.wheel} is not a wheel or zip file.", file=sys.stderr)
        return 1
    missing = [name for name in ("onnx", "flatbuffers", "ai_edge_litert") if find_spec(name) is None]
    if missing:
        print(f"{', '.join(missing)} not installed; run pip install '.[tools]' first.", file=sys.stderr)
        return 1
    same = True
    with tempfile.TemporaryDirectory() as temporary, zipfile.ZipFile(options.wheel) as wheel:
        for name, (member, kind) in SOURCES.items():
            if member not in wheel.namelist():
                print(f"{options.wheel} has no {member}; use the wheel mediapipe 0.10.21.", file=sys.stderr)
                return 1
            model = convert(Path(wheel.extract(member, temporary)), kind)
            target = (options.output or Path(temporary)) / f"{name}.onnx"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(model.SerializeToString())
            shipped = bundled_folder() / "face" / target.name
            if file_hash(target) == file_hash(shipped):
                print(f"{target.name}: identical to the shipped file")
                continue
            gap = difference(target, shipped)
            same = same and gap == 0.0
            print(f"{target.name}: other bytes than the shipped file; outputs differ by at most {gap:.3g}")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
