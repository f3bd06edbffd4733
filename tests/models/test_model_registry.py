from __future__ import annotations

import hashlib
import subprocess
import sys

import pytest

from models.registry import ModelError, ModelFile, ModelSpec, Registry, get_model, list_models, natural_key
from models.weights import bundled_folder, find_model, verify

EMBEDDED = ["detect/blaze_full", "detect/blaze_short", "landmarks/mesh478", "matte/selfie"]


def spec(name: str, **changes: object) -> ModelSpec:
    return ModelSpec(name, "test", (ModelFile("a.bin"),), "MIT", True, "here", **changes)


def test_lists_by_pattern_in_natural_order():
    registry = Registry((spec("x/s10"), spec("x/s9"), spec("y/a")))
    assert registry.names() == ["x/s9", "x/s10", "y/a"]
    assert registry.names("x/*") == ["x/s9", "x/s10"]
    assert registry.names("z/*") == []
    assert set(EMBEDDED) <= set(list_models())
    assert list_models("detect/*") == [*EMBEDDED[:2], "detect/osa_nano"]


def test_natural_key_mixes_numbers_and_text():
    assert sorted(["b", "a10", "a9", "3", "a"], key=natural_key) == ["3", "a", "a9", "a10", "b"]


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(ModelError, match="detect/blaze_full, detect/blaze_short"):
        get_model("detect/nothing")
    with pytest.raises(ModelError, match="landmarks/mesh478"):
        get_model("nothing")


def test_a_name_belongs_to_one_model():
    registry = Registry((spec("x/a"),))
    assert registry.register(spec("x/a")) == registry.get("x/a")
    with pytest.raises(ModelError, match="already registered"):
        registry.register(spec("x/a", note="other"))
    with pytest.raises(ModelError, match="not a model name"):
        registry.register(spec("No Slash"))


@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_models_are_whole(name: str):
    (status,) = verify(name)
    assert status.ok, status.message
    assert find_model(name) == [status.path]
    assert get_model(name).commercial_ok
    assert get_model(name).licence == "Apache-2.0"


def test_shipped_networks_hold_no_paths_of_the_computer_that_made_them():
    paths = sorted(bundled_folder().rglob("*.onnx"))
    assert paths
    told = (b"stack_trace", b"site-packages", b"/home/", b"/root/")
    assert not [path.name for path in paths if any(word in path.read_bytes() for word in told)]


def test_hash_list_and_registry_agree():
    listed = dict(
        reversed(line.split()) for line in (bundled_folder() / "face" / "SHA256SUMS").read_text().splitlines()
    )
    registered = {file.name.removeprefix("face/"): file for name in EMBEDDED for file in get_model(name).files}
    assert listed == {name: file.sha256 for name, file in registered.items()}
    for name, file in registered.items():
        data = (bundled_folder() / "face" / name).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (file.size, file.sha256)


def test_licence_and_notice_lie_beside_the_models():
    folder = bundled_folder() / "face"
    assert "Apache License" in (folder / "LICENSE-Apache-2.0.txt").read_text()
    assert "mediapipe 0.10.21" in (folder / "NOTICE.txt").read_text()


def test_official_weights_are_known_without_invented_hashes():
    human = get_model("liveportrait/human")
    assert [file.name.rsplit("/", 1)[-1] for file in human.files] == [
        "appearance_feature_extractor.pth",
        "motion_extractor.pth",
        "warping_module.pth",
        "spade_generator.pth",
        "stitching_retargeting_module.pth",
    ]
    assert not human.hashed
    assert "No trusted hash" in human.note
    assert not get_model("insightface/buffalo_l").commercial_ok


def test_import_touches_neither_network_nor_runtime():
    code = (
        "import socket, sys\n"
        "def refuse(*a, **k): raise SystemExit('network')\n"
        "socket.socket.connect = refuse\n"
        "import models.registry, models.weights, models.download\n"
        "import models.face, models.tracker, models.matte, models.insight\n"
        "heavy = {'onnxruntime', 'torch', 'onnx', 'insightface', 'huggingface_hub'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "models.tracker.FaceTracker(); models.matte.PersonMatte()\n"
        "assert 'onnxruntime' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
