"""Checkpoint files: official packaging, community variants, and everything that must be refused."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="PyTorch (extra 'torch') is not installed")

from safetensors.torch import save_file  # noqa: E402

from liveportrait.networks import NAMES, build_network  # noqa: E402
from liveportrait.networks.loading import find_checkpoints, load_network, load_networks, read_checkpoint  # noqa: E402
from models.registry import ModelError, ModelFile, ModelSpec  # noqa: E402
from models.weights import RECORD, record  # noqa: E402

LIP = "retarget_mouth"


@pytest.fixture
def lip(state):
    return state("lip")


def saved(path: Path, content) -> Path:
    torch.save(content, path)
    return path


def assert_same(network, weights):
    assert not network.training
    got = network.state_dict()
    assert list(got) == list(weights)
    for key, value in weights.items():
        assert torch.equal(got[key], value), key


@pytest.mark.parametrize(
    "pack",
    [
        lambda w: {LIP: w, "retarget_eye": {}},
        lambda w: {LIP: {f"module.{k}": v for k, v in w.items()}},
        lambda w: {"state_dict": {LIP: {f"module.{k}": v for k, v in w.items()}}},
        lambda w: {f"{LIP}.module.{k}": v for k, v in w.items()},
        lambda w: {f"{LIP}_{k}": v for k, v in w.items()} | {"retarget_eye_mlp.0.weight": torch.ones(2)},
        lambda w: w,
        lambda w: {"model": w},
    ],
    ids=["nested", "data-parallel", "wrapped", "flat", "flat-underscore", "alone", "alone-wrapped"],
)
def test_stitching_packaging(pack, lip, tmp_path):
    assert_same(load_network("lip", saved(tmp_path / "s.pth", pack(lip))), lip)


def test_official_folder(networks, state):
    assert set(networks) == set(NAMES)
    for name in ("stitching", "eye", "appearance_feature_extractor", "motion_extractor"):
        assert_same(networks[name], state(name))
        assert not any(p.requires_grad for p in networks[name].parameters())


def test_safetensors(state, tmp_path):
    weights = state("appearance_feature_extractor")
    save_file(weights, tmp_path / "a.safetensors")
    assert_same(load_network("appearance_feature_extractor", tmp_path / "a.safetensors"), weights)


def test_half_precision_file_is_loaded_as_float32(lip, tmp_path):
    path = saved(tmp_path / "s.pth", {k: v.half() for k, v in lip.items()})
    got = load_network("lip", path).state_dict()
    assert {v.dtype for v in got.values()} == {torch.float32}
    assert torch.allclose(got["mlp.0.weight"], lip["mlp.0.weight"], rtol=1e-3, atol=1e-4)


def test_batch_counters_may_be_absent(state, tmp_path):
    weights = state("appearance_feature_extractor")
    path = saved(tmp_path / "a.pth", {f"module.{k}": v for k, v in weights.items() if not k.endswith("_tracked")})
    assert_same(load_network("appearance_feature_extractor", path), weights)


@pytest.mark.parametrize("form", ["newer names", "folded"])
def test_other_forms_of_spectral_norm(form, networks):
    weights = networks["spade_generator"].state_dict()
    content = {}
    wanted = {}
    for key, value in weights.items():
        stem = key.removesuffix("weight_orig")
        if key.endswith("weight_orig"):
            wanted[stem] = value / (weights[f"{stem}weight_u"] @ (value.flatten(1) @ weights[f"{stem}weight_v"]))
        if form == "newer names":
            for old, new in (("weight_orig", "original"), ("weight_u", "0._u"), ("weight_v", "0._v")):
                key = key.removesuffix(old) + f"parametrizations.weight.{new}" if key.endswith(old) else key  # noqa: PLW2901
            content[key] = value
        elif key.endswith("weight_orig"):
            content[f"{stem}weight"] = wanted[stem]
        elif not key.endswith(("weight_u", "weight_v")):
            content[key] = value
    got = load_network("spade_generator", Path("generator.pth"), content).state_dict()
    assert list(got) == list(weights)
    for stem, value in wanted.items():
        matrix = got[f"{stem}weight_orig"]
        sigma = got[f"{stem}weight_u"] @ (matrix.flatten(1) @ got[f"{stem}weight_v"])
        assert torch.allclose(matrix / sigma, value, rtol=1e-5, atol=1e-7), stem


def refused(name: str, path: Path, words: str):
    with pytest.raises(ModelError, match=words) as caught:
        load_network(name, path)
    text = str(caught.value)
    assert path.name in text
    assert "\n" not in text
    assert isinstance(caught.value, ValueError)


def test_missing_key(lip, tmp_path):
    del lip["mlp.4.bias"]
    refused("lip", saved(tmp_path / "s.pth", lip), r"doesn't contain the lip network: it lacks 'mlp\.4\.bias'\.")


def test_unknown_key(lip, tmp_path):
    lip["mlp.8.weight"] = torch.ones(3)
    refused("lip", saved(tmp_path / "s.pth", lip), r"it has unknown 'mlp\.8\.weight'\.")


def test_wrong_network(state, tmp_path):
    path = saved(tmp_path / "motion_extractor.pth", state("appearance_feature_extractor"))
    refused("motion_extractor", path, r"lacks 'detector.* and 20\d more and has unknown 'first\.conv\.weight'")


def test_wrong_shape(state, tmp_path):
    refused("lip", saved(tmp_path / "s.pth", state("eye")), "has unknown 'mlp")
    weights = state("lip") | {"mlp.0.weight": torch.zeros(128, 66)}
    refused("lip", saved(tmp_path / "t.pth", weights), r"'mlp\.0\.weight' has the shape \(128, 66\), not \(128, 65\)")


def test_wrong_type(lip, tmp_path):
    refused("lip", saved(tmp_path / "s.pth", lip | {"mlp.0.bias": torch.zeros(128, dtype=torch.int64)}), "int64")
    refused("lip", saved(tmp_path / "t.pth", lip | {"mlp.0.bias": 3.0}), "'mlp.0.bias' is a float, not a tensor")


def test_nan(lip, tmp_path):
    lip["mlp.2.weight"][3, 4] = float("nan")
    refused("lip", saved(tmp_path / "s.pth", lip), "not numbers")


def test_part_is_absent(lip, tmp_path):
    refused("eye", saved(tmp_path / "s.pth", {LIP: lip}), "no part 'retarget_eye'")


def test_lfs_pointer(tmp_path):
    path = tmp_path / "warping_module.pth"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 182180086\n")
    refused("warping_module", path, "Git LFS pointer.*git lfs pull")


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_flipped_bit_is_noticed(share, lip, tmp_path):
    """torch reads such a file without a word; the archive's checksums tell."""
    path = saved(tmp_path / "s.pth", {LIP: lip})
    data = bytearray(path.read_bytes())
    data[int(share * len(data))] ^= 1
    path.write_bytes(data)
    refused("lip", path, "damaged")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_an_installed_file_that_changed_since_it_came_in_is_refused(suffix, lip, tmp_path, monkeypatch):
    monkeypatch.setenv("PORTRAIT_MODELS", str(tmp_path))
    file = ModelFile(f"own/stitching{suffix}")
    monkeypatch.setattr("models.registry.list_models", lambda *_: ["own/lip"])
    spec = ModelSpec("own/lip", "", (file,), "MIT", True, "")
    for module in ("converted", "weights"):
        monkeypatch.setattr(f"models.{module}.get_model", lambda _: spec)
    path = tmp_path / file.name
    path.parent.mkdir()
    write = save_file if suffix == ".safetensors" else torch.save
    write(lip, path)
    load_networks({"lip": path}, convert=True)
    record(file)
    assert (tmp_path / RECORD).is_file()
    lip["mlp.2.weight"] = lip["mlp.2.weight"] + 1
    write(lip, path)
    with pytest.raises(ModelError, match="changed since it was installed"):
        load_networks({"lip": path}, convert=True)
    record(file)
    load_networks({"lip": path}, convert=True)


@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_truncated(share, suffix, state, tmp_path):
    path = tmp_path / f"a{suffix}"
    weights = state("appearance_feature_extractor")
    if suffix == ".pth":
        torch.save(weights, path)
    else:
        save_file(weights, path)
    os.truncate(path, int(path.stat().st_size * share))
    refused("appearance_feature_extractor", path, "truncated or damaged")


def test_empty_missing_folder_and_text(tmp_path):
    (tmp_path / "empty.pth").touch()
    (tmp_path / "page.pth").write_text("<!DOCTYPE html><html>Not found</html>")
    (tmp_path / "list.pth").write_bytes(b"")
    refused("lip", tmp_path / "empty.pth", "is empty")
    refused("lip", tmp_path / "none.pth", "can't be read")
    refused("lip", tmp_path, "can't be read")
    refused("lip", tmp_path / "page.pth", "is not a checkpoint")
    refused("lip", saved(tmp_path / "list.pth", [torch.ones(2)]), "instead of named weights")


class Attack:
    """Creates a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("form", ["zip", "legacy", "plain", "protocol 0"])
def test_code_in_a_checkpoint_is_not_run(form, tmp_path, lip):
    mark, path = tmp_path / "owned", tmp_path / "s.pth"
    content = {LIP: lip, "extra": Attack(mark)}
    if form in ("zip", "legacy"):
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    else:
        path.write_bytes(pickle.dumps(Attack(mark), protocol=0 if form == "protocol 0" else 2))
    refused("lip", path, "is not a checkpoint" if form == "protocol 0" else "other than tensors")
    assert not mark.exists()
    pickle.loads(pickle.dumps(Attack(mark)))  # the attack does work where pickles are trusted
    assert mark.exists()


def test_zip_bomb(tmp_path):
    """64 MB of zeros in 64 kB: refused before anything is unpacked, at import too."""
    from models.registry import get_model
    from models.weights import check_file

    path = tmp_path / "s.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(64 << 20))
        archive.writestr("archive/version", "3")
    assert path.stat().st_size < 1 << 20
    refused("lip", path, "would unpack to 67,108,865 bytes .* nothing in it was executed")
    file = get_model("liveportrait/human").files[-1]
    assert "would unpack" in check_file(path, file).message


def test_tensors_without_plain_numbers(lip, tmp_path):
    """Sparse ones, ones without memory, ones that repeat one number over a huge shape."""
    sparse = lip | {"mlp.0.weight": lip["mlp.0.weight"].to_sparse()}
    refused("lip", saved(tmp_path / "s.pth", sparse), "'mlp.0.weight' is not a plain tensor|damaged")
    empty = lip | {"mlp.0.weight": lip["mlp.0.weight"].to("meta")}
    refused("lip", saved(tmp_path / "m.pth", empty), "'mlp.0.weight' is not a plain tensor|damaged")
    huge = lip | {"mlp.0.weight": torch.zeros(1).expand(1 << 40)}
    refused("lip", saved(tmp_path / "h.pth", huge), "has the shape")


def test_zip_without_a_checkpoint(tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("readme.txt", "hello")
    (tmp_path / "s.pth").write_bytes(buffer.getvalue())
    refused("lip", tmp_path / "s.pth", "truncated or damaged")


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_folder_layouts(tmp_path):
    base = [f"{name}.pth" for name in NAMES[:4]]
    small = "stitching_retargeting_module.pth"
    root = tmp_path / "pretrained_weights"
    touch(root, *(f"liveportrait/base_models/{n}" for n in base), f"liveportrait/retargeting_models/{small}")
    touch(root, *(f"liveportrait_animals/base_models_v1.1/{n}" for n in base))
    human, animals = find_checkpoints(root), find_checkpoints(root, "animals")
    assert set(human) == set(animals) == set(NAMES)
    assert human["warping_module"] == root / "liveportrait/base_models/warping_module.pth"
    assert animals["warping_module"] == root / "liveportrait_animals/base_models_v1.1/warping_module.pth"
    assert human["eye"] == human["stitching"] == animals["lip"] == root / "liveportrait/retargeting_models" / small
    assert find_checkpoints(root / "liveportrait") == human
    touch(tmp_path / "flat", *base, small, "warping_module.safetensors")
    flat = find_checkpoints(tmp_path / "flat")
    assert flat["warping_module"].name == "warping_module.safetensors"
    assert flat["spade_generator"].name == "spade_generator.pth"


def test_folder_without_weights(tmp_path):
    with pytest.raises(ModelError, match=r"appearance_feature_extractor\.pth is not in .*pretrained_weights"):
        find_checkpoints(tmp_path)
    with pytest.raises(ModelError, match="no 'dog' weights"):
        find_checkpoints(tmp_path, "dog")


def test_read_checkpoint_returns_what_is_there(lip, tmp_path):
    content = read_checkpoint(saved(tmp_path / "s.pth", {LIP: lip}))
    assert list(content) == [LIP]
    with torch.device("meta"):
        assert list(content[LIP]) == list(build_network("lip").state_dict())
