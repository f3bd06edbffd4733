"""The torch engine: from pictures to a picture as the official code gives it, and what it does when numbers break."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch (extra 'torch') is not installed")

from torch import nn  # noqa: E402

from liveportrait.animator import Animator  # noqa: E402
from liveportrait.driving import Shown  # noqa: E402
from liveportrait.engines.base import Engine, Portrait  # noqa: E402
from liveportrait.engines.liveportrait import LivePortraitEngine  # noqa: E402
from liveportrait.engines.liveportrait21 import EYE_POINTS, LIP_POINTS, network_eye_ratios  # noqa: E402
from liveportrait.engines.precision import pick_device  # noqa: E402
from liveportrait.engines.torch import TorchRuntime, load_engine  # noqa: E402
from liveportrait.motion import keypoints  # noqa: E402
from liveportrait.networks import NAMES  # noqa: E402
from liveportrait.options import AnimationOptions  # noqa: E402
from models.face import Face  # noqa: E402
from models.registry import ModelError, get_model  # noqa: E402


def make_face(eyes: tuple[float, float] = (0.33, 0.43), lips: float = 0.2) -> Face:
    """Landmarks whose lid and lip gaps over width are the ones given."""
    points = np.zeros((478, 3), np.float32)
    pairs = ((33, 133, 159, 145, eyes[0]), (362, 263, 386, 374, eyes[1]), (61, 291, 13, 14, lips))
    for left, right, up, down, ratio in pairs:
        points[[left, right], 0] = 100, 200
        points[[up, down], 0] = 150
        points[[up, down], 1] = -50 * ratio, 50 * ratio
    return Face(points)


FACE = make_face()


@pytest.fixture(scope="module")
def engine(weights_folder):
    return load_engine(weights_folder, device="cpu", batch=2)


@pytest.fixture(scope="module")
def portrait(engine, picture):
    """The source as a 512 crop whose area average is the 256 picture of the reference."""
    return engine.encode(picture("src_s9").repeat(2, axis=0).repeat(2, axis=1), FACE)


# ---------------------------------------------------------------------------- parity of the whole chain


def test_source_features(portrait, recipe, reference):
    assert np.abs(portrait.keypoints - reference["e2e/photo/x_s"]).max() < 2e-5
    assert recipe.error(reference, "e2e/photo/f_s", portrait.features.volume.numpy()) < 5e-5
    assert portrait.canonical.shape == (21, 3)
    assert np.array_equal(portrait.keypoints, keypoints(portrait.canonical, portrait.motion, "camera"))
    assert portrait.motion.engine == "liveportrait21"


def test_chain_from_pictures_to_picture(engine, portrait, picture, recipe, reference):
    """One source and two drivers, the second one a fifth of the way to its stitched keypoints."""
    driving = {name: engine.encode(picture(name), FACE).keypoints for name in ("drv_s5", "drv_s3")}
    for name, x_d in driving.items():
        assert np.abs(x_d - reference[f"e2e/photo/{name}/x_d"]).max() < 2e-5
    stitched = engine.stitch(portrait, driving["drv_s3"])
    driving["drv_s3"] = driving["drv_s3"] + np.float32(0.2) * (stitched - driving["drv_s3"])
    assert np.abs(driving["drv_s3"] - reference["e2e/photo/drv_s3/x_d_stitched"]).max() < 2e-5

    warped: list[dict[str, Any]] = []
    drawn: list[Any] = []
    hooks = [
        engine.runtime.networks["warping_module"].register_forward_hook(lambda _m, _i, out: warped.append(out)),
        engine.runtime.networks["spade_generator"].register_forward_hook(lambda _m, _i, out: drawn.append(out)),
    ]
    levels = engine.render(portrait, np.concatenate(list(driving.values())))
    for hook in hooks:
        hook.remove()
    assert len(warped) == len(drawn) == 1
    assert levels.shape == (2, 512, 512, 3)
    assert levels.dtype == np.uint8
    for row, name in enumerate(driving):
        base = f"e2e/photo/{name}"
        part = slice(row, row + 1)
        assert recipe.error(reference, f"{base}/deformation", warped[0]["deformation"][part].numpy()) < 2e-4
        assert recipe.error(reference, f"{base}/occlusion_map", warped[0]["occlusion_map"][part].numpy()) < 5e-4
        assert recipe.error(reference, f"{base}/out", drawn[0][part].numpy()) < 2e-2
        difference = np.abs(levels[row].reshape(-1)[::97].astype(int) - reference[f"{base}/levels"])
        assert difference.max() <= 1
        assert (difference > 0).mean() < 0.01
    truncated = (drawn[0].permute(0, 2, 3, 1) * 255).to(torch.uint8).numpy()
    assert np.array_equal(levels, truncated)


def test_read_motion(engine, picture, recipe, reference):
    motion = engine.read_motion(picture("drv_s5"), FACE)
    assert len(motion) == 1
    assert np.abs(motion.scale - reference["motion/drv_s5/scale"]).max() < 1e-5
    assert recipe.error(reference, "motion/drv_s5/t", motion.translation) < 2e-5
    assert recipe.error(reference, "motion/drv_s5/exp", motion.delta.reshape(1, 63)) < 2e-5
    pitch, yaw, roll = (np.deg2rad(float(reference[f"motion/drv_s5/{a}_deg"][0])) for a in ("pitch", "yaw", "roll"))
    assert motion.rotation[0, 0, 2] == pytest.approx(-np.sin(yaw), abs=1e-5)
    assert motion.rotation[0, 0, 0] == pytest.approx(np.cos(yaw) * np.cos(roll), abs=1e-5)
    assert motion.rotation[0, 1, 2] == pytest.approx(np.sin(pitch) * np.cos(yaw), abs=1e-5)
    assert np.allclose(motion.eye_ratio, [[1.15 * 0.30, 1.15 * 0.40]], atol=1e-6)
    assert np.allclose(motion.lip_ratio, [[0.2]], atol=1e-6)


def test_driving_crops_of_any_size_are_brought_to_256(engine, picture):
    small = picture("drv_s5")
    big = small.repeat(2, axis=0).repeat(2, axis=1)
    assert np.allclose(engine.read_motion(big, FACE).delta, engine.read_motion(small, FACE).delta, atol=1e-6)


def test_perceptrons_get_the_official_inputs(engine, portrait, networks):
    x_s = torch.from_numpy(portrait.keypoints.reshape(1, 63))
    x_d = portrait.keypoints + np.random.default_rng(0).normal(0, 0.05, (3, 21, 3)).astype(np.float32)
    with torch.inference_mode():
        raw = networks["stitching"](torch.cat([x_s.repeat(3, 1), torch.from_numpy(x_d.reshape(3, 63))], 1)).numpy()
        lips = networks["lip"](torch.cat([x_s, torch.tensor([[0.2, 0.35]])], 1)).numpy()
        eyes = networks["eye"](torch.cat([x_s, torch.tensor([[1.15 * 0.30, 1.15 * 0.40, 0.1]])], 1)).numpy()
    before = x_d.copy()
    stitched = engine.stitch(portrait, x_d)
    assert np.array_equal(x_d, before)
    for k in range(21):
        for axis in range(3):
            shift = raw[:, 63 + axis] if axis < 2 else 0
            assert np.allclose(stitched[:, k, axis], x_d[:, k, axis] + raw[:, 3 * k + axis] + shift, atol=1e-6)
    got = engine.retarget_lips(portrait, np.array([[0.35], [np.nan]], np.float32))
    assert np.allclose(got[0], lips.reshape(21, 3), atol=1e-6)
    assert not got[1].any()
    got = engine.retarget_eyes(portrait, np.array([[0.1, 0.1]], np.float32))
    assert np.allclose(got[0], eyes.reshape(21, 3), atol=1e-6)


def test_each_eye_follows_its_own_target(engine, portrait):
    shut, open_ = (engine.retarget_eyes(portrait, np.full((1, 2), r, np.float32))[0] for r in (0.0, 0.4))
    wink = engine.retarget_eyes(portrait, np.array([[0.0, 0.4]], np.float32))[0]
    first, second = [11, 13], [15, 16]
    if portrait.canonical[first, 0].mean() > portrait.canonical[second, 0].mean():
        first, second = second, first
    assert np.allclose(wink[first], shut[first])
    assert np.allclose(wink[second], open_[second])
    rest = [k for k in range(21) if k not in (11, 13, 15, 16)]
    assert np.allclose(wink[rest], (shut[rest] + open_[rest]) / 2, atol=1e-7)
    assert not np.allclose(shut, open_)


def test_without_a_face_the_ratios_are_unknown(engine, picture, portrait):
    motion = engine.read_motion(picture("drv_s5"), None)
    assert np.isnan(motion.eye_ratio).all()
    assert np.isnan(motion.lip_ratio).all()
    blind = Portrait(motion, portrait.canonical, portrait.keypoints, portrait.crop, portrait.features)
    assert not engine.retarget_eyes(blind, np.array([[0.1, 0.2]], np.float32)).any()
    assert not engine.retarget_lips(blind, np.array([[0.1]], np.float32)).any()


def test_regions(engine):
    assert {"all", "exp", "lip", "eyes", "official"} <= set(engine.regions)
    assert engine.regions["all"].all()
    assert engine.regions["exp"].all()
    assert np.flatnonzero(engine.regions["lip"].all(axis=1)).tolist() == list(LIP_POINTS)
    assert np.flatnonzero(engine.regions["eyes"].any(axis=1)).tolist() == list(EYE_POINTS)
    assert engine.regions["official"].sum() == 13 * 3 + 6
    assert not engine.regions["official"][[0, 7, 10]].any()
    assert engine.regions["official"][9].tolist() == [False, True, True]


def test_neutral_face_of_a_driving_picture(engine, picture):
    motion = engine.read_motion(picture("drv_s5"), FACE)
    neutral = engine.neutral_of(motion)
    assert np.array_equal(neutral.rotation, motion.rotation)
    assert neutral.delta.shape == (1, 21, 3)
    assert neutral.delta[0, 19, 1] == pytest.approx(-0.0150906)


def test_eye_ratio_scale():
    assert np.allclose(network_eye_ratios([[0.0, 0.03], [0.13, 0.43]]), [[0, 0], [0.115, 0.46]])


def test_weights_of_another_folder(tmp_path):
    with pytest.raises(ModelError, match="must be the official pretrained_weights folder"):
        load_engine(tmp_path, device="cpu")


@pytest.mark.parametrize(("variant", "folder"), [("human", "liveportrait"), ("animals", "liveportrait_animals")])
def test_installed_weights(variant, folder, tmp_path, monkeypatch):
    """The files of the registry are taken; here they are empty, so that the first one is refused by its name."""
    monkeypatch.setenv("PORTRAIT_MODELS", str(tmp_path))
    with pytest.raises(ModelError, match="appearance_feature_extractor"):
        load_engine(variant=variant, device="cpu")
    for file in get_model(f"liveportrait/{variant}").files:
        (tmp_path / file.name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file.name).touch()
    with pytest.raises(ModelError, match=rf"/{folder}/base_models.*/appearance_feature_extractor\.pth is empty"):
        load_engine(variant=variant, device="cpu")
    small = {"stitching", "eye", "lip"}
    seen: dict[str, Any] = {}

    def load_networks(checkpoints, **_):
        seen.update(checkpoints)
        raise ModelError("enough")

    monkeypatch.setattr("liveportrait.networks.loading.load_networks", load_networks)
    with pytest.raises(ModelError, match="enough"):
        load_engine(variant=variant, device="cpu")
    assert {seen[name].stem for name in small} == {"stitching_retargeting_module"}
    assert {name: path.stem for name, path in seen.items() if name not in small} == {
        name: name for name in NAMES if name not in small
    }


# ---------------------------------------------------------------------------- numbers that break (stub networks)


def is_half() -> bool:
    return torch.is_autocast_enabled("cpu")


class StubAppearance(nn.Module):
    def forward(self, image):
        return nn.functional.adaptive_avg_pool2d(image, 64)[:, :, None].repeat(1, 11, 16, 1, 1)[:, :32]


class StubMotion(nn.Module):
    def __init__(self, broken: bool = False):
        super().__init__()
        self.broken = broken

    def forward(self, image):
        mean = image.mean((1, 2, 3))[:, None]
        heads = {"kp": mean.repeat(1, 63), "scale": 1 + 0 * mean, "t": 0 * mean.repeat(1, 3), "exp": mean.repeat(1, 63)}
        heads |= {name: 0 * mean.repeat(1, 66) for name in ("pitch", "yaw", "roll")}
        if self.broken and is_half():
            heads["exp"] = heads["exp"] * float("nan")
        return heads


class StubWarping(nn.Module):
    def forward(self, feature_3d, kp_driving, kp_source):
        return {"out": feature_3d[:, :3, 0] * 0 + kp_driving.mean((1, 2))[:, None, None, None]}


class StubGenerator(nn.Module):
    """Grey pictures as bright as the driving keypoints say; in half precision, from one call on, a spoilt one."""

    def __init__(self, spoil=lambda picture: picture, good_calls: int = 0, always: bool = False):
        super().__init__()
        self.spoil, self.good_calls, self.always = spoil, good_calls, always
        self.calls: list[bool] = []

    def forward(self, feature):
        picture = nn.functional.interpolate(feature, 512).clamp(0, 1)
        half = is_half()
        spoilt = self.always or (half and sum(self.calls) >= self.good_calls)
        self.calls.append(half)
        return self.spoil(picture) if spoilt else picture


class StubPerceptron(nn.Module):
    def __init__(self, outputs: int):
        super().__init__()
        self.outputs = outputs

    def forward(self, x):
        return torch.zeros(len(x), self.outputs)


def nan(picture):
    return torch.full_like(picture, float("nan"))


def black(picture):
    return torch.zeros_like(picture)


def off(picture):
    return (picture + 0.3).clamp(0, 1)


def refuse(picture):
    raise RuntimeError("not implemented for 'Half'.\nlong trace")


def stub_engine(precision, motion=None, **generator) -> tuple[LivePortraitEngine, StubGenerator]:
    stub = StubGenerator(**generator)
    networks: dict[str, nn.Module] = {
        "stitching": StubPerceptron(65), "eye": StubPerceptron(63), "lip": StubPerceptron(63),
        "appearance_feature_extractor": StubAppearance(), "motion_extractor": motion or StubMotion(),
        "warping_module": StubWarping(), "spade_generator": stub,
    }  # fmt: skip
    return LivePortraitEngine(TorchRuntime(networks, device="cpu", precision=precision, batch=2), networks), stub


CROP = np.full((512, 512, 3), 128, np.uint8)


def driving(*values: float) -> np.ndarray:
    return np.array(values, np.float32)[:, None, None] * np.ones((1, 21, 3), np.float32)


def brightness(frames: np.ndarray) -> list[int]:
    assert (frames == frames[:, :1, :1, :1]).all()
    return frames[:, 0, 0, 0].tolist()


def warnings(caplog) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


def test_good_half_precision_is_used(caplog):
    engine, stub = stub_engine("bf16", good_calls=99)
    engine.warm_up()
    assert engine.runtime.precision == "bf16"
    assert brightness(engine.render(engine.encode(CROP, FACE), driving(0.25, 0.5, 0.75))) == [63, 127, 191]
    assert stub.calls == [False, True, True, True]
    assert engine.describe()["precision"] == "bf16"
    assert not warnings(caplog)


@pytest.mark.parametrize(
    ("spoil", "reason"), [(nan, "NaN"), (black, "black"), (off, "by 0.3"), (refuse, "not implemented for 'Half'")]
)
def test_self_test_refuses_bad_half_precision(spoil, reason, caplog):
    engine, stub = stub_engine("bf16", spoil=spoil)
    engine.warm_up()
    assert engine.runtime.precision == "fp32"
    frames = engine.render(engine.encode(CROP, FACE), driving(0.25, 0.5, 0.75))
    assert brightness(frames) == [63, 127, 191]
    assert stub.calls == [False, True, False, False]
    (text,) = warnings(caplog)
    assert reason in text
    assert "full precision is used" in text
    assert "\n" not in text


@pytest.mark.parametrize(("spoil", "word"), [(nan, "as NaN"), (black, "black")])
def test_a_bad_frame_is_drawn_again_in_full_precision(spoil, word, caplog):
    """The self-test and the first batch pass; the second batch breaks."""
    engine, stub = stub_engine("bf16", spoil=spoil, good_calls=2)
    portrait = engine.encode(CROP, FACE)
    frames = engine.render(portrait, driving(0.25, 0.5, 0.75))
    assert brightness(frames) == [63, 127, 191]
    assert engine.runtime.precision == "fp32"
    frames = engine.render(portrait, driving(0.5, 0.5, 0.5))
    assert brightness(frames) == [127, 127, 127]
    assert stub.calls == [False, True, True, True, False, False, False]
    (text,) = warnings(caplog)
    assert word in text


def test_nan_from_the_motion_network_falls_back(caplog):
    engine, _ = stub_engine("bf16", motion=StubMotion(broken=True), good_calls=99)
    engine.runtime.guard.precision = "bf16"
    engine.runtime.guard._tested = True
    motion = engine.read_motion(CROP, FACE)
    assert np.allclose(motion.delta, 128 / 255)
    assert engine.runtime.precision == "fp32"
    assert len(warnings(caplog)) == 1


def test_really_black_pictures_are_no_error(caplog):
    engine, _ = stub_engine("bf16", good_calls=99)
    assert brightness(engine.render(engine.encode(CROP, FACE), driving(0.0))) == [0]
    assert engine.runtime.precision == "bf16"
    assert not warnings(caplog)


def test_nan_in_full_precision_is_an_error():
    engine, _ = stub_engine("fp32", spoil=nan, always=True)
    portrait = engine.encode(CROP, FACE)
    with pytest.raises(ModelError, match="NaN in full precision; verify the weights"):
        engine.render(portrait, driving(0.5))
    engine, _ = stub_engine("bf16", spoil=nan, always=True)
    with pytest.raises(ModelError, match="NaN even in full precision"):
        engine.warm_up()


def test_fp16_is_not_tried_on_the_cpu(caplog):
    engine, stub = stub_engine("fp16")
    assert brightness(engine.render(engine.encode(CROP, FACE), driving(0.5))) == [127]
    assert engine.runtime.precision == "fp32"
    assert stub.calls == [False]
    (text,) = warnings(caplog)
    assert "bf16 is the half precision of CPUs" in text


def test_auto_is_full_precision_on_the_cpu():
    engine, stub = stub_engine("auto")
    engine.warm_up()
    assert engine.runtime.precision == "fp32"
    assert stub.calls == []
    assert engine.describe()["device"] == "cpu"


# ---------------------------------------------------------------------------- inputs


def test_transparent_crops_lie_on_grey():
    engine, _ = stub_engine("fp32")
    crop = np.dstack([CROP, np.zeros((512, 512), np.uint8)])
    crop[:, 256:, 3] = 255
    portrait = engine.encode(crop, FACE)
    assert portrait.crop.shape == (512, 512, 3)
    assert (portrait.crop[:, :256] == 127).all()
    assert (portrait.crop[:, 256:] == 128).all()
    assert engine.render(portrait, driving(0.5)).shape == (1, 512, 512, 3)


def test_no_frames():
    engine, _ = stub_engine("fp32")
    assert engine.render(engine.encode(CROP, FACE), np.empty((0, 21, 3), np.float32)).shape == (0, 512, 512, 3)


def test_wrong_inputs():
    engine, _ = stub_engine("fp32")
    portrait = engine.encode(CROP, FACE)
    with pytest.raises(ValueError, match=r"must have the shape \(frames, 21, 3\), not \(1, 478, 3\)"):
        engine.render(portrait, np.zeros((1, 478, 3), np.float32))
    with pytest.raises(ValueError, match="not numbers"):
        engine.stitch(portrait, driving(np.nan))
    with pytest.raises(ValueError, match="square"):
        engine.encode(CROP[:400], FACE)
    with pytest.raises(ValueError, match="encoded by another engine"):
        engine.render(
            Portrait(portrait.motion, portrait.canonical, portrait.keypoints, CROP, SimpleNamespace()), driving(0.5)
        )
    with pytest.raises(ValueError, match="no precision 'fp8'"):
        stub_engine("fp8")
    with pytest.raises(ModelError, match="needs the network appearance_feature_extractor"):
        TorchRuntime({}, device="cpu")


def test_devices():
    assert pick_device("cpu").type == "cpu"
    assert pick_device("auto").type in ("cpu", "cuda", "mps")
    with pytest.raises(ModelError, match="'toaster' is not a device"):
        pick_device("toaster")
    with pytest.raises(ModelError, match="not on this machine"):
        pick_device("cuda:99")


def test_it_is_an_engine(engine):
    assert isinstance(engine, Engine)
    assert (engine.name, engine.family, engine.keypoints, engine.delta_space) == (
        "torch",
        "liveportrait21",
        21,
        "camera",
    )
    assert engine.regions["all"].shape == (21, 3)
    assert engine.alpha is False


# ---------------------------------------------------------------------------- under the Animator


def head_face(size: float = 120.0, centre: tuple[float, float] = (256.0, 256.0)) -> Face:
    """Mean face of the mesh at a place in a picture."""
    from liveportrait.engines.mesh.data import face_model

    points = face_model().mean.astype(np.float32).copy()
    points *= size / np.ptp(points[:, 0])
    points[:, :2] += np.asarray(centre) - points[:, :2].mean(axis=0)
    return Face(points)


def animate(engine: LivePortraitEngine, image: np.ndarray, options: AnimationOptions) -> list[np.ndarray]:
    animator = Animator(engine, options)
    scene = animator.scene(image, [head_face()])
    shades = [engine.read_motion(np.full((512, 512, 3), level, np.uint8), FACE) for level in (60, 160, 220)]
    return [animator.frame(scene, Shown(shade, shades[0])) for shade in shades]


@pytest.mark.parametrize(
    "options",
    [
        AnimationOptions(normalize_lip=False),
        AnimationOptions(relative=False, eye_retargeting=True, lip_retargeting=True),
        AnimationOptions(region="lip", paste_back=False),
    ],
    ids=["relative", "absolute with retargeting", "bare crop"],
)
def test_animator_draws_every_frame(options):
    engine, stub = stub_engine("fp32")
    image = np.full((600, 520, 3), 90, np.uint8)
    frames = animate(engine, image, options)
    assert len(frames) == 3
    assert {f.shape for f in frames} == {(600, 520, 3) if options.paste_back else (512, 512, 3)}
    # With paste-back one picture at rest says how soft the engine's own drawing is.
    assert len(stub.calls) == 3 + options.paste_back
    assert not np.array_equal(frames[0], frames[2])
    assert (image == 90).all()


def test_animator_keeps_transparency():
    engine, _ = stub_engine("fp32")
    image = np.full((600, 520, 4), 90, np.uint8)
    frames = animate(engine, image, AnimationOptions(multiplier=2.0))
    assert {f.shape for f in frames} == {(600, 520, 4)}
    assert all((f[..., 3] == 90).all() for f in frames)


def test_animator_with_the_real_networks(engine, picture):
    """A painting, cropped and pasted back, driven by another one: one frame through all seven networks."""
    image = picture("src_s9").repeat(2, axis=0).repeat(2, axis=1)
    animator = Animator(engine, AnimationOptions(lip_retargeting=True))
    scene = animator.scene(image, [head_face(150.0, (250.0, 260.0))])
    drive = [engine.read_motion(picture(name), FACE) for name in ("drv_s5", "drv_s3")]
    shown = Shown(drive[1], drive[0])
    frame = animator.frame(scene, shown)
    assert frame.shape == image.shape
    (x_d,) = animator.pose(scene, [shown])
    assert np.isfinite(x_d).all()
    assert np.abs(x_d - scene.faces[0].portrait.keypoints).max() > 1e-3
    assert np.array_equal(frame[:8, :8], image[:8, :8])
    assert np.abs(frame[200:312, 200:312].astype(int) - image[200:312, 200:312]).mean() > 1


def test_sliders_move_the_official_points(engine, portrait):
    delta = engine.slider_delta(portrait, {"smile": 0.5})
    assert delta.shape == (1, 21, 3)
    assert delta[0, 20, 1] == pytest.approx(-0.005)
    assert delta[0, 14, 1] == pytest.approx(-0.01)
    assert not engine.slider_delta(portrait, {}).any()
    with pytest.raises(ValueError, match="no slider named 'ears'"):
        engine.slider_delta(portrait, {"ears": 1.0})


def test_openings_come_from_the_landmark_model_where_it_is_installed(engine, picture):
    face, points = make_face(), np.zeros((203, 2), np.float32)
    points[[6, 30, 90]] = (0, 1)
    points[[12, 36]], points[66] = (4, 0), (5, 0)
    before = engine.read_motion(picture("drv_s5"), face)
    engine.landmarks = lambda image, given: points
    try:
        motion = engine.read_motion(picture("drv_s5"), face)
        assert engine.describe()["landmarks"] == "203 points"
    finally:
        engine.landmarks = None
    np.testing.assert_allclose(motion.eye_ratio, [[0.25, 0.25]], atol=1e-5)
    np.testing.assert_allclose(motion.lip_ratio, [[0.2]], atol=1e-5)
    np.testing.assert_array_equal(motion.delta, before.delta)
    assert engine.describe()["landmarks"] == "face mesh"
