"""The settings that determine the next frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.live_options import LiveOptions
from app.options import RenderOptions
from app.provenance.watermark import finishing
from liveportrait.animator import Animator

if TYPE_CHECKING:
    from liveportrait.engines.base import Engine
    from liveportrait.expression import Expression


@dataclass(frozen=True)
class Settings:
    """Current options and sliders; replaced as a whole, so that no thread sees a partial change.

    Attributes:
        options: Input, animation, output and program options.
        live: Live options.
        expression: Sliders on top of the driving motion, or posing the portrait without a driver; None is neutral.
    """

    options: RenderOptions = field(default_factory=RenderOptions)
    live: LiveOptions = field(default_factory=LiveOptions)
    expression: Expression | None = None

    def animator(self, engine: Engine) -> Animator:
        """The animator for these settings."""
        finish = finishing(self.options.output.mark)
        return Animator(engine, self.options.animation, self.expression, finish=finish)
