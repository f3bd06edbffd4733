"""Fit a driver's expression to the proportions of a source: lids by their eye ratio, lips by their gap."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from liveportrait.engines.mesh.cheeks import FULL_SMILE, raise_cheeks
from liveportrait.engines.mesh.data import face_model
from liveportrait.engines.mesh.eyes import corners_left_to_right, gaze_offset
from liveportrait.engines.mesh.flesh import keep_flesh, thickness_ratios
from liveportrait.engines.mesh.geometry import eye_opening, lip_gap
from liveportrait.ramps import smoothstep
from models.topology import BROW_LEFT, BROW_RIGHT, EYES, LIP_LOWER_INNER, LIP_UPPER_INNER, MOUTH_CORNERS, EyeIndices

Float = npt.NDArray[np.float64]

SHUT = 0.035  # mean eye ratio that the landmark model reports for a shut eye
UNSEEN = 0.8  # lids that close by a share s are reported as closed by only about s - 0.8 s (1 - s)
RING_SHARES = (0.9, 0.4)  # of the lid's motion, in both rings of skin above it: lashes keep their thickness
WIDEST = 1.35  # widening beyond this shows more of the eyeball than can be guessed
WIDEST_EYES = 1.6  # eyes open at most to this multiple of their opening in the photo
FURTHEST_CORNER = 0.11  # largest move of a corner of the mouth in face widths
FURTHEST_BROW = 0.055  # largest move of a brow in face widths
WIDEST_MOUTH = 0.3  # mean lip gap in face widths that no mouth exceeds
GAZE_GAIN = np.array([1.7, 2.0])  # the iris moves further than its landmarks, by these factors (x, y)
GAZE_REACH = np.array([0.42, 0.2])  # largest move of the iris in eye widths
GAZE_ROOM = 0.36  # largest distance of an iris from the middle of its eye, eye widths
UP_AND_DOWN = 0.6  # limit as a share of the photo's own opening, so that an iris never leaves a narrow eye
KNEE = 0.7  # share of that reach from which the move is progressively damped
PLACED_WIDEST = 1.06  # WIDEST for a face whose landmarks were placed by hand
WINK = (0.25, 0.6)  # difference of both eyes' openings: landmark error up to the first, a wink from the second on
APART = 0.75  # share of smaller differences that is kept: some are narrowed eyes, some are errors
PLACED_WINK = (0.4, 0.8)  # the same for large round eyes, on which small differences hardly look like a wink
FAR_EYE = (np.sin(np.radians(12)), np.sin(np.radians(28)))  # turns of the driver's head over which the far eye is lost
DEPTH_SHARE = 0.7  # share of the expression's depth that is kept: landmark depth is noisy
OPEN_MOUTH = (0.008, 0.03)  # mean lip gap in face widths: closed below the first, open above the second
# Medians over 330 portraits, of those with closed lips and of those with open ones (face widths from the mean face,
# which smiles), and the share of the difference from them that is the person's own.
RESTING = {"open": -0.035, "wide": -0.05, "smile": -0.03}
SMILING = {"open": 0.012, "wide": 0.017, "smile": 0.008}
PERSONAL = 0.3
_BROWS = list(BROW_LEFT + BROW_RIGHT)
_UPPER, _LOWER = np.array(LIP_UPPER_INNER[1:-1]), np.array(LIP_LOWER_INNER[1:-1])


def mouth_width(shape: Float) -> float:
    """Distance of the mouth corners in the image plane, in units of the shape."""
    a, b = MOUTH_CORNERS
    return float(np.linalg.norm(shape[a, :2] - shape[b, :2]))


def set_opening(shape: Float, source: Float, eye: EyeIndices, opening: float) -> None:
    """Move the lids of a canonical shape (478, 3), in place, to ``opening`` times the source's lid gap."""
    upper, lower = np.array(eye.upper[1:-1]), np.array(eye.lower[1:-1])
    gap = source[upper] - source[lower]
    low = shape[lower].copy()
    if opening < 1:  # closing: the upper lid comes down, the lower one hardly moves
        low = source[lower] + 0.7 * (low - source[lower])
    shape[lower] = low
    shape[upper, :2] = (low + gap * max(opening, 0.0))[:, :2]
    shape[upper, 2] = source[upper, 2]
    moved = np.zeros((7, 3))
    moved[:, :2] = (shape[upper] - source[upper])[:, :2]
    for ring, share in zip((np.array(eye.upper_rings[:7]), np.array(eye.upper_rings[7:])), RING_SHARES, strict=True):
        shape[ring] = source[ring] + share * moved + (1 - share) * (shape[ring] - source[ring])


def driver_opening(eye: EyeIndices, driver: Float, neutral: Float, source_opening: float) -> float:
    """Eye ratio to give to the source's eye, as a factor of its own."""
    rest = max(eye_opening(neutral, eye), 0.12)
    factor = max(0.0, (eye_opening(driver, eye) - SHUT) / (rest - SHUT))
    if factor > 1:  # widening: limited to the driver's in absolute terms, if their eyes are smaller
        factor = 1 + (factor - 1) * min(1.0, rest / max(source_opening, 0.12))
    return float(min(factor, WIDEST))


def mouth_openness(shape: Float) -> float:
    """Share 0..1 to which the mouth of a canonical shape is open, as in a laugh or a smile with teeth."""
    return float(smoothstep(*OPEN_MOUTH, lip_gap(shape)))


def mouth_expression(shape: Float) -> Float:
    """(478, 3) part of a canonical shape (478, 3) that comes from its mouth being opened, widened or smiling.

    Subtracting it leaves the person's mouth at rest. Eyes and brows are not touched; a remaining gap between the lips
    is closed by the caller (``set_lip_gap``).
    """
    model = face_model()
    out = np.zeros(shape.shape)
    for name, amount in zip(*_coefficients(shape), strict=True):
        if name in RESTING:
            usual = SMILING[name] + (1 - PERSONAL) * (amount - SMILING[name])
            out += (usual - RESTING[name]) * model.bases[name]
    return np.asarray(out * (1 - model.eye_weight.max(0))[:, None])


def resting_mouth(shape: Float) -> Float:
    """(478, 3) canonical shape with its mouth at rest; lips that are already closed stay as they are."""
    share = mouth_openness(shape)
    if share <= 0:
        return shape
    out = shape - share * mouth_expression(shape)
    set_lip_gap(out, (1 - share) * lip_gaps(shape))
    return out


def fit_expression(
    source: Float, driver: Float, neutral: Float, replaced: float = 0.0, *, side: float = 0.0, placed: bool = False
) -> Float:
    """Canonical shape of the source with the driver's expression.

    Args:
        source: (478, 3) canonical source.
        driver: (478, 3) canonical driver frame.
        neutral: (478, 3) canonical neutral frame of the same driver.
        replaced: Share 0..1 of the source's own mouth expression that the driver's replaces.
        side: How far the driver's head shows its left side in the image, -1..1, see ``side_shown``.
        placed: The landmarks were placed by hand: the eyes may be large, and the area above them is not known.

    Returns:
        (478, 3); equal to source when driver equals neutral and nothing is replaced.
    """
    model = face_model()
    change = driver - neutral
    change[:, 2] *= DEPTH_SHARE
    rest, driver_rest, held = source, neutral, 0.0
    if replaced > 0:
        rest = source - replaced * mouth_expression(source)
        held = replaced * mouth_openness(neutral)  # share of the neutral frame's mouth that is expression too
        driver_rest = neutral - held * mouth_expression(neutral)
        change += neutral - driver_rest
    ratio = np.clip(mouth_width(rest) / max(mouth_width(driver_rest), 1e-6), 0.75, 1.3)
    change *= 1 + (ratio - 1) * model.mouth_weight[:, None]
    out = rest + change - (1 - replaced) * _shared_smile(source, driver, neutral)
    openings = [driver_opening(eye, driver, neutral, eye_opening(source, eye)) for eye in EYES]
    openings = _conjugate(openings, side, *(PLACED_WINK, 0.0) if placed else (WINK, APART))
    openings = [one - UNSEEN * max(0.0, one * (1 - one)) for one in openings]
    openings = [min(one, PLACED_WIDEST) for one in openings] if placed else openings
    for eye, look, opening in zip(EYES, _gaze_changes(source, driver, neutral, side), openings, strict=True):
        rings = np.array(eye.upper_rings + eye.lower_rings)
        size = np.clip(eye_opening(source, eye) / max(eye_opening(neutral, eye), 0.05), 0.6, 1.2)
        out[rings] = rest[rings] + change[rings] * size
        lower = np.array(eye.lower[1:-1])
        out[lower] = rest[lower] + change[lower] * size
        set_opening(out, source, eye, opening)
        out[eye.iris : eye.iris + 5] = source[eye.iris : eye.iris + 5] + look
    own = (1 - replaced) * lip_gaps(source) + held * ratio * np.maximum(lip_gaps(neutral), 0)
    set_lip_gap(out, own + ratio * (lip_gaps(driver) - lip_gaps(neutral)))
    keep_flesh(out, rest, thickness_ratios(driver, driver_rest))
    raise_cheeks(out, source, smile_amount(source))
    return out


def within_limits(shape: Float, source: Float) -> Float:
    """Limit a canonical shape whose motion was multiplied to what a face can do.

    Args:
        shape: (478, 3) canonical shape.
        source: (478, 3) canonical source.

    Returns:
        (478, 3): lids neither cross nor open beyond WIDEST_EYES, irises stay in their eyes, lips don't cross, and the
        mouth opens no further than WIDEST_MOUTH; the shape itself if it is within these limits.
    """
    gap, own = float(lip_gaps(shape).mean()), float(lip_gaps(source).mean())
    change = shape - source
    # Each half of the face is scaled back as a whole, or a lip would lie on the chin and a brow in the hair.
    lower = min(1.0, FURTHEST_CORNER / max(float(np.linalg.norm(change[list(MOUTH_CORNERS), :2], axis=1).max()), 1e-6))
    if lower * (gap - own) > (most := max(WIDEST_MOUTH - own, 0)):
        lower = most / (gap - own)
    upper = min(1.0, FURTHEST_BROW / max(float(np.linalg.norm(change[_BROWS, :2], axis=1).max()), 1e-6))
    out = shape.copy()
    if lower < 1 or upper < 1:
        below = below_the_eyes()
        out = source + change * (below * lower + (1 - below) * upper)
    for eye in EYES:
        top, bottom = np.array(eye.upper[1:-1]), np.array(eye.lower[1:-1])
        own_gap = float((source[bottom, 1] - source[top, 1]).mean())
        opening = float((out[bottom, 1] - out[top, 1]).mean()) / max(own_gap, 1e-6)
        if not 0 <= opening <= WIDEST_EYES:
            set_opening(out, source, eye, float(np.clip(opening, 0, WIDEST_EYES)))
        iris = slice(eye.iris, eye.iris + 5)
        width = float(np.linalg.norm(source[eye.outer, :2] - source[eye.inner, :2]))
        look = (out[iris, :2] - source[iris, :2]).mean(0) / width
        out[iris, :2] += (np.clip(look, -GAZE_REACH, GAZE_REACH) - look) * width
    keep_lips_apart(out)
    return out


def below_the_eyes() -> Float:
    """(478, 1) 0 at the eyes and above, 1 from the nose down: not everybody raises the brows when opening the mouth."""
    mean = face_model().mean
    return np.asarray(smoothstep(mean[EYES[0].outer, 1] + 0.05, mean[2, 1], mean[:, 1]), np.float64)[:, None]


def side_shown(rotation: Float) -> float:
    """Sine of the turn to the side of a stored rotation (3, 3); positive if the left eye is the nearer one."""
    mean = face_model().mean.astype(np.float64)
    left, right = (mean[[eye.outer, eye.inner]].mean(0) for eye in EYES)
    between = right - left
    return float((between @ rotation)[2] / np.linalg.norm(between))


def _shares(side: float) -> Float:
    """(2,) weights of the landmarks of the left and the right eye; those of a turned head's far eye are unreliable."""
    near = 0.5 + 0.5 * float(np.clip(abs(side) / FAR_EYE[1], 0, 1))
    return np.array([near, 1 - near] if side > 0 else [1 - near, near])


def _conjugate(openings: list[float], side: float, wink: tuple[float, float], apart: float) -> list[float]:
    """Openings of both eyes as factors of their own, made more alike than the landmarks unless the driver winks.

    Lids move together. Their landmarks differ slightly when the eyes look aside, and considerably in the far eye of a
    turned head; neither is a wink.
    """
    mean = float(_shares(side) @ np.array(openings))
    difference = float(smoothstep(*wink, abs(openings[0] - openings[1])))
    own = (apart + (1 - apart) * difference) * (1 - float(smoothstep(*FAR_EYE, abs(side))))
    return [mean + own * (one - mean) for one in openings]


def lip_gaps(shape: Float) -> Float:
    """(9,) how far each point of the lower inner lip lies below the one above it; negative where lips cross."""
    return np.asarray(shape[_LOWER, 1] - shape[_UPPER, 1])


def set_lip_gap(shape: Float, gap: Float) -> None:
    """Bring the inner lips (9 pairs) of a shape to a gap (9,), in place; lips never cross."""
    excess = lip_gaps(shape) - np.maximum(gap, 0)
    shape[_UPPER, 1] += 0.65 * excess
    shape[_LOWER, 1] -= 0.35 * excess


def softly_between(move: Float, low: Float, high: Float) -> Float:
    """A move limited to a range around 0: unchanged up to KNEE of the limit, then progressively damped."""
    reach = np.where(move < 0, -low, high)
    size, soft = np.abs(move), (1 - KNEE) * reach
    over = np.maximum(size - KNEE * reach, 0)
    return np.asarray(np.sign(move) * (np.minimum(size, KNEE * reach) + soft * np.tanh(over / soft)))


def _gaze_room(source: Float, eye: EyeIndices) -> tuple[Float, Float]:
    """(2,) largest moves of an iris to either side, in eye widths, from its place in the source."""
    own = float(gaze_offset(source, eye)[0])
    height = min(GAZE_REACH[1], UP_AND_DOWN * max(eye_opening(source, eye), 0.1))
    left, right = (float(np.clip(GAZE_ROOM + way * own, 0.05, GAZE_REACH[0])) for way in (1, -1))
    return np.array([-left, -height]), np.array([right, height])


def _gaze_changes(source: Float, driver: Float, neutral: Float, side: float) -> list[Float]:
    """(3,) move of the left and the right iris in canonical units.

    Both eyes get the same gaze, apart from half of the difference between the driver's eyes: landmarks of an eye that
    is nearly shut or seen from the side are uncertain.
    """
    shifts, sure = [], []
    for eye, share in zip(EYES, 2 * _shares(side), strict=True):
        shifts.append(GAZE_GAIN * (gaze_offset(driver, eye) - gaze_offset(neutral, eye)))
        seen = np.clip((eye_opening(driver, eye) - 0.06) / 0.08, 0, 1)  # in a shut eye it is a guess
        sure.append(float(min(share, 1) * seen))
    if sum(sure) <= 0:
        return [np.zeros(3), np.zeros(3)]
    together = (sure[0] * shifts[0] + sure[1] * shifts[1]) / sum(sure)
    out = []
    for eye, shift, known in zip(EYES, shifts, sure, strict=True):
        look = max(sure) * (together + 0.5 * known * (shift - together))
        look = softly_between(look, *_gaze_room(source, eye))
        a, b = corners_left_to_right(source, eye)
        axis = b - a
        out.append(np.array([axis[0] * look[0] - axis[1] * look[1], axis[1] * look[0] + axis[0] * look[1], 0.0]))
    return out


@lru_cache(maxsize=1)
def _solver() -> tuple[list[str], Float, Float]:
    """Names of the expression bases, weights of the values, and a matrix from weighted differences to coefficients."""
    model = face_model()
    names = list(model.bases)
    basis = np.stack([model.bases[n] for n in names]).astype(np.float64)
    weight = (0.15 + model.mouth_weight + model.eye_weight.max(0)).astype(np.float64)[:, None]
    flat = (basis * weight).reshape(len(names), -1)
    gram = flat @ flat.T
    return names, weight, np.linalg.solve(gram + 0.05 * np.diag(np.diag(gram)), flat)


def _coefficients(shape: Float) -> tuple[list[str], Float]:
    """Names of the expression bases, and their coefficients in a canonical shape (478, 3) relative to the mean face."""
    names, weight, solver = _solver()
    return names, np.asarray(solver @ ((shape - face_model().mean) * weight).reshape(-1))


def smile_amount(shape: Float) -> float:
    """How much a canonical shape (478, 3) smiles: 0 at rest, about 1 in a full smile."""
    names, amounts = _coefficients(shape)
    shares = [(amounts[names.index(name)] - RESTING[name]) / full for name, full in FULL_SMILE.items()]
    return float(np.mean(shares))


def _shared_smile(source: Float, driver: Float, neutral: Float) -> Float:
    """(478, 3) smile that source and driver would both add: a photo that already smiles can't smile twice."""
    own = float(np.clip(smile_amount(source), 0, 1))
    his = float(np.clip(smile_amount(driver) - smile_amount(neutral), 0, 1))
    model = face_model()
    both = sum((full * model.bases[name] for name, full in FULL_SMILE.items()), np.zeros(source.shape))
    return np.asarray(own * his * both * (1 - model.eye_weight.max(0))[:, None])


def expression_only(shape: Float) -> Float:
    """(478, 3) part of a canonical shape that the expression bases explain, relative to the mean face.

    Used where a single image of a person must stand for an expression (absolute motion, driving photo): what the bases
    don't explain is taken for the person's own features.
    """
    model = face_model()
    names, coefficients = _coefficients(shape)
    out = np.tensordot(coefficients, np.stack([model.bases[n] for n in names]).astype(np.float64), 1)
    for eye in EYES:  # lids by their eye ratio, compared to an average open eye
        mean = model.mean.astype(np.float64)
        wide = eye_opening(shape, eye) / eye_opening(mean, eye)
        target = mean + out
        set_opening(target, mean, eye, float(np.clip(wide, 0, 1.3)))
        out = target - mean
    return out


def keep_lips_apart(shape: Float) -> None:
    """Separate the inner lips of a shape, in place, where they cross."""
    set_lip_gap(shape, np.maximum(lip_gaps(shape), 0))
