"""Every network against numbers that the official code gave on the same weights (tests/parity/net_README.md)."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch (extra 'torch') is not installed")

from liveportrait.networks import NAMES, build_network  # noqa: E402
from liveportrait.networks.blocks import coordinate_grid  # noqa: E402
from liveportrait.networks.fast.motion import FastMotionExtractor  # noqa: E402
from liveportrait.networks.generator import fold_spectral_norm  # noqa: E402

Recorded = dict[str, np.ndarray]


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.inference_mode():
        yield


def record(network: Any, wanted: dict[str, str]) -> tuple[Recorded, list[Any]]:
    """Hooks that keep the output of submodules (path -> name)."""
    seen: Recorded = {}
    hooks = [
        network.get_submodule(path).register_forward_hook(
            lambda _m, _i, out, name=name: seen.__setitem__(name, out.float().numpy())
        )
        for path, name in wanted.items()
    ]
    return seen, hooks


def layers(reference: Any, prefix: str) -> list[str]:
    """Names of the recorded layers below a prefix."""
    return sorted({n[len(prefix) :].removesuffix("/sample") for n in reference.files
                   if n.startswith(prefix) and n.endswith("/sample")})  # fmt: skip


def tensors(*arrays: np.ndarray) -> list[Any]:
    return [torch.from_numpy(a) for a in arrays]


@pytest.mark.parametrize("name", NAMES)
def test_state_dict_is_the_official_one(name, specs):
    with torch.device("meta"):
        got = [(key, (tuple(v.shape), str(v.dtype).removeprefix("torch."))) for key, v in
               build_network(name).state_dict().items()]  # fmt: skip
    assert got == list(specs[name].items())


def test_unknown_network():
    with pytest.raises(ValueError, match=r"no network named 'hourglass'.*warping_module"):
        build_network("hourglass")


def test_importing_the_package_does_not_import_torch():
    code = "import sys, liveportrait.networks, liveportrait.engines.torch; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_grid_end_points():
    grid = coordinate_grid(16, 64, 64, torch.zeros(1))
    assert grid.shape == (16, 64, 64, 3)
    assert grid[0, 0, 0].tolist() == [-1, -1, -1]
    assert grid[15, 63, 63].tolist() == [1, 1, 1]
    assert grid[0, 0, 63].tolist() == [1, -1, -1]
    assert grid[15, 0, 0].tolist() == [-1, -1, 1]


def test_appearance(networks, recipe, reference):
    network = networks["appearance_feature_extractor"]
    names = layers(reference, "appearance/syn_a/layer/")
    assert len(names) == 10
    seen, hooks = record(network, {name: name for name in names})
    images = [recipe.image_tensor(recipe.synthetic_image(name)) for name in "ab"]
    out = network(torch.from_numpy(np.concatenate(images))).numpy()
    for hook in hooks:
        hook.remove()
    assert out.shape == (2, 32, 16, 64, 64)
    for name in names:
        assert recipe.error(reference, f"appearance/syn_a/layer/{name}", seen[name][:1]) < 5e-5, name
    for name, volume in zip("ab", out, strict=True):
        assert recipe.error(reference, f"appearance/syn_{name}/feature_3d", volume[None]) < 5e-5


@pytest.mark.parametrize("form", ["plain", "fast"])
def test_motion_extractor(form, networks, recipe, reference, picture):
    network = networks["motion_extractor"]
    if form == "fast":
        before = {name: value.clone() for name, value in network.state_dict().items()}
        network = FastMotionExtractor(network)
    cases = {f"syn_{n}": recipe.synthetic_image(n) for n in "abc"}
    cases |= {name: picture(name) for name in ("src_s9", "drv_s5", "drv_s3")}
    heads = network(torch.from_numpy(np.concatenate([recipe.image_tensor(image) for image in cases.values()])))
    assert list(heads) == ["kp", "scale", "pitch", "yaw", "roll", "t", "exp"]
    for row, case in enumerate(cases):
        for head, values in heads.items():
            got = values[row : row + 1].numpy()
            name = f"motion/{case}/{head}"
            if head == "scale":
                assert abs(got - reference[name]).max() < 1e-5
            else:
                assert recipe.error(reference, name, got) < 2e-5, name
    if form == "fast":  # it has copied the weights, not changed them
        after = networks["motion_extractor"].state_dict()
        assert all(torch.equal(after[name], value) for name, value in before.items())


def test_motion_extractor_layers(networks, recipe, reference):
    network = networks["motion_extractor"]
    names = layers(reference, "motion/syn_a/layer/")
    assert len(names) == 11
    seen, hooks = record(network, {name: name for name in names})
    network(torch.from_numpy(recipe.image_tensor(recipe.synthetic_image("a"))))
    for hook in hooks:
        hook.remove()
    for name in names:
        assert recipe.error(reference, f"motion/syn_a/layer/{name}", seen[name]) < 5e-5, name


@pytest.mark.parametrize(
    "prefix",
    [
        "detector.downsample_layers.1.0",
        "detector.stages.0.0.norm",
        "detector.stages.0.0",
        "detector.stages.3.2.grn",
        "detector.norm",
    ],
)
def test_motion_extractor_small_epsilons(prefix, networks, recipe, reference):
    """Inputs of low variance, so that the epsilons of the norms count."""
    unit = f"unit/{prefix}"
    values = recipe.vector(unit, reference[f"motion/{unit}/in_shape"], float(reference[f"motion/{unit}/in_scale"]))
    out = networks["motion_extractor"].get_submodule(prefix)(torch.from_numpy(values))
    assert recipe.error(reference, f"motion/{unit}/out", out.numpy()) < 2e-5


@pytest.mark.parametrize("name", ["stitching", "lip", "eye"])
def test_perceptrons(name, networks, recipe, reference):
    values = reference[f"mlp/{name}/in"]
    out = networks[name](torch.from_numpy(values)).numpy()
    assert recipe.error(reference, f"mlp/{name}/out", out) < 1e-5


def assert_warped(out: dict[str, Any], recipe: Any, reference: Any, case: str) -> None:
    assert set(out) == {"occlusion_map", "deformation", "out"}
    for name, limit in (("deformation", 5e-5), ("occlusion_map", 2e-4), ("out", 1e-3)):
        assert recipe.error(reference, f"warping/{case}/{name}", out[name].numpy()) < limit, name


def test_warping(networks, recipe, reference):
    network = networks["warping_module"]
    prefix = "dense_motion_network."
    names = [name for name in layers(reference, "warping/k1/layer/") if name not in ("hourglass_in", "warped")]
    assert len(names) == 13
    seen, hooks = record(network, {name if name == "third" else prefix + name: name for name in names})
    feature, source, driving = tensors(
        recipe.feature_volume("feature_3d"), recipe.keypoints("kp_s"), recipe.keypoints("kp_d1")
    )
    out = network(feature_3d=feature, kp_source=source, kp_driving=driving)
    for hook in hooks:
        hook.remove()
    assert_warped(out, recipe, reference, "k1")
    for name in names:
        limit = 1e-3 if name == "third" else 2e-4
        assert recipe.error(reference, f"warping/k1/layer/{name}", seen[name]) < limit, name


def test_warping_batch(networks, recipe, reference):
    feature = recipe.feature_volume("feature_3d")
    feature, source, driving = tensors(
        np.concatenate([feature, 0.5 * feature[:, :, ::-1]]),
        np.concatenate([recipe.keypoints("kp_s"), recipe.keypoints("kp_s2")]),
        np.concatenate([recipe.keypoints("kp_d1"), recipe.keypoints("kp_d2")]),
    )
    out = networks["warping_module"](feature, driving, source)  # positional order of the official signature
    assert_warped(out, recipe, reference, "batch2")


def test_generator(networks, recipe, reference):
    """g1 with its layers; g3 has a low variance, so that the epsilon of the instance norm counts."""
    network = networks["spade_generator"]
    names = layers(reference, "generator/g1/layer/")
    assert len(names) == 14
    seen, hooks = record(network, {name: name for name in names})
    out = network(torch.from_numpy(recipe.generator_input("generator_in"))).numpy()
    for hook in hooks:
        hook.remove()
    assert out.shape == (1, 3, 512, 512)
    for name in names:
        assert recipe.error(reference, f"generator/g1/layer/{name}", seen[name]) < 5e-5, name
    assert recipe.error(reference, "generator/g1/out", out) < 5e-5
    out = network(torch.from_numpy(np.float32(0.02) * recipe.generator_input("generator_in3"))).numpy()
    assert recipe.error(reference, "generator/g3/out", out) < 5e-5


def test_folded_spectral_norm_uses_the_stored_vectors(networks):
    weights = networks["spade_generator"].state_dict()
    with torch.device("meta"):
        generator = build_network("spade_generator")
    generator.load_state_dict(weights, assign=True)
    generator.requires_grad_(False)
    fold_spectral_norm(generator)
    folded = generator.state_dict()
    assert not [key for key in folded if key.endswith(("_orig", "weight_u", "weight_v"))]
    for key in ("G_middle_0.conv_0", "up_0.conv_s", "up_1.conv_1"):
        original = weights[f"{key}.weight_orig"]
        sigma = weights[f"{key}.weight_u"] @ (original.flatten(1) @ weights[f"{key}.weight_v"])
        assert torch.allclose(folded[f"{key}.weight"], original / sigma, rtol=1e-5, atol=0)
        largest = torch.linalg.matrix_norm(original.flatten(1), ord=2)
        assert abs(sigma / largest - 1) > 0.01  # so that a true norm would be told apart
