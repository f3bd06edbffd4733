"""EMOv2 and FFNet against outputs of the official code on weights by a recipe; the list of all networks."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import models
from models.backbones.ffnet_config import parse
from models.installation import install_hint
from models.networks import create, get_architecture, list_architectures
from models.registry import ModelError

torch = pytest.importorskip("torch", reason="PyTorch (dev extra) is not installed")

PARITY = Path(__file__).resolve().parents[2] / "parity"
CASES = {
    "emo2_1m_B_w7_x2x160x192": ("emo2_1m", "B", (2, 3, 160, 192)),
    "ffnet46NS_CCC_mobile_B_x2x140x204": ("ffnet46NS_CCC_mobile", "B", (2, 3, 140, 204)),
    "ffnet18_dAAC_A_x2x140x204": ("ffnet18_dAAC", "A", (2, 3, 140, 204)),
    "ffnet40S_BBB_mobile_pre_down_A_x2x140x204": ("ffnet40S_BBB_mobile_pre_down", "A", (2, 3, 140, 204)),
    "ffnet40S_BBX_mobile_cls_A_x2x140x204": ("ffnet40S_BBX_mobile_cls", "A", (2, 3, 140, 204)),
}
KEYS = {
    "emo2_1m": "e30411d3967d87a8",
    "emo2_2m": "4625dc6b8369927c",
    "emo2_5m": "8cf969a9678f830a",
    "emo2_20m": "9e1eba31a8500428",
    "ffnet18_dAAC": "8073b5350123cb3c",
    "ffnet50_dAAA": "c40e576697c9fd95",
    "ffnet40S_BBB_mobile": "12b846bc57e3e93f",
    "ffnet40S_BBX_mobile_cls": "6398e0fb6d8ca14c",
    "ffnet46NS_CCC_mobile": "0ab553ff03844eb5",
    "ffnet86S_dBBB_mobile": "b0e28cda3e9bdee2",
}
TOLERANCE = 2e-5


@pytest.fixture(scope="module")
def recipe():
    spec = importlib.util.spec_from_file_location("bb_recipe", PARITY / "bb_recipe.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def build(name: str, **options):
    from models.backbones import emo2, ffnet

    return emo2.build(name, **options) if name.startswith("emo2") else ffnet.build(name, **options)


def signature(net) -> str:
    """Digest of the ordered names and shapes of all weights."""
    keys = [[key, list(value.shape)] for key, value in net.state_dict().items()]
    return hashlib.sha256(json.dumps(keys).encode()).hexdigest()[:16]


def outputs(net, x) -> dict[str, np.ndarray]:
    found = {}
    with torch.inference_mode():
        maps = net.features(x)
        if hasattr(net, "stage0"):
            found |= {f"stage{i}": value for i, value in enumerate(maps)}
            found |= {"norm": net.norm(maps[-1]), "logits": net(x)}
        else:
            if net.pre_down:
                found["smoothed"] = net.smoothing(x)
            found |= {f"feat{i}": value for i, value in enumerate(maps)}
            for i, layer in enumerate(net.head.layers):
                maps = layer(maps)
                parts = (
                    {f"head{i}_{j}": v for j, v in enumerate(maps)} if isinstance(maps, list) else {f"head{i}": maps}
                )
                found |= parts
    return {key: value.numpy() for key, value in found.items()}


def load(net, recipe, mode: str):
    shapes = {key: tuple(value.shape) for key, value in net.state_dict().items()}
    weights = {key: torch.from_numpy(value) for key, value in recipe.make_weights(shapes, mode).items()}
    missing = net.load_state_dict(weights, strict=False)
    assert set(missing.missing_keys) <= {"smoothing.weight"}
    assert not missing.unexpected_keys
    return net.eval()


@pytest.mark.parametrize("case", CASES)
def test_equals_the_official_code(case: str, recipe):
    name, mode, shape = CASES[case]
    net = load(build(name, **({"window_size": 7} if name.startswith("emo2") else {})), recipe, mode)
    x = torch.from_numpy(recipe.make_input("x" + "x".join(str(n) for n in (shape[0], *shape[2:])), shape))
    reference = np.load(PARITY / f"bb_{case}.npz")
    found = outputs(net, x)
    names = {key for key in reference.files if not key.endswith(("__shape", "__stats"))}
    assert names == set(found)
    for key in names:
        assert list(found[key].shape) == reference[f"{key}__shape"].tolist(), key
        error = np.abs(recipe.subsample(found[key]) - reference[key]).max() / reference[f"{key}__stats"][2]
        assert error < TOLERANCE, (key, error)


@pytest.mark.parametrize("name", KEYS)
def test_weights_have_the_official_names_and_shapes(name: str):
    with torch.device("meta"):
        net = build(name)
    assert signature(net) == KEYS[name]


def test_weights_equal_the_official_lists(shared):
    for file in sorted((shared / "spec" / "backbones" / "state_dict").glob("*.json")):
        listed = json.loads(file.read_text())
        with torch.device("meta"):
            net = build(listed["model"])
        found = [[key, list(value.shape)] for key, value in net.state_dict().items()]
        assert found == [row[:2] for row in listed["keys"]], file.name


def test_every_own_network_is_as_the_list_says():
    for name in list_architectures("backbone/*"):
        spec = get_architecture(name).backbone
        if spec.needs:
            continue
        with torch.device("meta"):
            net = create(name, features_only=True).eval()
            maps = net(torch.zeros(1, 3, 128, 128))
        assert net.channels == spec.channels
        assert [m.shape[1] for m in maps] == list(spec.channels), name
        assert [-(-128 // m.shape[-1]) for m in maps] == list(spec.reductions), name


def test_chosen_maps_and_options():
    net = create("backbone/emo2_1m", features_only=True, out_indices=(-3, -2, -1), window_size=4).eval()
    assert (net.channels, net.reductions) == ((48, 80, 180), (8, 16, 32))
    with torch.inference_mode():
        assert [tuple(m.shape) for m in net(torch.zeros(1, 3, 64, 96))] == [
            (1, 48, 8, 12), (1, 80, 4, 6), (1, 180, 2, 3)]  # fmt: skip
    assert create("backbone/emo2_1m", num_classes=3).head.out_features == 3
    for options, text in (
        ({"features_only": True, "out_indices": (7,)}, "5 feature maps"),
        ({"features_only": True, "out_indices": (3, 2)}, "must increase"),
        ({"out_indices": (1,)}, "features_only"),
        ({"colour": 1}, "takes no option colour"),
    ):
        with pytest.raises(ModelError, match=text):
            create("backbone/emo2_1m", **options)
    with pytest.raises(ModelError, match="emo2_1m"):
        create("backbone/emo2_9m")
    with pytest.raises(ValueError, match="window_size"):
        create("backbone/emo2_1m", window_size=0)


def test_training_lowers_the_loss_of_both_families():
    torch.manual_seed(0)
    x, y = torch.randn(4, 3, 32, 32), torch.arange(4) % 2
    for name in ("backbone/emo2_1m", "backbone/ffnet22s_dbcc_mobile"):
        net = create(name, num_classes=2, **({"window_size": 2} if "emo2" in name else {}))
        optimiser = torch.optim.AdamW(net.parameters(), 1e-3)
        losses = []
        for _ in range(5):
            logits = net(x)
            loss = torch.nn.functional.cross_entropy(logits.flatten(2).mean(-1) if logits.ndim == 4 else logits, y)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        assert losses[-1] < 0.7 * losses[0], (name, losses)


def test_names_of_the_ffnet_family():
    config = parse("ffnet86S_dBBB_mobile")
    assert (config.family, config.depth, config.strided, config.up, config.last) == ("S", 86, True, "B", "B")
    assert parse("ffnet50_daaa").channels == (256, 512, 1024, 2048)
    assert parse("ffnet40s_bbb_mobile_pre_down").reductions == (8, 16, 32, 64)
    for wrong in ("ffnet40_bbb", "ffnet41s_bbb", "ffnet46ns_dccc", "ffnet86_bbb", "resnet50", "ffnet86s_bbd"):
        with pytest.raises(ValueError, match="is not an FFNet"):
            parse(wrong)


def test_listing_imports_no_torch_and_covers_both_kinds():
    code = (
        "import sys, models; names = models.list_models('*'); assert 'torch' not in sys.modules;"
        "assert 'detect/blaze_full' in names and 'backbone/emo2_1m' in names and 'backbone/resnetrs420' in names"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
    assert models.create is create
    assert models.list_models("backbone/emo2*") == [f"backbone/emo2_{n}m" for n in (1, 2, 5, 20)]


def test_networks_of_timm():
    import importlib.metadata

    try:
        importlib.metadata.version("timm")
    except importlib.metadata.PackageNotFoundError:
        with pytest.raises(ModelError, match=re.escape(install_hint("backbones"))):
            create("backbone/resnetrs50")
        return
    for name in list_architectures("backbone/*"):
        spec = get_architecture(name).backbone
        if not spec.needs:
            continue
        maps = create(name, features_only=True).to("meta").eval()(torch.zeros(1, 3, 64, 64, device="meta"))
        assert [m.shape[1] for m in maps] == list(spec.channels), name
        assert [64 // m.shape[-1] for m in maps] == [2, 4, 8, 16, 32], name
    for name in ("backbone/vovnet27_slim", "backbone/resnetrs50"):
        net = create(name, features_only=True, out_indices=(2, 3, 4)).eval()
        with torch.inference_mode():
            maps = net(torch.zeros(1, 3, 64, 64))
        assert [m.shape[1] for m in maps] == list(net.channels) == list(get_architecture(name).backbone.channels[2:])
        assert [64 // m.shape[-1] for m in maps] == list(net.reductions) == [8, 16, 32]
