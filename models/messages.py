"""User-visible sentences that keep their template and values, so that each front end can translate them.

The text itself is that of the command line. A template refers to an option as ``{option:crop}``, to its opposite as
``{option:paste_back=off}``, to a value of it as ``{option:reference=auto}`` and to such a value alone as
``{setting:auto}``; each front end formats these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from string import Formatter
from typing import Any, Final

OPTION: Final = "option"
SETTING: Final = "setting"
FORMATTER: Final = Formatter()


class Flags:
    """Formats options in command-line notation, for ``{option:...}``."""

    def __format__(self, text: str) -> str:
        name, _, value = text.partition("=")
        flag = name.replace("_", "-")
        return f"--no-{flag}" if value == "off" else f"--{flag} {value}".rstrip()


class Words:
    """Formats settings as they are typed, for ``{setting:...}``."""

    def __format__(self, text: str) -> str:
        return text


class Term:
    """Something with a name of its own in each front end, as a value of a message.

    Args:
        kind: "option" or "handle".
        name: Its name.
        text: Its command-line form; the name by default.
    """

    def __init__(self, kind: str, name: str, text: str = "") -> None:
        self.kind = kind
        self.name = name
        self.text = text or name

    def __str__(self) -> str:
        return self.text


class Option(Term):
    """An option as a value of a message; its command-line form is by default as for ``{option:name}``."""

    def __init__(self, name: str, flag: str = "") -> None:
        super().__init__(OPTION, name, flag or f"{Flags():{name}}")


class Message(str):
    """A sentence in English.

    Args:
        template: Text with {named} fields; the key of catalogues.
        values: Values of the fields; they may be messages themselves. For an error its text is kept.
        text: The sentence if it differs from the template with its values.
    """

    __slots__ = ("template", "values")
    template: str
    values: Mapping[str, Any]

    def __new__(cls, template: str, values: Mapping[str, Any], text: str | None = None) -> Message:
        """Fill the fields."""
        plain = {name: str(value) if isinstance(value, BaseException) else value for name, value in values.items()}
        made = super().__new__(cls, template.format(option=Flags(), setting=Words(), **plain) if text is None else text)
        made.template, made.values = template, plain
        return made

    def __str__(self) -> str:
        """The message itself, so that the text of an error stays a Message."""
        return self

    def __getnewargs__(self) -> tuple[Any, ...]:
        """Arguments for copying and pickling."""
        return self.template, self.values, self.text

    @property
    def text(self) -> str:
        """The sentence as plain text."""
        return str.__str__(self)

    def rstrip(self, chars: str | None = None) -> str:
        """The message without its full stop, still with template and values."""
        return Message(self.template, self.values, self.text.rstrip(chars))

    def to_json(self) -> dict[str, Any]:
        """Template and values as JSON, for programs and for `revived`."""
        return {"message_id": self.template, "values": {name: _to_json(value) for name, value in self.values.items()}}


def fields(template: str) -> list[str]:
    """Names of a template's fields besides options and settings, in the order in which they first appear."""
    names = (name for _, name, _, _ in FORMATTER.parse(template) if name)
    return list(dict.fromkeys(name for name in names if name not in (OPTION, SETTING)))


def msg(template: str, /, *values: Any) -> Message:
    """Create a message; tools/translations.py collects the templates for the catalogues.

    Args:
        template: As for str.format, with named fields.
        values: Values of the fields, one for each name, in the order in which the names first appear.
    """
    return Message(template, dict(zip(fields(template), values, strict=True)))


def about(label: object, sentence: str) -> str:
    """A sentence prefixed with its subject, such as an option or an entry of a file; the label may be empty."""
    return msg("{label}: {sentence}", label, sentence) if label else sentence


def joined(parts: Iterable[str], between: str = " ") -> str:
    """Several sentences joined; empty ones are left out."""
    given = [part for part in parts if part]
    if len(given) < 2:
        return given[0] if given else ""
    values = {f"part{place}": part for place, part in enumerate(given)}
    return Message(between.join(f"{{{name}}}" for name in values), values)


def changed(sentence: str, change: Callable[[str], str]) -> str:
    """A sentence whose text and the texts in its fields are changed by a function."""
    if not isinstance(sentence, Message):
        return change(sentence)
    values = {
        name: changed(str(value), change) if isinstance(value, str | Path) else value
        for name, value in sentence.values.items()
    }
    return Message(sentence.template, values, change(sentence.text))


def _to_json(value: Any) -> Any:
    if isinstance(value, Message):
        return value.to_json()
    if isinstance(value, Term):
        return {value.kind: value.name}
    return value if isinstance(value, str | int | float | bool) else str(value)


def stored_message(text: str) -> Any:
    """A sentence for storage as JSON: text, or template and values."""
    return text.to_json() if isinstance(text, Message) else text


def revived(kept: Any) -> str:
    """A sentence from the result of stored_message; text stays text."""
    if not isinstance(kept, dict):
        return str(kept)
    try:
        return Message(kept["message_id"], {name: _revived(value) for name, value in kept["values"].items()})
    except (KeyError, AttributeError, ValueError, TypeError):  # written by another version of the program
        return str(kept.get("message_id", ""))


def _revived(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((kind, name),) = value.items()
        return Option(name) if kind == OPTION else Term(kind, name)
    return revived(value)
