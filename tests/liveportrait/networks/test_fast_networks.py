"""Rewritten W and G against the plain modules, at small sizes: the rewrites know no size."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch", reason="PyTorch (extra 'torch') is not installed")
from torch.nn import functional  # noqa: E402

from liveportrait.networks.fast import ABLATIONS, Rewrites  # noqa: E402
from liveportrait.networks.fast.depth import FourierConv, ToomConv  # noqa: E402
from liveportrait.networks.fast.generator import FastGenerator, folded, normalised  # noqa: E402
from liveportrait.networks.fast.int8 import Int8Conv, Levels, has_int8, step_of, to_levels  # noqa: E402
from liveportrait.networks.fast.layers import (  # noqa: E402
    UpConv,
    gather_sample,
    hat_matrices,
    spread_phases,
    spread_phases_in_place,
)
from liveportrait.networks.fast.warping import FastWarping  # noqa: E402


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def motion():
    """A volume of 32x32, a driving with points beyond the border, and a source."""
    random = torch.Generator().manual_seed(5)
    volume = torch.randn((1, 32, 16, 32, 32), generator=random)
    driving = 0.5 * torch.randn((1, 21, 3), generator=random)
    driving[0, 0], driving[0, 3] = torch.tensor([1.4, -1.3, 1.2]), torch.tensor([-0.999, 1.0, -1.0])
    return volume, driving, 0.4 * torch.randn((1, 21, 3), generator=random)


@pytest.fixture(scope="module")
def warped(networks, motion):
    volume, driving, source = motion
    with torch.inference_mode():
        return networks["warping_module"](volume, driving, source)


@pytest.fixture(scope="module")
def feature():
    return torch.randn((1, 256, 16, 16), generator=torch.Generator().manual_seed(6))


@pytest.fixture(scope="module")
def drawn(networks, feature):
    with torch.inference_mode():
        return networks["spade_generator"](feature)


def differences(got, wanted):
    return {name: float((got[name] - value).abs().max()) for name, value in wanted.items()}


def all_off(network):
    rewrites = Rewrites()
    for name in ABLATIONS[network]:
        rewrites = rewrites.without(name)
    return rewrites


@pytest.mark.parametrize("kind", ["on", "off", "gather"])
def test_warping_is_the_same(networks, motion, warped, kind):
    rewrites = {"on": None, "off": all_off("warping_module"), "gather": Rewrites(gather_sampler=True)}[kind]
    fast = FastWarping(networks["warping_module"], rewrites)
    volume, driving, source = motion
    found = differences(fast.warp(fast.prepare(volume, source), driving), warped)
    assert found["deformation"] < 2e-5
    assert found["occlusion_map"] < 1e-5
    assert found["out"] < 2e-4  # values of about 1; the volume is noise, so a voxel's 1e-5 counts in full


def test_a_source_per_frame(networks, motion):
    volume, driving, source = motion
    volumes, sources = torch.cat((volume, volume.flip(2))), torch.cat((source, source.flip(1)))
    driving = torch.cat((driving, 0.5 * driving.flip(1)))
    wanted = networks["warping_module"](volumes, driving, sources)
    found = differences(FastWarping(networks["warping_module"])(volumes, driving, sources), wanted)
    assert max(found.values()) < 2e-4


@pytest.mark.parametrize("rewrites", [None, all_off("spade_generator")])
def test_generator_is_the_same(networks, feature, drawn, rewrites):
    fast = FastGenerator(networks["spade_generator"], rewrites)
    assert float((fast(feature) - drawn).abs().max()) < 1e-4
    if rewrites is None:
        levels = fast.levels(feature)
        assert levels.dtype == torch.uint8
        assert levels.is_contiguous()
        wanted = (fast(feature) * 255).to(torch.uint8).permute(0, 2, 3, 1)
        assert torch.equal(levels, wanted)


def test_bfloat16_keeps_45_db(networks, feature):
    """With weights that don't saturate the sigmoid: pre-sigmoid spread 1."""
    fast = FastGenerator(networks["spade_generator"])
    spread = float(fast._pixels(feature).std())
    fast.conv_img.weight /= spread
    full = fast(feature)
    assert 0.8 < float(torch.logit(full, eps=1e-6).std()) < 1.2
    fast.set_type(torch.bfloat16)
    half = fast(feature)
    assert half.dtype == torch.float32
    psnr = -10 * math.log10(float((half - full).square().mean()))
    assert 45 < psnr < 80  # 80 would mean that nothing ran in bfloat16


def test_coordinates_stay_in_float32(networks, motion, warped):
    fast = FastWarping(networks["warping_module"], dtype=torch.bfloat16)
    volume, driving, source = motion
    got = fast.warp(fast.prepare(volume, source), driving)
    assert got["deformation"].dtype == got["occlusion_map"].dtype == torch.float32
    assert float((got["deformation"] - warped["deformation"]).abs().mean()) < 2e-3


@pytest.mark.parametrize(("kind", "kept"), [(torch.bfloat16, torch.float32), (torch.float16, torch.float16)])
def test_between_w_and_g_bfloat16_rounds_nothing(networks, kind, kept):
    """G's norms take the mean off every channel, and lift what was rounded on top of it."""
    warping, generator = FastWarping(networks["warping_module"], dtype=kind), FastGenerator(networks["spade_generator"])
    generator.set_type(kind)
    ends = [*warping.third.parameters(), *warping.fourth.parameters(), *generator.fc.parameters()]
    assert {p.dtype for p in (*ends, warping.occlusion_taps)} == {kept}
    convs = [*warping.last.conv.parameters(), *warping.mask.parameters(), *generator.blocks.parameters()]
    assert {p.dtype for p in convs} == {kind}


def test_bfloat16_of_features_far_from_zero(networks, motion, feature):
    """Channels with a mean of 20 times their spread, as activations may have it: the picture stays as it was."""
    full = FastGenerator(networks["spade_generator"])
    half = FastGenerator(networks["spade_generator"], dtype=torch.bfloat16)
    shift = 20.0 * torch.randn((1, 256, 1, 1), generator=torch.Generator().manual_seed(9))
    exact = full.fc(feature + shift)
    wanted, before = normalised(exact), normalised(full.fc((feature + shift).bfloat16().float()))
    got = normalised(half.fc(feature + shift))
    assert float((got - wanted).square().mean()) < 0.01 * float((before - wanted).square().mean())


def test_weights_are_copied(networks, feature, drawn):
    plain = networks["spade_generator"]
    FastGenerator(plain).fc.weight.zero_()
    assert float((plain(feature) - drawn).abs().max()) < 1e-5


def test_folding_takes_the_stored_vectors(networks):
    conv = networks["spade_generator"].up_1.conv_0
    sigma = conv.weight_u @ (conv.weight_orig.flatten(1) @ conv.weight_v)
    assert torch.allclose(folded(conv), conv.weight_orig / sigma, rtol=1e-5)


@pytest.mark.parametrize("scale", [2, 4])
def test_convolution_before_upsampling(scale):
    random = torch.Generator().manual_seed(scale)
    x = torch.randn((2, 5, 3, 4), generator=random)
    weight, bias = torch.randn((7, 5, 3, 3), generator=random), torch.randn(7, generator=random)
    wanted = functional.conv2d(functional.interpolate(x, scale_factor=scale), weight, bias, padding=1)
    before = UpConv(weight, bias, scale, before=True)
    assert torch.allclose(before(x), wanted, atol=1e-5)
    assert torch.allclose(UpConv(weight, bias, scale, before=False)(x), wanted, atol=1e-5)
    cells = before.cells(x)
    assert torch.equal(spread_phases(cells, scale), spread_phases_in_place(cells, scale))
    assert torch.equal(UpConv(weight, bias, scale, before=True, relu=True)(x), before(x).relu())


def test_gathers_sample_like_grid_sample():
    random = torch.Generator().manual_seed(1)
    volume = torch.randn((2, 3, 4, 5, 6), generator=random)
    grid = 1.5 * torch.randn((2, 2, 3, 7, 3), generator=random)
    wanted = functional.grid_sample(volume, grid, align_corners=False)
    assert torch.allclose(gather_sample(volume, grid), wanted, atol=1e-5)


def test_hat_matrices_interpolate_with_zeros_outside():
    rows = hat_matrices(torch.tensor([-0.75, 0.0, 1.0, 1.5]), 4)  # voxel centres at -0.75, -0.25, 0.25, 0.75
    assert rows.tolist() == [[1, 0, 0, 0], [0, 0.5, 0.5, 0], [0, 0, 0, 0.5], [0, 0, 0, 0]]


def test_norm_has_the_epsilon_and_the_biased_variance():
    x = 1e-3 * torch.randn((2, 3, 5, 5), generator=torch.Generator().manual_seed(2)) + 0.01
    wanted = functional.instance_norm(x.double()).float()
    assert torch.allclose(normalised(x.contiguous(memory_format=torch.channels_last)), wanted, atol=1e-4)


def test_eight_bits_for_scales_and_shifts_keep_45_db(networks, feature):
    if not has_int8():
        pytest.skip("the processor has no VNNI")
    full = FastGenerator(networks["spade_generator"])
    full.conv_img.weight /= float(full._pixels(feature).std())
    quantised = FastGenerator(networks["spade_generator"], dtype=torch.bfloat16)
    quantised.conv_img.weight.copy_(full.conv_img.weight)
    quantised.quantise(full)
    got, wanted = quantised(feature), full(feature)
    assert got.dtype == torch.float32
    psnr = -10 * math.log10(float((got - wanted).square().mean()))
    assert 45 < psnr < 60


def test_eight_bit_convolution():
    if not has_int8():
        pytest.skip("the processor has no VNNI")
    random = torch.Generator().manual_seed(3)
    x = torch.randn((1, 16, 9, 12), generator=random).relu().contiguous(memory_format=torch.channels_last)
    weight, bias = torch.randn((24, 16, 3, 3), generator=random), torch.randn(24, generator=random)
    step = step_of(float(x.max()))
    levels = to_levels(x, step)
    assert int(levels.max()) == 255
    assert float((levels * step - x).abs().max()) <= 0.501 * step
    got = Int8Conv(weight, bias, torch.float32)(Levels(levels, step))
    wanted = functional.conv2d(x, weight, bias, padding=1)
    assert float((got - wanted).abs().max() / wanted.abs().max()) < 0.02


@pytest.mark.parametrize("tile", [2, 4])
def test_products_at_points_are_a_convolution_along_the_depth(tile):
    random = torch.Generator().manual_seed(tile)
    x = torch.randn((2, 5, 8, 6, 7), generator=random)
    weight, bias = torch.randn((4, 5, 3, 3, 3), generator=random), torch.randn(4, generator=random)
    wanted = functional.conv3d(x, weight, bias, padding=1)
    got = ToomConv(weight, bias, 8, tile)(x.permute(2, 0, 1, 3, 4).flatten(0, 1))
    assert torch.allclose(got.unflatten(0, (8, 2)).permute(1, 2, 0, 3, 4), wanted, atol=1e-4)


@pytest.mark.parametrize("depth", [16, 9])
def test_products_of_waves_are_a_convolution_along_the_depth(depth):
    random = torch.Generator().manual_seed(depth)
    x = torch.randn((2, 3, depth, 6, 7), generator=random)
    weight = torch.randn((4, 3, 7, 7, 7), generator=random)
    wanted = functional.conv3d(x, weight, padding=3)
    got = FourierConv(weight, depth)(x.permute(2, 0, 1, 3, 4).flatten(0, 1))
    assert torch.allclose(got.unflatten(0, (depth, 2)).permute(1, 2, 0, 3, 4), wanted, atol=2e-4)
