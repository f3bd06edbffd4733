"""Errors of local network ports in plain words."""

from __future__ import annotations

import errno

from app.errors import AppError
from models.messages import msg


class PortError(AppError):
    """A port can't be used; opening it will be retried."""


def port_error(host: str, port: int, place: str, error: OSError, hint: str) -> PortError:
    """Explain why listening on a port failed.

    Args:
        host: Address of this computer.
        port: The port.
        place: Host and port for display.
        error: The system's error.
        hint: What to do if another program uses it.
    """
    if error.errno in (errno.EADDRINUSE, getattr(errno, "WSAEADDRINUSE", None)):
        return PortError(msg("Port {port} is already used by another program.", port), hint)
    if error.errno in (errno.EADDRNOTAVAIL, getattr(errno, "WSAEADDRNOTAVAIL", None)):
        return PortError(msg("{host} is not an address of this computer.", host), "0.0.0.0 means all of its addresses.")
    if error.errno == errno.EACCES:
        return PortError(msg("Access to port {port} is denied.", port), "Choose a port from 1024 up.")
    return PortError(msg("Can't listen on {place}: {reason}.", place, error.strerror or type(error).__name__))
