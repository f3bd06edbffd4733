"""What decides the look of the next frame."""

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
    """Options and sliders of the moment; replaced as a whole, so that no thread sees half of a change.

    Attributes:
        options: Input, animation, output and program options.
        live: Live options.
        expression: Sliders on top of the driving motion, or posing the portrait where nobody drives; None at rest.
    """

    options: RenderOptions = field(default_factory=RenderOptions)
    live: LiveOptions = field(default_factory=LiveOptions)
    expression: Expression | None = None

    def animator(self, engine: Engine) -> Animator:
        """What draws with them."""
        finish = finishing(self.options.output.mark)
        return Animator(engine, self.options.animation, self.expression, finish=finish)
