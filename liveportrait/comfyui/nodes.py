"""The nodes. Types between them: PORTRAIT, PORTRAIT_MOTION, PORTRAIT_MIX and PORTRAIT_EXPRESSION.

An IMAGE is a float32 tensor (B, H, W, 3 or 4) from 0 to 1. Frames are converted one at a time, so that only the batches
themselves grow with their length.
"""

from __future__ import annotations

import importlib
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import numpy.typing as npt

from liveportrait.animator import Animator
from liveportrait.channel import DrivingChannel
from liveportrait.driving import DrivingReader
from liveportrait.engines import ENGINES, EngineUnavailableError, load_engine
from liveportrait.expression import SLIDERS, Expression
from liveportrait.mix import MotionMix
from liveportrait.options import AnimationOptions
from liveportrait.speech import idle_track
from liveportrait.track import MotionTrack
from models.face import select_face
from models.tracker import FaceTracker

if TYPE_CHECKING:
    from liveportrait.engines.base import Engine
    from models.face import Face

Image = npt.NDArray[np.uint8]
CATEGORY: Final = "portrait animation"
PARTS: Final = {"pose_from": "pose", "lips_from": "lip", "eyes_from": "eyes", "exp_from": "exp"}
# Options that other inputs of the nodes stand for, or that need files.
LEFT_OUT: Final = frozenset({"mask"})
MOST_FRAMES: Final = 100_000
IDLE_FRAMES: Final = 250  # of a portrait that lives without a driver


@dataclass(frozen=True)
class PortraitInput:
    """A photo, its face, and the engine that animates it.

    Attributes:
        engine: The engine.
        image: (H, W, 3 or 4) uint8.
        face: The face in it.
    """

    engine: Engine
    image: Image
    face: Face


@dataclass(frozen=True)
class MotionInput:
    """Motion of a clip.

    Attributes:
        track: Its frames.
        rate: Frames per second.
    """

    track: MotionTrack
    rate: Fraction


@dataclass(frozen=True)
class MixInput:
    """Motion for all parts of the face.

    Attributes:
        main: Driver of all parts without a driver of their own.
        others: "pose", "lip", "eyes" or "exp" -> its driver.
    """

    main: MotionInput
    others: Mapping[str, MotionInput]


def to_pixels(image: Any) -> Image:
    """An image (H, W, C) of a batch as uint8 RGB or RGBA."""
    values = np.asarray(image.detach().cpu().numpy() if hasattr(image, "detach") else image, np.float32)
    if values.ndim != 3 or values.shape[2] not in (1, 3, 4):
        raise ValueError(f"An image must have the shape (height, width, 3 or 4), not {values.shape}.")
    if values.shape[2] == 1:
        values = np.repeat(values, 3, 2)
    return np.asarray(np.clip(np.nan_to_num(values) * 255 + 0.5, 0, 255), np.uint8)


def to_batch(frames: Iterator[Image], count: int) -> Any:
    """A float32 tensor (count, H, W, C) from uint8 frames, which are taken one at a time."""
    import torch

    batch: Any = None
    for number, frame in enumerate(frames):
        if batch is None:
            batch = torch.empty((count, *frame.shape), dtype=torch.float32)
        batch[number] = torch.from_numpy(np.ascontiguousarray(frame)).to(torch.float32) / 255
    return batch


def reporter(total: int) -> Callable[[], None]:
    """Function to call after each frame: shows progress in ComfyUI, and stops when the user interrupts."""
    try:
        bar = importlib.import_module("comfy.utils").ProgressBar(total)
        check = importlib.import_module("comfy.model_management").throw_exception_if_processing_interrupted
    except ImportError:  # outside of ComfyUI
        return lambda: None

    def step() -> None:
        bar.update(1)
        check()

    return step


def copied(track: MotionTrack) -> MotionTrack:
    """A copy of a track, which a channel may close: ComfyUI keeps the outputs of nodes for the next run."""
    copy = track.emptied()
    for _, part in track.chunks():
        copy.append_rows(part)
    return copy


def rate_of(number: float) -> Fraction:
    """An exact frame rate from the number of a widget: 29.97 is 30000/1001."""
    found = Fraction(number).limit_denominator(1001)
    ntsc = Fraction(round(number * 1.001) * 1000, 1001)
    return ntsc if abs(float(ntsc) - number) < 0.006 and round(number) != number else found


def animation_inputs() -> dict[str, tuple[Any, dict[str, Any]]]:
    """Widgets for the options of the animation, from their declarations."""
    types = typing.get_type_hints(AnimationOptions)
    found: dict[str, tuple[Any, dict[str, Any]]] = {}
    for field in fields(AnimationOptions):
        if field.name in LEFT_OUT:
            continue
        facts: dict[str, Any] = {"default": field.default, "tooltip": str(field.metadata["help"])}
        kind = types[field.name]
        bounds = {"min": field.metadata["minimum"], "max": field.metadata["maximum"], "step": field.metadata["step"]}
        facts |= {name: value for name, value in bounds.items() if value is not None}
        if typing.get_origin(kind) is Literal:
            found[field.name] = (list(typing.get_args(kind)), facts)
        else:
            found[field.name] = ({bool: "BOOLEAN", int: "INT", float: "FLOAT", str: "STRING"}[kind], facts)
    return found


class LoadPortrait:
    """The portrait to animate, and the engine that does it."""

    CATEGORY = CATEGORY
    RETURN_TYPES = ("PORTRAIT",)
    RETURN_NAMES = ("portrait",)
    FUNCTION = "load"
    DESCRIPTION = "A photo whose face will be animated: the first image of a batch."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        """Inputs and widgets."""
        names = ["auto", *(engine.name for engine in ENGINES)]
        which = "Which face: largest, left, right, centre, a number counted from 1 by size, or x,y in pixels."
        return {
            "required": {
                "image": ("IMAGE",),
                "engine": (names, {"default": "auto", "tooltip": "mesh needs no weights; auto is the best installed."}),
                "face": ("STRING", {"default": "largest", "tooltip": which}),
            }
        }

    def load(self, image: Any, engine: str, face: str) -> tuple[PortraitInput]:
        """Load the engine and find the face.

        Raises:
            ValueError: There is no such face, or the engine can't run here.
        """
        pixels = to_pixels(image[0])
        faces = FaceTracker().detect(pixels[..., :3])
        if not faces:
            raise ValueError("No face was found in the portrait.")
        chosen = select_face(faces, face, (pixels.shape[1], pixels.shape[0]))
        try:
            return (PortraitInput(load_engine(engine), pixels, chosen),)
        except EngineUnavailableError as error:
            raise ValueError(str(error)) from None


class ReadMotion:
    """The motion of a driving clip."""

    CATEGORY = CATEGORY
    RETURN_TYPES = ("PORTRAIT_MOTION",)
    RETURN_NAMES = ("motion",)
    FUNCTION = "read"
    DESCRIPTION = "Reads how the face in a batch of images moves."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        """Inputs and widgets."""
        rate = {"default": 25.0, "min": 1.0, "max": 240.0, "step": 0.001, "tooltip": "Frames per second of the batch."}
        return {"required": {"portrait": ("PORTRAIT",), "images": ("IMAGE",), "frame_rate": ("FLOAT", rate)}}

    def read(self, portrait: PortraitInput, images: Any, frame_rate: float) -> tuple[MotionInput]:
        """Read the motion.

        Raises:
            ValueError: No image shows a face.
        """
        rate, step = rate_of(frame_rate), reporter(len(images))
        reader, tracker, track = DrivingReader(portrait.engine), FaceTracker(), MotionTrack()
        for number, image in enumerate(images):
            pixels = to_pixels(image)[..., :3]
            face = tracker.track(pixels)
            track.append(Fraction(number) / rate, None if face is None else reader.read(pixels, face))
            step()
        if not track.found:
            raise ValueError("No face was found in the driving images.")
        track.duration = Fraction(len(images)) / rate
        return (MotionInput(track, rate),)


class MixMotion:
    """Motion whose parts come from several clips."""

    CATEGORY = CATEGORY
    RETURN_TYPES = ("PORTRAIT_MIX",)
    RETURN_NAMES = ("mix",)
    FUNCTION = "mix"
    DESCRIPTION = "Takes the head's pose, the lips, the eyes or the rest of the expression from other clips."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        """Inputs and widgets."""
        return {
            "required": {"motion": ("PORTRAIT_MOTION",)},
            "optional": dict.fromkeys(PARTS, ("PORTRAIT_MOTION",)),
        }

    def mix(self, motion: MotionInput, **others: MotionInput | None) -> tuple[MixInput]:
        """Join the motions."""
        return (MixInput(motion, {PARTS[name]: other for name, other in others.items() if other is not None}),)


class SetExpression:
    """An expression by sliders."""

    CATEGORY = CATEGORY
    RETURN_TYPES = ("PORTRAIT_EXPRESSION",)
    RETURN_NAMES = ("expression",)
    FUNCTION = "make"
    DESCRIPTION = "Sliders that pose a face, alone or on top of its motion."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        """Inputs and widgets."""
        return {
            "required": {
                name: (
                    "FLOAT",
                    {
                        "default": float(slider.default),
                        "min": float(slider.minimum),
                        "max": float(slider.maximum),
                        "step": float(slider.step),
                        "tooltip": str(slider.help),
                    },
                )
                for name, slider in SLIDERS.items()
            }
        }

    def make(self, **values: float) -> tuple[Expression]:
        """The expression."""
        return (Expression({name: value for name, value in values.items() if value != SLIDERS[name].default}),)


class Animate:
    """The animated portrait as a batch of images."""

    CATEGORY = CATEGORY
    RETURN_TYPES = ("IMAGE",)
    RETURN_NAMES = ("images",)
    FUNCTION = "animate"
    DESCRIPTION = "Animates a portrait by motion, by sliders, by both, or lets it live without a driver."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        """Inputs and widgets."""
        idle = {"default": 0.0, "min": 0.0, "max": 1.0, "step": 0.05, "tooltip": "Breathing, blinks and glances."}
        count = {"default": 0, "min": 0, "max": MOST_FRAMES, "tooltip": "Frames to make; 0: as many as the motion has."}
        rate = {
            "default": 25.0,
            "min": 1.0,
            "max": 240.0,
            "step": 0.001,
            "tooltip": "Frames per second without motion.",
        }
        return {
            "required": {
                "portrait": ("PORTRAIT",),
                "frames": ("INT", count),
                "frame_rate": ("FLOAT", rate),
                "idle": ("FLOAT", idle),
                **animation_inputs(),
            },
            "optional": {
                "motion": ("PORTRAIT_MOTION,PORTRAIT_MIX",),
                "expression": ("PORTRAIT_EXPRESSION",),
            },
        }

    @classmethod
    def VALIDATE_INPUTS(cls, input_types: Mapping[str, str]) -> bool | str:  # noqa: N802 - ComfyUI's name
        """Accept a motion or a mix of motions."""
        kind = input_types.get("motion", "PORTRAIT_MOTION")
        return kind in ("PORTRAIT_MOTION", "PORTRAIT_MIX", "PORTRAIT_MOTION,PORTRAIT_MIX") or f"motion can't be {kind}."

    def animate(
        self,
        portrait: PortraitInput,
        frames: int,
        frame_rate: float,
        idle: float,
        motion: MotionInput | MixInput | None = None,
        expression: Expression | None = None,
        **chosen: Any,
    ) -> tuple[Any]:
        """Render the frames.

        Raises:
            ValueError: An option or the portrait can't be used.
        """
        options = replace(AnimationOptions(), **chosen)
        mix = MixInput(motion, {}) if isinstance(motion, MotionInput) else motion
        rate = rate_of(frame_rate) if mix is None else mix.main.rate
        count = frames or (len(mix.main.track) if mix is not None else IDLE_FRAMES if idle else 1)
        animator = Animator(portrait.engine, options, expression)
        life = idle_track(float(count / rate), amount=idle, loop=mix is None) if idle else None
        shown = None
        if mix is not None or life is not None:
            shown = self._mix(portrait.engine, options, mix, life)
        scene, step = animator.scene(portrait.image, [portrait.face]), reporter(count)

        def pictures() -> Iterator[Image]:
            for number in range(count):
                time = Fraction(number) / rate
                yield animator.frame(scene) if shown is None else animator.frame(scene, shown.at(time))
                step()

        return (to_batch(pictures(), count),)

    @staticmethod
    def _mix(engine: Engine, options: AnimationOptions, mix: MixInput | None, life: Any) -> MotionMix:
        def channel(motion: MotionInput, *, further: bool = False) -> DrivingChannel:
            return DrivingChannel.of(copied(motion.track), engine, options, further=further)

        if mix is None:
            return MotionMix(engine, None, track=life)
        others = {region: channel(motion, further=True) for region, motion in mix.others.items()}
        return MotionMix(engine, channel(mix.main), others, track=life)


NODE_CLASS_MAPPINGS: Final = {
    "PortraitAnimateLoad": LoadPortrait,
    "PortraitAnimateReadMotion": ReadMotion,
    "PortraitAnimateMix": MixMotion,
    "PortraitAnimateExpression": SetExpression,
    "PortraitAnimate": Animate,
}
NODE_DISPLAY_NAME_MAPPINGS: Final = {
    "PortraitAnimateLoad": "Load Portrait",
    "PortraitAnimateReadMotion": "Read Motion",
    "PortraitAnimateMix": "Mix Motions",
    "PortraitAnimateExpression": "Portrait Expression",
    "PortraitAnimate": "Animate Portrait",
}
