"""The nodes for ComfyUI against its contract; ComfyUI's own nodes and executor are stand-ins."""

from __future__ import annotations

import json
import subprocess
import sys
from fractions import Fraction
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.media.images import read_image
from app.media.reader import open_clip
from app.options import RenderOptions
from app.render import Job, render
from liveportrait.comfyui import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS
from liveportrait.comfyui.nodes import rate_of, to_batch, to_pixels

torch = pytest.importorskip("torch", reason="PyTorch (extra 'torch') is not installed")

SAMPLE = Path(__file__).resolve().parents[2] / "assets" / "sample"
WIDGETS = {"INT": int, "FLOAT": float, "STRING": str, "BOOLEAN": bool}
FRAMES = 3


def tensor(image: np.ndarray) -> Any:
    return torch.from_numpy(image.astype(np.float32) / 255)


@pytest.fixture(scope="module")
def clip() -> Any:
    """(FRAMES, H, W, 3) first frames of the sample's driving clip, and its rate."""
    with open_clip(SAMPLE / "driving.mp4", film=True) as reader:
        images = [frame.rgb for frame, _ in zip(reader, range(FRAMES), strict=False)]
        return torch.stack([tensor(image) for image in images]), reader.info.rate


@pytest.fixture(scope="module")
def photo() -> Any:
    return tensor(read_image(SAMPLE / "portrait.jpg").rgb)[None]


def run(workflow: dict[str, Any], known: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
    """Execute a workflow as ComfyUI does: inputs are checked against INPUT_TYPES, links are followed."""
    done: dict[str, tuple[Any, ...]] = {}

    def output(number: str) -> tuple[Any, ...]:
        if number not in done:
            node = workflow[number]
            given = {k: output(v[0])[v[1]] if isinstance(v, list) else v for k, v in node["inputs"].items()}
            found = known[node["class_type"]]
            if not isinstance(found, type):
                done[number] = found(**given)
                return done[number]
            types = found.INPUT_TYPES()
            declared = types["required"] | types.get("optional", {})
            assert set(types["required"]) <= set(given) <= set(declared)
            for name, value in node["inputs"].items():
                kind, *facts = declared[name]
                if isinstance(value, list):
                    source = known[workflow[value[0]]["class_type"]]
                    assert not isinstance(source, type) or source.RETURN_TYPES[value[1]] in kind.split(",")
                elif isinstance(kind, list):
                    assert value in kind
                else:
                    assert isinstance(value, (WIDGETS[kind], int))
                    assert facts[0].get("min", value) <= value <= facts[0].get("max", value)
            done[number] = getattr(found(), found.FUNCTION)(**given)
            assert len(done[number]) == len(found.RETURN_TYPES)
        return done[number]

    for number in workflow:
        output(number)
    return done


def test_nodes_declare_what_comfyui_asks_for():
    assert set(NODE_CLASS_MAPPINGS) == set(NODE_DISPLAY_NAME_MAPPINGS)
    for node in NODE_CLASS_MAPPINGS.values():
        assert hasattr(node, node.FUNCTION)
        assert node.CATEGORY
        assert len(node.RETURN_TYPES) == len(node.RETURN_NAMES)
        for kind, *facts in [v for group in node.INPUT_TYPES().values() for v in group.values()]:
            assert isinstance(kind, (str, list))
            if isinstance(kind, str) and kind in WIDGETS:
                assert isinstance(facts[0]["default"], WIDGETS[kind])
                json.dumps(facts)


def test_the_workflow_makes_the_frames_of_the_command_line(clip, photo, tmp_path):
    images, rate = clip
    workflow = json.loads((files("liveportrait.comfyui") / "workflow.json").read_text("utf-8"))
    workflow["4"]["inputs"]["engine"] = "mesh"
    saved: list[Any] = []
    core = {
        "LoadImage": lambda image: (photo, None),
        "LoadVideo": lambda file: (file,),
        "GetVideoComponents": lambda video: (images, None, float(rate)),
        "CreateVideo": lambda images, fps, audio: (images,),
        "SaveVideo": lambda video, **_: (saved.append(video),),
    }
    run(workflow, NODE_CLASS_MAPPINGS | core)
    values = {"output": str(tmp_path / "%02d.png"), "engine": "mesh", "mark": "metadata", "end": str(FRAMES / rate)}
    render(Job(SAMPLE / "portrait.jpg", SAMPLE / "driving.mp4", RenderOptions.from_values(values)))
    expected = np.stack([read_image(path).rgb for path in sorted(tmp_path.glob("*.png"))])
    assert saved[0].dtype == torch.float32
    assert np.array_equal(np.stack([to_pixels(image) for image in saved[0]]), expected)


def test_motions_mix_and_a_portrait_lives_without_a_driver(clip, photo):
    images, rate = clip
    nodes = {name: node() for name, node in NODE_CLASS_MAPPINGS.items()}
    (portrait,) = nodes["PortraitAnimateLoad"].load(photo, "mesh", "largest")
    (motion,) = nodes["PortraitAnimateReadMotion"].read(portrait, images, float(rate))
    (mix,) = nodes["PortraitAnimateMix"].mix(motion, lips_from=motion)
    animate = nodes["PortraitAnimate"].animate
    (mixed,) = animate(portrait, 1, 25.0, 0.0, motion=mix)
    assert mixed.shape == photo.shape
    (alive,) = animate(portrait, 2, 1.0, 1.0)
    assert (alive[0] - alive[1]).abs().max() > 0.05
    (still,) = animate(portrait, 0, 25.0, 0.0)
    assert len(still) == 1


def test_faults_are_sentences(photo):
    load = NODE_CLASS_MAPPINGS["PortraitAnimateLoad"]().load
    with pytest.raises(ValueError, match="No face"):
        load(torch.zeros(1, 64, 64, 3), "mesh", "largest")
    with pytest.raises(ValueError, match="shape"):
        load(torch.zeros(1, 2, 64, 64), "mesh", "largest")
    (portrait,) = load(photo, "mesh", "largest")
    with pytest.raises(ValueError, match="No face was found in the driving"):
        NODE_CLASS_MAPPINGS["PortraitAnimateReadMotion"]().read(portrait, torch.zeros(1, 64, 64, 3), 25.0)


def test_frames_are_taken_one_at_a_time():
    """A batch of frames is filled while they are made: never two lists of them."""
    alive: list[int] = []

    def frames():
        for number in range(4):
            alive.append(number)
            yield np.full((2, 2, 3), number, np.uint8)
            alive.remove(number)

    assert to_batch(frames(), 4)[3].max() == pytest.approx(3 / 255)
    assert rate_of(29.97) == Fraction(30000, 1001)
    assert (rate_of(25.0), rate_of(24.0), rate_of(12.5)) == (25, 24, Fraction(25, 2))


def test_nodes_are_made_known_to_comfyui(tmp_path):
    def make() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "liveportrait.comfyui", str(tmp_path)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert make().returncode == 2
    (tmp_path / "custom_nodes").mkdir()
    assert make().returncode == 0
    own = tmp_path / "custom_nodes" / "portrait-animate"
    (tmp_path / "app").mkdir()  # ComfyUI has a package of this name, and a folder named models
    (tmp_path / "app" / "__init__.py").write_text("foreign = True")
    (tmp_path / "models").mkdir()
    code = f"import sys; sys.path.insert(0, {str(own.parent)!r}); import app; assert app.foreign; "
    code += "import importlib; print(len(importlib.import_module('portrait-animate').NODE_CLASS_MAPPINGS))"
    found = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert found.stdout.strip() == "5", found.stderr
    (own / "__init__.py").write_text("mine = True")
    assert make().returncode == 2
