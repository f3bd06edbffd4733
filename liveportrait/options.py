"""Animation options, each declared once: type, default, bounds, unit, title, help and group.

The command line, the window, presets, job files and the documentation are generated from these declarations
(``app.options`` adds those of input, output and program). This module imports nothing heavy.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from models.messages import msg

Region = Literal["all", "exp", "pose", "lip", "eyes", "lip,eyes", "pose,lip", "pose,eyes", "pose,lip,eyes"]
MouthMotion = Literal["auto", "relative", "absolute"]
DrivingOption = Literal["pose-friendly", "expression-friendly"]
T = TypeVar("T")


def option(
    default: T,
    *,
    title: str,
    help: str,
    group: str,
    unit: str = "",
    minimum: float | None = None,
    maximum: float | None = None,
    step: float | None = None,
    flag: str = "",
    advanced: bool = False,
    repeat: bool = False,
    several: bool = False,
) -> T:
    """Declare one option as a dataclass field.

    Args:
        default: Default value.
        title: Short name for a widget or a table.
        help: One or two sentences for users.
        group: Heading under which help, window and documentation show it.
        unit: Unit of a number ("deg", "s", "px", "" for a ratio).
        minimum: Smallest value allowed, inclusive.
        maximum: Largest value allowed, inclusive.
        step: Step of a slider.
        flag: Command-line flags where they are not "--" plus the name, separated by spaces.
        advanced: Hidden in the window by default.
        repeat: May be given several times; a text then holds one entry on each line.
        several: Several choices may be joined by commas.

    Returns:
        A dataclass field (typed as the default, as dataclass users expect).
    """
    metadata: dict[str, Any] = {
        "title": title, "help": help, "group": group, "unit": unit, "minimum": minimum, "maximum": maximum,
        "step": step, "flag": flag, "advanced": advanced, "repeat": repeat, "several": several,
    }  # fmt: skip
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class AnimationOptions:
    """How the driving motion is transferred to the source (spec: official inference flags, renamed plainly)."""

    relative: bool = option(
        True,
        title="Relative motion",
        group="Motion",
        help="Add the driver's change from its neutral reference to the source's own pose and expression; "
        "absolute motion copies the driver's pose and expression as they are.",
    )
    region: Region = option(
        "all",
        title="Region",
        group="Motion",
        several=True,
        help=msg(
            "Which part of the driving motion is used: {setting:all}, {setting:exp} (without the head's pose), "
            "{setting:pose}, {setting:lip}, {setting:eyes}, or several, such as {setting:lip,eyes}."
        ),
    )
    multiplier: float = option(
        1.0,
        title="Driving multiplier",
        group="Motion",
        minimum=0.0,
        maximum=3.0,
        step=0.05,
        help="Strength of the whole motion; 1 is the driver's own.",
    )
    reference: str = option(
        "auto",
        title="Neutral reference",
        group="Motion",
        help="Frame that relative motion is measured from: auto (the most neutral one of each shot), first, or a frame "
        "number counted from 0.",
    )
    mouth: MouthMotion = option(
        "auto",
        title="Mouth motion",
        group="Motion",
        help=msg(
            "What relative motion does with the photo's own mouth: {setting:relative} adds the driver's mouth motion "
            "to it, {setting:absolute} replaces it with the driver's mouth. {setting:auto} replaces it if the photo's "
            "mouth is open, as in a smile with teeth, so that two smiles don't add up; with the LivePortrait "
            "networks it always adds, as in the official release."
        ),
    )
    driving_option: DrivingOption = option(
        "pose-friendly",
        title="Absolute motion",
        group="Motion",
        help=msg(
            "With {option:relative=off}: {setting:pose-friendly} copies pose and expression, "
            "{setting:expression-friendly} adds the driver's change from its neutral reference, scaled to the size of "
            "the source's face. Relative motion does that anyway."
        ),
    )
    official: bool = option(
        False,
        title="Official rules",
        group="Motion",
        advanced=True,
        help="Compute motion as the official LivePortrait release does, including its quirks; docs/differences.md "
        "lists them.",
    )
    smooth: float = option(
        2.0,
        title="Smoothing",
        group="Motion",
        minimum=0.0,
        maximum=100.0,
        step=0.1,
        help=msg(
            "How strongly jitter is removed from the driving motion, without delay and without affecting blinks; 0 "
            "turns it off, 0.3 is the official setting (and the default with {option:official}), 10 is very calm."
        ),
    )
    ease_cuts: float = option(
        0.0,
        title="Ease cuts",
        group="Motion",
        unit="s",
        minimum=0.0,
        maximum=2.0,
        step=0.05,
        advanced=True,
        help="Where the driving clip has a cut, move smoothly from the pose before it to the one after it within this "
        "time instead of jumping; 0 jumps. 0.3 suits most cuts.",
    )
    scale_motion: float = option(
        0.0,
        title="Scale with distance",
        group="Motion",
        minimum=0.0,
        maximum=1.0,
        step=0.05,
        help="How far the head grows and shrinks when the driver moves toward the camera: 0 keeps its size, 1 "
        "follows fully.",
    )
    turn_limit: bool = option(
        True,
        title="Limit head turns",
        group="Motion",
        help="Turn the head no further than the photo allows; a photo taken from the side allows less. Only the "
        "embedded engine needs this.",
    )
    stitching: bool = option(
        True,
        title="Stitching",
        group="Stitching and retargeting",
        help="Keep the shoulders and the border of the crop in place so that the animated head fits the untouched "
        "photo.",
    )
    eye_retargeting: bool = option(
        False,
        title="Eye retargeting",
        group="Stitching and retargeting",
        help="Match the driver's eye opening exactly, on top of the other motion.",
    )
    lip_retargeting: bool = option(
        False,
        title="Lip retargeting",
        group="Stitching and retargeting",
        help="Match the driver's lip opening exactly, on top of the other motion.",
    )
    normalize_lip: bool = option(
        False,
        title="Close the source's lips first",
        group="Stitching and retargeting",
        help="A source photographed with an open mouth starts from closed lips.",
    )
    source_eye_normalize: bool = option(
        False,
        title="Steady source eyes",
        group="Stitching and retargeting",
        help="Source video only: keep the eye opening of its first frame under the driving motion.",
    )
    eye_gain: float = option(
        1.0,
        title="Eye gain",
        group="Stitching and retargeting",
        minimum=0.0,
        maximum=2.0,
        step=0.05,
        help="Strength of blinks and eye opening.",
    )
    lip_gain: float = option(
        1.0,
        title="Lip gain",
        group="Stitching and retargeting",
        minimum=0.0,
        maximum=2.0,
        step=0.05,
        help="Strength of lip and jaw motion.",
    )
    crop_scale: float = option(
        2.3,
        title="Crop scale",
        group="Crop",
        minimum=1.5,
        maximum=4.0,
        step=0.05,
        help="Side of the animated crop, relative to the size of the face.",
    )
    crop_x: float = option(
        0.0,
        title="Crop shift x",
        group="Crop",
        minimum=-0.5,
        maximum=0.5,
        step=0.005,
        help="Shift of the crop to the right, as a share of its side.",
    )
    crop_y: float = option(
        -0.125,
        title="Crop shift y",
        group="Crop",
        minimum=-0.5,
        maximum=0.5,
        step=0.005,
        help="Shift of the crop downward, as a share of its side.",
    )
    crop_rotate: bool = option(
        True, title="Level the crop", group="Crop", help="Rotate the crop so that the face is upright in it."
    )
    paste_back: bool = option(
        True,
        title="Paste back",
        group="Crop",
        help="Paste the animated crop back into the full image; off gives the bare crop.",
    )
    mask: str = option(
        "auto",
        title="Paste-back mask",
        group="Crop",
        help="Which part of the animated crop is pasted back: auto (all of it, with a soft border; in photos, "
        "whatever covers the face stays in front: hands and objects in place, masks and sunglasses moving with "
        "the head), template (all of it), matte (only the person; objects in front of the face stay if their "
        "colour sets them apart), or a face parser, as parse/NAME or the path of its ONNX file (as auto, but in "
        "clips too, and everything in front stays in place).",
    )
