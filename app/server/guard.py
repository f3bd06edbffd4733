"""Who may ask: hosts, origins and tokens, checked before anything else; and the size of requests."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from app.server.limits import Limits

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})
OPEN: Final = frozenset(
    {"/", "/reference", "/openapi.json", "/health"}
)  # the page itself shows nothing without a token
UPLOADS: Final = "/v1/files"


def is_local(host: str) -> bool:
    """Whether an address can only be reached from this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def host_of(value: str) -> str:
    """The host in a Host header, without its port."""
    return (urlsplit(f"//{value}").hostname or "").lower()


class Guard:
    """Refuses requests of other sites, without the token, or too large.

    A server without a token answers this machine only, and only under a name of it: a page of another site, whose name
    was pointed at this machine, is refused. With a token every request but those for the page itself needs it, as
    ``Authorization: Bearer TOKEN`` or, for web sockets, as ``?token=TOKEN``.

    Args:
        app: Answers the accepted requests.
        token: The token, or empty.
        limits: What is accepted.
    """

    def __init__(self, app: App, token: str, limits: Limits) -> None:
        self._app, self._token, self._limits = app, token, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request or a web socket."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        fault = self._fault(scope, headers)
        if fault is not None:
            await refuse(scope, send, *fault)
            return
        if scope["type"] == "http" and scope["path"] != UPLOADS:
            length = headers.get("content-length", "0")
            if not length.isdigit() or int(length) > self._limits.request:
                await refuse(scope, send, 413, "The request is too large.")
                return
            receive = _limited(receive, self._limits.request)
        await self._app(scope, receive, send)

    def _fault(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str] | None:
        host = host_of(headers.get("host", ""))
        origin = headers.get("origin", "")
        if origin and origin != "null" and host_of(urlsplit(origin).netloc) != host:
            return 403, "Pages of other sites may not use this server."
        if not self._token:
            return None if host in LOCAL else (403, "This server answers to the names of this machine only.")
        if scope["path"] in OPEN:
            return None
        given = headers.get("authorization", "").removeprefix("Bearer ").strip()
        if scope["type"] == "websocket":
            given = given or parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        good = hmac.compare_digest(given.encode(), self._token.encode())
        return None if good else (401, "The token is missing or wrong.")


def _limited(receive: Receive, most: int) -> Receive:
    """Receive at most a number of bytes; what goes beyond ends the request."""
    size = 0

    async def take() -> MutableMapping[str, Any]:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        return message if size <= most else {"type": "http.disconnect"}

    return take


async def refuse(scope: Scope, send: Send, status: int, sentence: str) -> None:
    """Answer with an error."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": sentence})
        return
    from fastapi.responses import JSONResponse

    async def nothing() -> MutableMapping[str, Any]:
        return {"type": "http.disconnect"}

    await JSONResponse({"error": sentence, "hint": ""}, status)(scope, nothing, send)
