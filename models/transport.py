"""HTTP requests of downloads: https only, and redirects to allowed hosts only."""

from __future__ import annotations

import http.client
import ipaddress
import os
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Final, cast
from urllib.parse import urlsplit

from models.messages import msg
from models.registry import ModelError

TIMEOUT: Final = 30.0
HUB_DOMAINS: Final = ("huggingface.co", "hf.co")
"""Hosts of the hub and its storage; mirrors of the hub redirect there too."""
OFFLINE: Final = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
_YES: Final = frozenset({"1", "ON", "YES", "TRUE"})
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


def offline() -> str:
    """Name of the environment variable that forbids downloads (set to 1, true, yes or on), or an empty string."""
    return next((name for name in OFFLINE if os.environ.get(name, "").strip().upper() in _YES), "")


@dataclass(frozen=True)
class Facts:
    """The hub's metadata of a file, sent when it redirects to its storage.

    Attributes:
        size: Bytes, or None.
        sha256: Lower-case hex, or None.
        tag: Entity tag of the content, or empty.
    """

    size: int | None = None
    sha256: str | None = None
    tag: str = ""


class _Redirects(urllib.request.HTTPRedirectHandler):
    max_redirections = 5

    def __init__(self, url: str) -> None:
        self._first = url
        self.facts = Facts()

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:  # fmt: skip
        check_redirect(self._first, newurl)
        if tag := headers.get("X-Linked-ETag", "").strip('"').removeprefix('W/"'):
            size = headers.get("X-Linked-Size", "")
            self.facts = Facts(
                int(size) if size.isascii() and size.isdigit() and len(size) < 16 else None,
                tag if _SHA256.fullmatch(tag) else None,
                tag,
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def open_url(url: str, headers: Mapping[str, str], method: str = "GET") -> tuple[http.client.HTTPResponse, Facts]:
    """Send a request, and follow allowed redirects.

    Returns:
        The response, to be closed, and the hub's metadata of the file.

    Raises:
        ModelError: The URL, or a redirect target, is not allowed.
        OSError: No connection, or an error response (urllib.error.HTTPError).
    """
    check_address(url)
    redirects = _Redirects(url)
    opener = urllib.request.build_opener(redirects)
    request = urllib.request.Request(url, headers=dict(headers), method=method)  # noqa: S310 - checked above
    try:
        answer = cast("http.client.HTTPResponse", opener.open(request, timeout=TIMEOUT))
    except ModelError:
        raise
    except ValueError:
        raise ModelError(msg("{url} redirects to an invalid URL; nothing was downloaded.", url)) from None
    facts = redirects.facts
    if not facts.tag:
        facts = Facts(tag=answer.headers.get("ETag", "").removeprefix("W/").strip('"'))
    return answer, facts


def check_address(url: str) -> None:
    """Check that a URL is allowed: https, or http on this computer itself.

    Raises:
        ModelError: It isn't.
    """
    if not _secure(url):
        raise ModelError(msg("{url!r} is not an https URL.", url))


def check_redirect(first: str, target: str) -> None:
    """Check that a URL may redirect to another one: the same host, a subdomain, or storage of the hub.

    Raises:
        ModelError: It may not.
    """
    downgraded = first.startswith("https:") and not target.startswith("https:")
    if downgraded or not _secure(target):
        raise ModelError(
            msg(
                "{first} redirects to a URL that is not https ({target}); nothing was downloaded.",
                first, _short(target)
            )
        )  # fmt: skip
    host, asked = _host(target), _host(first)
    below = [asked, *HUB_DOMAINS] if not _loopback(asked) else list(HUB_DOMAINS)
    if host != asked and not any(host == domain or host.endswith("." + domain) for domain in below):
        raise ModelError(msg("{first} redirects to another host ({host}); nothing was downloaded.", first, host))


def _secure(url: str) -> bool:
    try:
        scheme, host = urlsplit(url).scheme, _host(url)
    except ValueError:
        return False
    return bool(host) and (scheme == "https" or (scheme == "http" and _loopback(host)))


def _host(url: str) -> str:
    return (urlsplit(url).hostname or "").rstrip(".")


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _short(url: str) -> str:
    return "".join(c if c.isprintable() else " " for c in url[:60])
