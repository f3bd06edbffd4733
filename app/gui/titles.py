"""Names of options, choices and handles as the window shows them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from app.gui.translate import mark, tr
from app.options import all_options
from models.messages import Term

HANDLES: Final = {
    "left_eye_outer": mark("Left eye, outer corner"),
    "left_eye_inner": mark("Left eye, inner corner"),
    "left_eye_top": mark("Left eye, upper lid"),
    "left_eye_bottom": mark("Left eye, lower lid"),
    "right_eye_inner": mark("Right eye, inner corner"),
    "right_eye_outer": mark("Right eye, outer corner"),
    "right_eye_top": mark("Right eye, upper lid"),
    "right_eye_bottom": mark("Right eye, lower lid"),
    "left_brow": mark("Left brow"),
    "right_brow": mark("Right brow"),
    "nose": mark("Tip of the nose"),
    "mouth_left": mark("Left corner of the mouth"),
    "mouth_right": mark("Right corner of the mouth"),
    "lip_top": mark("Upper edge of the mouth's opening"),
    "lip_bottom": mark("Lower edge of the mouth's opening"),
    "chin": mark("Chin"),
    "face_top": mark("Top of the face"),
    "face_left": mark("Left edge of the face"),
    "face_right": mark("Right edge of the face"),
}
CHOICES: Final = {
    "all": mark("all"), "exp": mark("expression"), "pose": mark("pose"), "lip": mark("lips"), "eyes": mark("eyes"),
    "pose-friendly": mark("pose"), "expression-friendly": mark("expression"),
    "shortest": mark("the shorter one"), "source": mark("source"), "driving": mark("driver"),
    "loop": mark("the longer one, looped"), "pingpong": mark("forward and backward"),
    "none": mark("none"), "auto": mark("automatic"), "off": mark("off"),
    "contain": mark("whole, with borders"), "cover": mark("filled, edges cropped"), "stretch": mark("stretched"),
    "relative": mark("relative"), "absolute": mark("absolute"),
    "keep": mark("unchanged"), "blur": mark("blurred"), "transparent": mark("transparent"),
    "full": mark("all marks"), "metadata": mark("metadata only"), "corner": mark("in the corner"),
}  # fmt: skip
ABBREVIATIONS: Final = ("hevc", "av1", "vp9", "gif", "png", "fp32", "fp16", "bf16", "int8")
SPELLINGS: Final = {"h264": "H.264", "prores": "ProRes"}


class OptionTitles:
    """Formats options by their titles, for ``{option:...}`` in templates."""

    def __format__(self, text: str) -> str:
        name, _, value = text.partition("=")
        titles = _option_titles()
        named = tr('"{title}"', title=tr(titles[name])) if name in titles else f"--{name.replace('_', '-')}"
        if value == "off":
            return tr("{option} off", option=named)
        return f"{named}: {value}" if value else named


class SettingTitles:
    """Formats settings of options as the window lists them, for ``{choice:...}`` in templates."""

    def __format__(self, text: str) -> str:
        return tr('"{title}"', title=choice_title(text))


def term_title(term: Term) -> str:
    """What the window calls something, in quotation marks."""
    return tr('"{title}"', title=tr(HANDLES[term.name])) if term.kind == "handle" else f"{OptionTitles():{term.name}}"


def choice_title(word: str) -> str:
    """Display text of a choice: translated, an abbreviation in capitals, or the word itself."""
    if "," in word:
        first, *others = (tr(CHOICES[part]) for part in word.split(","))
        return " + ".join([first[:1].upper() + first[1:], *others])
    if word in CHOICES:
        text = tr(CHOICES[word])
        return text[:1].upper() + text[1:]
    if word.isdecimal():
        return f"{word}°"  # angles are the only numbers
    return word.upper() if word in ABBREVIATIONS else SPELLINGS.get(word, word)


@lru_cache(maxsize=1)
def _option_titles() -> Mapping[str, str]:
    """Name of an option -> its title."""
    found = {info.name: info.title for info in all_options()}
    return found | dict.fromkeys(("crop", "face", "points", "landmarks", "driver_for"), mark("Crop and face"))
