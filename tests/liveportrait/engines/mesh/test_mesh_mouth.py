"""Colours and outlines of an opened mouth."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from liveportrait.engines.mesh import MeshEngine, eyes, mouth, teeth
from liveportrait.engines.mesh import engine as mesh_engine
from liveportrait.engines.mesh.data import face_model
from liveportrait.motion import rotation_from_euler
from models.topology import LIP_LOWER_INNER, LIP_UPPER_INNER, LIPS_INNER


def lab(colour: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(np.uint8([[colour]]), cv2.COLOR_RGB2LAB)[0, 0].astype(float)


@pytest.fixture(scope="module")
def opened(stage):
    """Keypoints of a mouth as wide open as it gets."""
    return stage.keypoints(delta=stage.engine.slider_delta(stage.portrait, {"lip_open": 1.0}))


def test_a_black_and_white_photo_stays_so(stage, opened):
    grey = cv2.cvtColor(cv2.cvtColor(stage.portrait.crop, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    engine = MeshEngine()
    portrait = engine.encode(grey, stage.face)
    portrait.features = replace(portrait.features, mouth=replace(portrait.features.mouth, own=None, own_mask=None))
    drawn = engine.render(portrait, opened)[0].astype(int)
    assert (np.abs(drawn - grey).max(2) > 30).sum() > 1000
    assert np.ptp(drawn, axis=2).max() <= 3


@pytest.mark.parametrize("light", [(1.0, 0.85, 0.45), (0.75, 0.9, 1.0)])
def test_teeth_of_a_shut_mouth_have_the_tint_of_the_white_of_the_eyes(stage, light):
    points = stage.face.points.astype(np.float64)
    layout = stage.portrait.features.layout
    canonical = layout.canonical.copy()
    canonical[list(LIP_LOWER_INNER)] = canonical[list(LIP_UPPER_INNER)]
    shut = replace(layout, canonical=canonical)

    def tooth(crop: np.ndarray) -> np.ndarray:
        white = eyes.white_of(eyes.prepare_eyes(crop, points))
        return lab(mouth.prepare_mouth(crop, points, shut, white).tooth)

    crop = stage.portrait.crop
    tinted = (crop * np.array(light)).astype(np.uint8)
    way = lab(np.array(light) * 200)[2] - 128
    assert 0.7 < (tooth(tinted) - tooth(crop))[2] / way < 1.1


def test_the_lower_lip_over_the_chin_has_no_steps(stage, opened, monkeypatch):
    smooth = stage.engine.render(stage.portrait, opened)[0].astype(float)
    monkeypatch.setattr(mesh_engine, "SMOOTH_GAP", np.inf)
    stepped = stage.engine.render(stage.portrait, opened)[0].astype(float)
    changed = np.abs(smooth - stepped).max(2) > 0
    assert 50 < changed.sum() < 0.01 * changed.size
    edges = [np.abs(np.diff(image, axis=0)).sum(2)[changed[1:]].mean() for image in (smooth, stepped)]
    assert edges[0] < 0.87 * edges[1]


def test_the_photo_s_own_teeth_do_not_go_on_as_stripes(stage, monkeypatch):
    """Where the lip rises above what the photo shows, its teeth are continued; dark gaps between them are not."""
    monkeypatch.setattr(mouth, "UPPER_SHOWN", 1.0)  # the row stays where it is
    layer, layout = stage.portrait.features.mouth, stage.portrait.features.layout
    rise = 0.03 * layout.pose.scale
    vertices = layout.rest.copy()
    vertices[list(LIP_UPPER_INNER[1:-1]), 1] -= rise
    x, top = round(vertices[13, 0]), round(vertices[13, 1] + 0.5 * rise)
    striped = layer.own.copy()
    striped[:, x - 1 : x + 2] = 0

    def drawn(layer: mouth.MouthLayer) -> np.ndarray:
        black = np.zeros_like(stage.portrait.crop)
        mouth.draw_mouth(layer, black, vertices, layout, layout.pose)
        return black[top, x - 12 : x + 13].astype(float).mean(1)

    plain, soft = drawn(layer), drawn(replace(layer, own=striped))
    sharp = drawn(replace(layer, own=striped, own_soft=striped))
    assert (plain - soft).max() < 0.5 * (plain - sharp).max()
    assert soft.mean() > 0.55 * layer.tooth.mean()  # teeth, not a slab of gum


def test_what_lay_below_the_photo_s_teeth_goes_down_with_the_jaw(stage):
    """Its tongue or lower lip would hang under its teeth as a red strip."""
    layer, layout = stage.portrait.features.mouth, stage.portrait.features.layout
    vertices = layout.rest.copy()
    vertices[list(LIP_LOWER_INNER[1:-1]), 1] += 0.1 * layout.pose.scale
    green = replace(layer, own=np.zeros_like(layer.own) + np.array([0, 255, 0], np.uint8))

    def greenest(own_teeth: float) -> float:
        black = np.zeros_like(stage.portrait.crop)
        share = np.full(layer.own_mask.shape, own_teeth, np.float32)
        mouth.draw_mouth(replace(green, own_teeth=share), black, vertices, layout, layout.pose)
        return float((black[..., 1].astype(int) - black[..., 0]).max())

    assert greenest(1.0) > 120
    assert greenest(0.0) < 10


def test_the_row_of_teeth_reaches_both_corners_of_a_turned_mouth(stage):
    """Seen from the side, the near corner lies far beyond the end of a flat row: a black wedge without teeth."""
    layout = stage.portrait.features.layout
    layer = replace(stage.portrait.features.mouth, own=None, own_mask=None, own_soft=None, gap=0.0)
    smile = layout.canonical + 0.05 * face_model().bases["wide"]
    for yaw in (-25.0, 25.0):
        turn = rotation_from_euler(np.zeros(1), np.array([yaw]), np.zeros(1))[0].T
        pose = replace(layout.pose, rotation=turn @ layout.pose.rotation)
        vertices = layout.place(smile, pose)
        vertices[list(LIP_LOWER_INNER[1:-1]), 1] += 0.03 * pose.scale
        black = np.zeros_like(stage.portrait.crop)
        mouth.draw_mouth(layer, black, vertices, layout, pose)
        left, right = vertices[78, :2], vertices[308, :2]
        for share in (0.2, 0.8):  # beside either corner
            column = round(float(left[0] + share * (right[0] - left[0])))
            assert black[:, column].max() > 0.3 * layer.tooth.max(), (yaw, share)


def test_a_clenched_grin_shows_both_rows(stage):
    layout = stage.portrait.features.layout
    layer = replace(stage.portrait.features.mouth, own=None, own_mask=None, own_soft=None, gap=0.0)
    vertices = layout.place(layout.canonical + 0.04 * face_model().bases["wide"], layout.pose)
    vertices[152] = layout.pose.apply(layout.canonical[152] * [1, 0, 1] + [0, layer.chin, 0])  # the jaw is shut
    for index, (upper, lower) in enumerate(zip(LIP_UPPER_INNER[1:-1], LIP_LOWER_INNER[1:-1], strict=True)):
        vertices[lower, 1] = vertices[upper, 1] + 0.09 * layout.pose.scale * np.sin((index + 1) * np.pi / 10) ** 0.5
    black = np.zeros_like(stage.portrait.crop)
    mouth.draw_mouth(layer, black, vertices, layout, layout.pose)
    column = black[round(vertices[13, 1]) + 5 : round(vertices[14, 1]) - 3, round(vertices[13, 0])].max(1)
    assert column.min() > 0.35 * layer.tooth.max()  # no black gap


def test_rounded_lips_hide_the_upper_teeth(stage):
    """Whoever yawns or says "oh" shows none; in a laugh as wide they are seen."""
    layout = stage.portrait.features.layout
    layer = replace(stage.portrait.features.mouth, own=None, own_mask=None, own_soft=None, gap=0.0)

    def under_the_lip(wide: float) -> float:
        vertices = layout.place(layout.canonical + wide * face_model().bases["wide"], layout.pose)
        apart = 0.15 * layout.pose.scale * np.sin(np.linspace(0, np.pi, 11)) ** 0.5
        vertices[list(LIP_LOWER_INNER), 1] = vertices[list(LIP_UPPER_INNER), 1] + apart
        black = np.zeros_like(stage.portrait.crop)
        mouth.draw_mouth(layer, black, vertices, layout, layout.pose)
        x, y = np.round(vertices[13, :2]).astype(int)
        return float(black[y + 3 : y + round(0.05 * layout.pose.scale), x].mean(1).max())

    assert under_the_lip(-0.16) < 0.6 * under_the_lip(0.05)


def test_teeth_are_a_person_s_own():
    """Anyone's are always the same, and those of another face are not; a rough picture gets rough teeth."""
    mean = face_model().mean.astype(np.float64)
    plain, rough = (np.full((64, 64, 3), 150, np.uint8) for _ in range(2))
    rough[::4] += 80
    white, pink = np.full(3, 200, np.float32), np.array([150, 80, 80], np.float32)

    def drawn(shape: np.ndarray, image: np.ndarray) -> np.ndarray:
        grain = teeth.grain_of(image, np.full((3, 2), 32.0), 200.0)
        return teeth.build_rows(white, pink, teeth.character(shape), 200.0, 0.5, grain).upper

    first = drawn(mean, plain)
    assert np.array_equal(first, drawn(mean.copy(), plain))
    assert np.abs(first - drawn(mean * [1.0, 1.06, 1.0], plain)).max() > 35  # a longer face: other edges and gaps
    assert np.abs(first - drawn(mean, rough)).max() > 5


def test_teeth_lie_in_the_dark_while_lips_are_hardly_parted(stage):
    layer = replace(stage.portrait.features.mouth, own=None, own_mask=None, own_soft=None, gap=0.0)
    layout = stage.portrait.features.layout

    def brightest(gap: float) -> float:
        """Of the mouth's middle, with lips ``gap`` face widths apart in a black picture."""
        vertices = layout.rest.copy()
        apart = gap * layout.pose.scale * np.sin(np.linspace(0, np.pi, 11)) ** 0.5
        vertices[list(LIP_LOWER_INNER), 1] = vertices[list(LIP_UPPER_INNER), 1] + apart
        black = np.zeros_like(stage.portrait.crop)
        mouth.draw_mouth(layer, black, vertices, layout, layout.pose)
        return float(black[:, round(vertices[13, 0])].mean(1).max())

    assert brightest(0.018) < 0.4 * brightest(0.045)


def test_a_smiling_mouth_that_opens_further_lowers_the_jaw(stage):
    """The lips of a smile are apart over a shut jaw: speaking opens the jaw by the whole ratio, closing leaves it."""
    own = float(stage.portrait.motion.lip_ratio[0, 0])
    wider, narrower = stage.engine.retarget_lips(stage.portrait, np.float32([[own + 0.1], [own / 2]]))
    closed = stage.engine.retarget_lips(stage.portrait, np.float32([[0.0]]))[0]
    per_ratio = (narrower - closed)[152, 1] / (own / 2)  # of a jaw that follows the difference alone
    assert per_ratio > 0.05
    assert wider[152, 1] > 1.5 * 0.1 * per_ratio
    assert narrower[152, 1] < 0


def test_the_lower_teeth_come_down_with_the_lip_unless_it_grins():
    speaking, smiling, grinning, shut = (
        mouth.jaw_drop(0.0, *lip) for lip in ((0.06, 1.0), (0.045, 1.17), (0.06, 1.35), (0.0, 1.0))
    )
    assert speaking > 0.045
    assert smiling > 0.03  # a person who smiles while speaking doesn't clench the teeth
    assert grinning == shut == 0
    assert mouth.jaw_drop(0.1, 0.06, 1.35) == pytest.approx(0.08)


def test_lips_that_touch_show_no_grey_slit_of_teeth(stage):
    """The astronaut smiles with teeth; where her lips close, the line between them has their tint."""
    closed = stage.keypoints() + stage.engine.retarget_lips(stage.portrait, np.zeros((1, 1), np.float32))
    image = stage.engine.render(stage.portrait, closed)[0]
    points = (closed[0, :, :2] + 1) * len(image) / 2 - 0.5
    x, y = np.round(points[[81, 13, 311]]).astype(int).T
    line = np.median([image[b - 1 : b + 2, a].mean(0) for a, b in zip(x, y, strict=True)], 0)
    assert line[0] > 1.3 * line[1]
    assert line[0] > 1.2 * line[2]


def test_few_visible_teeth_give_way_to_drawn_ones_in_another_mouth(stage):
    """Two teeth between hardly parted lips would stand in a wide smile like the last two."""
    layer, layout = stage.portrait.features.mouth, stage.portrait.features.layout
    blue = replace(layer, own=np.zeros_like(layer.own) + np.array([0, 0, 255], np.uint8), own_teeth=None)

    def blueness(kept: float, opening: float) -> float:
        vertices = layout.rest.copy()
        vertices[list(LIP_LOWER_INNER[1:-1]), 1] += opening * layout.pose.scale
        black = np.zeros_like(stage.portrait.crop)
        mouth.draw_mouth(replace(blue, own_kept=kept), black, vertices, layout, layout.pose)
        return float((black[..., 2].astype(int) - black[..., 0]).max())

    assert blueness(1.0, 0.06) > 120
    assert blueness(0.0, 0.06) < 10
    assert blueness(0.0, 0.006) > 10  # its own opening still shows them: no jump


def test_a_row_of_teeth_that_is_a_few_pixels_high_gives_little_of_its_colour(stage):
    """Between hardly parted lips the photo's teeth are mixed with them: drawn ones would become brown."""
    points, layout = stage.face.points.astype(np.float64), stage.portrait.features.layout
    crop, colour = stage.portrait.crop.copy(), np.array([230.0, 190.0, 90.0])
    cv2.fillPoly(crop, [np.round(points[list(LIPS_INNER), :2]).astype(np.int32)], colour.tolist())
    white = eyes.white_of(eyes.prepare_eyes(crop, points))

    def away(pixels: float) -> float:
        """Distance of the teeth from that colour, with lips so many pixels apart."""
        canonical = layout.canonical.copy()
        canonical[list(LIP_LOWER_INNER)] = canonical[list(LIP_UPPER_INNER)] + [0, pixels / layout.pose.scale, 0]
        found = mouth.prepare_mouth(crop, points, replace(layout, canonical=canonical), white).tooth
        return float(np.linalg.norm(found - colour))

    assert away(12) < 12
    assert away(5) > 30


def test_speech_passes_through_a_smile_s_own_gap_without_a_flash(stage, monkeypatch):
    """A smile that is taken off while the lips part as far as in the photo: the mouth is one between its neighbours."""
    engine, portrait = stage.engine, stage.portrait
    own = float(portrait.motion.lip_ratio[0, 0])
    delta = engine.slider_delta(portrait, {"smile": -0.5, "wide": -0.2})
    low, high = (
        np.floor(f(portrait.features.layout.rest[list(LIPS_INNER), :2], 0)).astype(int) for f in (np.min, np.max)
    )

    def flash() -> float:
        """How far a mouth differs at most from the mean of a less and a further opened one, 0..255."""
        inside = []
        for ratio in np.arange(own - 0.03, own + 0.07, 0.01):
            x_d = stage.keypoints(delta=delta) + engine.retarget_lips(portrait, np.float32([[ratio]]))
            drawn = engine.render(portrait, x_d)[0]
            inside.append(drawn[low[1] : high[1] + 8, low[0] : high[0]].astype(float).mean())
        return float(np.abs(np.array(inside[2:-2]) - (np.array(inside[:-4]) + inside[4:]) / 2).max())

    assert flash() < 2
    monkeypatch.setattr(mouth, "WIDTH_COUNTS", 0)
    assert flash() > 6


def test_a_smile_that_hardly_raises_the_lip_is_taken_off_less(stage):
    whole = stage.engine.own_smile(stage.portrait)
    line = stage.portrait.features.mouth.line
    lower = replace(
        stage.portrait.features.mouth,
        line=line - [0, mouth.upper_lip_raised(stage.portrait.features.mouth, stage.portrait.features.layout), 0],
    )
    low = replace(stage.portrait, features=replace(stage.portrait.features, mouth=lower))
    assert 0 < stage.engine.own_smile(low) < 0.5 * whole
