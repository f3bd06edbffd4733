"""MIDI controllers that move sliders, through the packages mido and python-rtmidi if they are installed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from app.errors import MediaError, MissingError, UsageError
from liveportrait.expression import SLIDERS
from models.installation import install_hint
from models.messages import msg

FIRST: Final = "first"
MIDDLE, HIGHEST = 64, 127  # values of a controller
HIGHEST_CHANNEL: Final = 16
USUAL: Final[Mapping[int, str]] = MappingProxyType({
    0: "lip_open", 1: "smile", 2: "brow", 3: "blink", 4: "yaw", 5: "pitch", 6: "roll", 7: "zoom",
    16: "gaze_x", 17: "gaze_y", 18: "wide", 19: "pout", 20: "purse", 21: "frown", 22: "wink_left", 23: "wink_right",
})  # fmt: skip
"""Controller -> slider unless the user names others: the eight faders and eight knobs of small mixing desks."""


@dataclass(frozen=True)
class Bindings:
    """Which controller moves which slider.

    Attributes:
        sliders: (channel from 1 to 16 or 0 for any, controller from 0 to 127) -> name of the slider.
    """

    sliders: Mapping[tuple[int, int], str] = field(
        default_factory=lambda: {(0, key): name for key, name in USUAL.items()}
    )

    @classmethod
    def parse(cls, text: str) -> Bindings:
        """Parse bindings such as "1=smile, 2/7=brow" (controller, or channel/controller); empty gives the usual ones.

        Raises:
            UsageError: It is not a list of bindings, or names an unknown slider.
        """
        entries = [entry for entry in re.split(r"[,;\s]+", text) if entry]
        if not entries:
            return cls()
        sliders: dict[tuple[int, int], str] = {}
        for entry in entries:
            match = re.fullmatch(r"(?:(\d{1,2})/)?(\d{1,3})=(\w+)", entry)
            channel, controller = (int(match[1] or 0), int(match[2])) if match else (0, HIGHEST + 1)
            if match is None or controller > HIGHEST or channel > HIGHEST_CHANNEL or match[1] in ("0", "00"):
                raise UsageError(
                    msg("--midi-map: {entry!r} is not a controller and a slider, such as 1=smile or 2/7=brow.", entry),
                    "Channels go from 1 to 16, controllers from 0 to 127.",
                )
            if match[3] not in SLIDERS:
                raise UsageError(
                    msg(
                        "--midi-map: there is no slider named {name!r}; known are {names}.",
                        match[3],
                        ", ".join(SLIDERS),
                    )
                )
            sliders[channel, controller] = match[3]
        return cls(sliders)

    def read(self, message: Any) -> tuple[str, float] | None:
        """The slider that a message moves and its value; None if it moves none.

        Args:
            message: A mido.Message.
        """
        if message.type != "control_change":
            return None
        own = self.sliders.get((message.channel + 1, message.control))
        name = own or self.sliders.get((0, message.control))
        return None if name is None else (name, slider_value(name, message.value))


def slider_value(name: str, value: int) -> float:
    """The value of a slider for a controller's value from 0 to 127; the middle, 64, is exactly at rest where it can be.

    Sliders that rest at the end of their range rest at 0.
    """
    slider = SLIDERS[name]
    if slider.default <= slider.minimum:
        return slider.minimum + (slider.maximum - slider.minimum) * value / HIGHEST
    if value <= MIDDLE:
        return slider.minimum + (slider.default - slider.minimum) * value / MIDDLE
    return slider.default + (slider.maximum - slider.default) * (value - MIDDLE) / (HIGHEST - MIDDLE)


class MidiInput:
    """An open MIDI input.

    Args:
        name: Its name, a part of it, or "first".
        bindings: Which controller moves which slider.
        moved: Gets the name of a slider and its value; called in a thread of the MIDI system.
        system: Module or object with the functions of mido; mido itself by default.

    Attributes:
        name: The whole name.

    Raises:
        MissingError: mido or python-rtmidi is not installed.
        MediaError: There is no such input, or it can't be opened.
    """

    def __init__(self, name: str, bindings: Bindings, moved: Callable[[str, float], None], system: Any = None) -> None:
        mido = system or _mido()
        self._bindings, self._moved = bindings, moved
        try:
            names = list(mido.get_input_names())
        except ImportError as error:
            raise _missing() from error
        except Exception as error:  # the MIDI system's own errors can't be named without importing it
            raise MediaError(msg("MIDI inputs can't be listed: {error}.", str(error).rstrip("."))) from error
        self.name = _choose(name, names)
        try:
            self._port = mido.open_input(self.name, callback=self._arrived)
        except Exception as error:
            raise MediaError(
                msg("The MIDI input {name} can't be opened: {error}.", self.name, error),
                "Another program may be using it.",
            ) from error

    def _arrived(self, message: Any) -> None:
        if (found := self._bindings.read(message)) is not None:
            self._moved(*found)

    def close(self) -> None:
        """Close the input; nothing is delivered afterwards."""
        self._port.close()


def _choose(name: str, names: list[str]) -> str:
    wanted = name.strip().casefold()
    fitting = [one for one in names if wanted == one.casefold()] or [one for one in names if wanted in one.casefold()]
    if wanted == FIRST:  # "Midi Through" of Linux delivers only what other programs send to it
        fitting = sorted(names, key=lambda one: "through" in one.casefold())
    if not fitting:
        known = msg("There are {names}.", ", ".join(names)) if names else "Connect a controller; none was found."
        raise MediaError(msg("There is no MIDI input named {name!r}.", name), known)
    return fitting[0]


def _missing() -> MissingError:
    return MissingError("--midi: reading MIDI needs the packages mido and python-rtmidi.", install_hint("midi"))


def _mido() -> Any:
    try:
        import mido
    except ImportError as error:
        raise _missing() from error
    return mido
