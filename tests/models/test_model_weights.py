from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path

import pytest

from models.forms import LEGACY_TORCH
from models.registry import ModelError, ModelFile, ModelSpec, get_model
from models.sessions import create_session
from models.weights import bundled_folder, check_file, find_model, import_model, model_path, user_folder, verify

DATA = bytes(range(256)) * 40
FILE = ModelFile("group/weights.bin", len(DATA), hashlib.sha256(DATA).hexdigest())
SPEC = ModelSpec("test/weights", "test", (FILE,), "MIT", True, "a test")

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 10240\n"
HTML = b"\n<!DOCTYPE html><html><body>404</body></html>"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PORTRAIT_MODELS", str(tmp_path / "models"))
    (tmp_path / "models" / "group").mkdir(parents=True)
    return tmp_path / "models"


@pytest.mark.parametrize(
    ("content", "state", "words"),
    [
        (DATA, "ok", "complete and unchanged"),
        (b"", "empty", "is empty"),
        (LFS, "git-lfs pointer", "Git LFS pointer"),
        (HTML, "html page", "web page"),
        (DATA[:5000], "truncated", "is truncated after 5,000 of 10,240 bytes"),
        (DATA + b"x", "wrong size", "10,241 bytes instead of 10,240"),
        (DATA[:-1] + b"x", "wrong hash", "SHA-256 differs"),
    ],
)
def test_verify_names_the_fault(folder: Path, content: bytes, state: str, words: str):
    path = folder / FILE.name
    path.write_bytes(content)
    (status,) = verify(SPEC)
    assert (status.state, status.path, status.ok) == (state, path, state == "ok")
    assert words in status.message
    assert str(path) in status.message
    assert "\n" not in status.message
    if not status.ok:
        assert "Import test/weights" in status.message


def test_missing_file_is_named_with_a_remedy(folder: Path):
    (status,) = verify(SPEC)
    assert status.state == "missing"
    assert status.path == folder / FILE.name
    with pytest.raises(ModelError, match=r"group/weights\.bin of model test/weights is missing .* Import"):
        find_model(SPEC)
    with pytest.raises(ModelError, match=r"liveportrait/human is missing .* `animate models download liveportrait/hum"):
        find_model("liveportrait/human")


def safetensors(header: dict[str, object], body: int) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(body)


def archive(name: str = "data.pkl") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr(name, bytes(3000))
    return stream.getvalue()


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]


TENSOR = {"w": {"dtype": "F32", "shape": [100], "data_offsets": [0, 400]}}
ONNX = (bundled_folder() / "face" / "selfie_segmentation.onnx").read_bytes()


@pytest.mark.parametrize(
    ("name", "content", "state"),
    [
        ("w.safetensors", safetensors(TENSOR, 400), "ok"),
        ("w.safetensors", safetensors(TENSOR, 300), "truncated"),
        ("w.safetensors", safetensors(TENSOR, 400)[:40], "truncated"),
        ("w.safetensors", b"\x04\0\0\0\0\0\0\0{]]}", "truncated"),
        ("w.pth", archive(), "ok"),
        ("w.pth", archive()[:2000], "truncated"),
        ("w.pth", LEGACY_TORCH + bytes(1000), "ok"),
        ("w.pth", LEGACY_TORCH, "truncated"),
        ("w.pth", b"\x80\x02}.", "truncated"),
        ("w.pth", b"\x80\x02}q\0." + bytes(1000), "truncated"),
        ("w.pth", flipped(archive(), 1000), "truncated"),
        ("w.pth", archive("readme.txt"), "truncated"),
        ("w.pth", b"PK\x05\x06" + bytes(18), "truncated"),
        ("w.safetensors", safetensors({}, 0), "truncated"),
        ("w.safetensors", safetensors({"w": TENSOR["w"] | {"shape": [99]}}, 400), "truncated"),
        ("w.safetensors", safetensors({"w": TENSOR["w"] | {"shape": [-100]}}, 400), "truncated"),
        ("w.safetensors", safetensors({"w": TENSOR["w"] | {"dtype": "F33"}}, 400), "truncated"),
        ("w.safetensors", safetensors({"w": TENSOR["w"], "v": TENSOR["w"]}, 400), "truncated"),
        ("w.safetensors", safetensors({"w": TENSOR["w"] | {"data_offsets": [8, 408]}}, 408), "truncated"),
        ("w.safetensors", b"\x40\x0d\x03\0\0\0\0\0" + b'{"a":' * 40_000, "truncated"),
        ("w.safetensors", b"\xff" * 8 + b"{}", "truncated"),
        ("w.onnx", b"\x08\x07\x10\x00", "truncated"),
        ("w.pth", b"plain text", "truncated"),
        ("w.pth", LFS, "git-lfs pointer"),
        ("w.onnx", ONNX, "ok"),
        ("w.onnx", ONNX[: len(ONNX) // 2], "truncated"),
        ("w.onnx", b"plain text, not a protobuf", "truncated"),
        ("w.onnx", HTML, "html page"),
    ],
)
def test_form_is_checked_where_no_hash_is_known(tmp_path: Path, name: str, content: bytes, state: str):
    path = tmp_path / name
    path.write_bytes(content)
    status = check_file(path, ModelFile(name))
    assert status.state == state, status.message
    if status.ok:
        assert "no trusted hash" in status.message


def test_shipped_models_win_over_the_users_folder(folder: Path):
    (folder / "face").mkdir()
    (folder / "face" / "selfie_segmentation.onnx").write_bytes(b"other")
    assert model_path("matte/selfie") == bundled_folder() / "face" / "selfie_segmentation.onnx"


def test_a_single_path_needs_a_single_file(folder: Path):
    for file in get_model("liveportrait/human").files:
        (folder / file.name).parent.mkdir(parents=True, exist_ok=True)
        (folder / file.name).write_bytes(archive())
    assert all(status.ok for status in verify("liveportrait/human"))
    with pytest.raises(ModelError, match="5 files"):
        model_path("liveportrait/human")


def test_user_folder_is_a_cache_unless_chosen(monkeypatch: pytest.MonkeyPatch, folder: Path):
    assert user_folder() == folder
    monkeypatch.delenv("PORTRAIT_MODELS")
    assert "portrait-animate" in user_folder().parts
    assert user_folder().name == "models"


def test_import_picks_the_file_whose_folders_fit(tmp_path: Path, folder: Path):
    for place, content in (("clone/other", b"wrong"), ("clone/deep/group", DATA)):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "weights.bin").write_bytes(content)
    assert import_model(SPEC, tmp_path / "clone") == [folder / FILE.name]
    assert verify(SPEC)[0].ok
    assert import_model(SPEC, folder) == [folder / FILE.name]
    assert [p.name for p in (folder / "group").iterdir()] == ["weights.bin"]


def test_import_refuses_what_it_cannot_trust(tmp_path: Path, folder: Path):
    source = tmp_path / "clone"
    with pytest.raises(ModelError, match="is not a folder"):
        import_model(SPEC, source)
    (source / "a").mkdir(parents=True)
    with pytest.raises(ModelError, match=r"has no file weights\.bin"):
        import_model(SPEC, source)
    (source / "a" / "weights.bin").write_bytes(LFS)
    with pytest.raises(ModelError, match=r"Git LFS pointer.*Nothing was imported"):
        import_model(SPEC, source)
    (source / "b").mkdir()
    (source / "b" / "weights.bin").write_bytes(DATA)
    with pytest.raises(ModelError, match=r"has 2 files weights\.bin"):
        import_model(SPEC, source)
    assert not (folder / FILE.name).exists()


def test_session_of_a_damaged_file_names_it(tmp_path: Path):
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(ModelError, match=r"broken\.onnx can't be opened"):
        create_session(path)
