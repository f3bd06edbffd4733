"""`animate serve`: the HTTP server."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from app.cli.flags import command, make_app, number_of, switch, text_flag
from app.cli.output import complain, say
from app.errors import AppError, CancelledError, ExitCode, MissingError, UsageError
from models.installation import install_hint

PANEL, BOUNDS = "Server", "Limits"
TOKEN: Final = "PORTRAIT_ANIMATE_TOKEN"  # noqa: S105 - name of the variable
LEAST_TOKEN: Final = 16  # characters

app = make_app("Serve the program over HTTP: a page for browsers, and an interface for programs.")


def serve(values: Mapping[str, Any]) -> int:
    """Serve the program over HTTP: a page for browsers, and an interface for programs (docs/server.md).

    Only this computer is answered unless --host names another address; then every request needs a token.
    """
    missing = [name for name in ("fastapi", "uvicorn") if find_spec(name) is None]
    if missing:
        raise MissingError(f"animate serve needs the package {missing[0]}.", install_hint("server"))
    import uvicorn

    from app.server.api import build_app
    from app.server.guard import is_local
    from app.server.limits import MEGABYTE, Limits

    host, port = values["host"] or "127.0.0.1", int(number_of(values["port"], "--port", 1, 65535, 8765))
    token = values["token"] or os.environ.get(TOKEN, "")
    if token and len(token) < LEAST_TOKEN:
        raise UsageError(f"--token: it must have at least {LEAST_TOKEN} characters.")
    if not token and not is_local(host):
        token = secrets.token_urlsafe(24)
        complain(f"{host} can be reached from other computers: every request needs the token {token}", "warning")
    media = Path(values["media"]) if values["media"] else None
    if media is not None and not media.is_dir():
        raise UsageError(f"--media: {media} is not a folder.")
    limits = Limits(
        upload=int(number_of(values["max_upload"], "--max-upload", 1, 100_000, 512) * MEGABYTE),
        storage=int(number_of(values["max_storage"], "--max-storage", 10, 10_000_000, 20_000) * MEGABYTE),
        seconds=number_of(values["max_seconds"], "--max-seconds", 1, 86_400, 600),
        waiting=int(number_of(values["max_jobs"], "--max-jobs", 1, 100_000, 200)),
        keep_hours=number_of(values["keep_hours"], "--keep-hours", 0.1, 100_000, 24),
    )
    folder = _folder(values["folder"])
    workers = int(number_of(values["workers"], "--workers", 0, 64, 0))
    served = build_app(folder, media=media, token=token, limits=limits, workers=workers)
    shown = f"[{host}]" if ":" in host else host
    say(f"Serving on http://{shown}:{port} (stop with Ctrl-C). Files: {folder}")
    config = uvicorn.Config(served, host=host, port=port, log_level="warning", ws_max_size=8 * MEGABYTE)
    try:
        uvicorn.Server(config).run()
    except (KeyboardInterrupt, CancelledError):  # the usual way to stop it; running jobs go back into the queue
        return int(ExitCode.OK)
    except SystemExit:
        raise AppError(f"Port {port} of {host} can't be used.", "Choose another one with --port.") from None
    return int(ExitCode.OK)


def _folder(text: str | None) -> Path:
    from platformdirs import user_data_path

    folder = Path(text) if text else user_data_path("portrait-animate", appauthor=False) / "server"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--folder: {folder} can't be used: {error.strerror}.") from None
    return Path(os.path.abspath(folder))


command(
    app,
    [
        text_flag(
            "host", ["--host"], "ADDRESS", "Address to listen on. Default: 127.0.0.1, this computer only.", PANEL
        ),
        text_flag("port", ["--port"], "1..65535", "Port. Default: 8765.", PANEL),
        text_flag(
            "token", ["--token"], "TEXT", f"Token that every request needs; better in the variable {TOKEN}.", PANEL
        ),
        text_flag("folder", ["--folder"], "FOLDER", "Folder for uploads, results and the queue.", PANEL),
        text_flag("media", ["--media"], "FOLDER", "Folder whose files requests may name by path.", PANEL),
        text_flag(
            "workers", ["--workers"], "0..64", "Processes that render. Default: 0, chosen by cores and memory.", PANEL
        ),
        text_flag("max_upload", ["--max-upload"], "MB", "Largest file that is accepted. Default: 512.", BOUNDS),
        text_flag(
            "max_storage", ["--max-storage"], "MB", "Size of all files and results together. Default: 20000.", BOUNDS
        ),
        text_flag("max_seconds", ["--max-seconds"], "SECONDS", "Longest clip or sound. Default: 600.", BOUNDS),
        text_flag("max_jobs", ["--max-jobs"], "COUNT", "Jobs that may wait. Default: 200.", BOUNDS),
        text_flag(
            "keep_hours", ["--keep-hours"], "HOURS", "Files and results are removed after that. Default: 24.", BOUNDS
        ),
        switch("debug", ["--debug"], "Show the traceback of an error.", PANEL),
    ],
    serve,
    help=serve.__doc__,
)
