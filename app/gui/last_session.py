"""Restore the session and the settings of the last start."""

from __future__ import annotations

import json

from PySide6.QtCore import QSettings

from app.gui.session import Session, first_session, missing_files


def gone_files(settings: QSettings) -> list[str]:
    """Files of the last session that no longer exist."""
    try:
        return missing_files(json.loads(str(settings.value("session", "") or "{}")))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return []


def restore(settings: QSettings) -> Session:
    """The last session, or the sample at the first start."""
    text = settings.value("session", "")
    if not text:
        return first_session()
    try:
        session = Session.from_dict(json.loads(str(text)))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return first_session()
    return session if session.portraits else first_session()


def is_on(settings: QSettings, name: str, *, default: bool = False) -> bool:
    """Read a boolean setting: a string if it was read from the file, a bool if it was set since the start."""
    return str(settings.value(name, default)).lower() == "true"
