"""Portrait animation: numbers and images in, numbers and images out.

The names below are imported on first use, so that ``import liveportrait`` is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from liveportrait import packages

__version__ = "0.1.0"

packages.check(("models", "assets"))  # a folder of that name next to the user's script would take precedence

if TYPE_CHECKING:
    from liveportrait.animator import Animator, Scene
    from liveportrait.channel import DrivingChannel
    from liveportrait.driving import DrivingReader, FaceHold, Shown
    from liveportrait.engines import ENGINES, EngineUnavailableError, load_engine
    from liveportrait.engines.base import Engine, Portrait
    from liveportrait.expression import Expression
    from liveportrait.expression_track import ExpressionTrack
    from liveportrait.mix import MotionMix
    from liveportrait.motion import Motion
    from liveportrait.options import AnimationOptions
    from liveportrait.speech import idle_track, speaking_track
    from liveportrait.template import MotionTemplate, save_template
    from liveportrait.template_reader import load_template
    from liveportrait.track import MotionTrack
    from models.face import Face, select_face
    from models.speech import visemes_of
    from models.tracker import FaceTracker

_HOMES = {
    "Animator": "liveportrait.animator",
    "Scene": "liveportrait.animator",
    "DrivingChannel": "liveportrait.channel",
    "DrivingReader": "liveportrait.driving",
    "FaceHold": "liveportrait.driving",
    "Shown": "liveportrait.driving",
    "MotionMix": "liveportrait.mix",
    "MotionTrack": "liveportrait.track",
    "ENGINES": "liveportrait.engines",
    "EngineUnavailableError": "liveportrait.engines",
    "load_engine": "liveportrait.engines",
    "Engine": "liveportrait.engines.base",
    "Portrait": "liveportrait.engines.base",
    "Expression": "liveportrait.expression",
    "ExpressionTrack": "liveportrait.expression_track",
    "Motion": "liveportrait.motion",
    "AnimationOptions": "liveportrait.options",
    "idle_track": "liveportrait.speech",
    "speaking_track": "liveportrait.speech",
    "MotionTemplate": "liveportrait.template",
    "load_template": "liveportrait.template_reader",
    "save_template": "liveportrait.template",
    "Face": "models.face",
    "FaceTracker": "models.tracker",
    "select_face": "models.face",
    "visemes_of": "models.speech",
}

__all__ = [
    "ENGINES",
    "AnimationOptions",
    "Animator",
    "DrivingChannel",
    "DrivingReader",
    "Engine",
    "EngineUnavailableError",
    "Expression",
    "ExpressionTrack",
    "Face",
    "FaceHold",
    "FaceTracker",
    "Motion",
    "MotionMix",
    "MotionTemplate",
    "MotionTrack",
    "Portrait",
    "Scene",
    "Shown",
    "idle_track",
    "load_engine",
    "load_template",
    "save_template",
    "select_face",
    "speaking_track",
    "visemes_of",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
