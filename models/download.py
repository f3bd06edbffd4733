"""Downloads of model files. Nothing here runs unless a user asks for it.

huggingface-hub resolves URLs and sizes. The transfer is our own code: it resumes partial downloads, can be cancelled,
follows redirects to known hosts only, and compares size and SHA-256 with the registry; plain URLs need it anyway.
"""

from __future__ import annotations

import http.client
import os
import re
import urllib.error
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from models.messages import msg
from models.registry import ModelError, ModelFile, ModelSpec, get_model
from models.transport import TIMEOUT, Facts, check_address, offline, open_url
from models.weights import check_file, locate, record, user_folder

Progress = Callable[[str, int, int | None], None]
"""Called with the file's name, the bytes so far and the total bytes (None if unknown)."""

Cancelled = Callable[[], bool]
"""Polled between blocks; True ends the download. Received data is kept, so that it can be resumed."""

HUB: Final = "https://huggingface.co"
BLOCK: Final = 1 << 18
MAX_BYTES: Final = 8 << 30
"""Limit of the bytes written for a file of unknown size."""


class DownloadCancelledError(ModelError):
    """The user ended a download."""


def default_hubs() -> list[str]:
    """The URL in $HF_ENDPOINT, if set by the user, then the official one.

    Other mirrors are only used if a caller names them: for most of these files no trusted hash is known.
    """
    chosen = os.environ.get("HF_ENDPOINT", "").rstrip("/")
    return [chosen, HUB] if chosen and chosen != HUB else [HUB]


def download_model(
    model: str | ModelSpec,
    *,
    accept_licence: bool = False,
    hubs: Sequence[str] | None = None,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> list[Path]:
    """Download missing or damaged files of a model into the user's folder.

    Args:
        model: The model or its name.
        accept_licence: Must be True if the licence forbids commercial use.
        hubs: Hugging Face URLs, tried in turn; default_hubs() if None.
        progress: Called at the beginning of each file, with the bytes already present, and after every block.
        cancelled: Polled; True ends the download.

    Returns:
        Paths in the order of the spec.

    Raises:
        ModelError: Licence not accepted, no known source, no connection, or a wrong file. The received part of a
            failed download stays as NAME.part and is resumed next time.
        DownloadCancelledError: ``cancelled`` returned True; the received part stays as well.
    """
    spec = get_model(model) if isinstance(model, str) else model
    if not spec.commercial_ok and not accept_licence:
        raise ModelError(
            msg("Model {spec} is under the licence {licence}; accept it before downloading.", spec.name, spec.licence)
        )
    for file in spec.files:
        if not (file.url or file.repo):
            raise ModelError(
                msg("Model {spec} can't be downloaded by this app; its source is {source}.", spec.name, spec.source)
            )
    if (name := offline()) and not all(_present(file) for file in spec.files):
        raise ModelError(
            msg("{name} is set, so nothing is downloaded; unset it, or import {spec} from a folder.", name, spec.name)
        )
    hubs = default_hubs() if hubs is None else hubs
    return [_fetched(file, hubs, progress, cancelled) for file in spec.files]


def missing_bytes(model: str | ModelSpec, *, hubs: Sequence[str] | None = None) -> int | None:
    """Size of a download; queries the sources for unknown sizes.

    Args:
        model: The model or its name.
        hubs: As for download_model.

    Returns:
        Bytes of the missing files, minus those of partial downloads; None if a source does not give a size.
    """
    spec = get_model(model) if isinstance(model, str) else model
    hubs = default_hubs() if hubs is None else hubs
    total = 0
    for file in spec.files:
        if _present(file) is not None:
            continue
        size = file.size if file.size is not None else _asked_size(file, hubs)
        if size is None:
            return None
        part = part_of(user_folder() / file.name)
        total += max(0, size - (part.stat().st_size if part.is_file() else 0))
    return total


def _asked_size(file: ModelFile, hubs: Sequence[str]) -> int | None:
    """Size of a file according to its source, or None."""
    if offline():
        return None
    import huggingface_hub

    try:
        if not file.repo:
            answer, _ = open_url(file.url, {}, "HEAD")
            with answer:
                return int(answer.headers["Content-Length"])
        for hub in hubs:
            url = huggingface_hub.hf_hub_url(file.repo, file.path or file.name, endpoint=hub)
            return huggingface_hub.get_hf_file_metadata(url, token=False, timeout=TIMEOUT).size
    except Exception:  # noqa: BLE001 - errors of the hub, its HTTP client and the system; the size is only a service
        return None
    return None


def part_of(target: Path) -> Path:
    """Path of a file's partial download."""
    return target.with_name(target.name + ".part")


def _tag_of(target: Path) -> Path:
    """Path of the entity tag of a partial download, which is only resumed with the same content."""
    return target.with_name(target.name + ".part.tag")


def _present(file: ModelFile) -> Path | None:
    """Path of a file that exists and is intact."""
    path = locate(file)
    return path if path is not None and check_file(path, file).ok else None


def _fetched(
    file: ModelFile, hubs: Sequence[str], progress: Progress | None, cancelled: Cancelled | None
) -> Path:  # fmt: skip
    if (present := _present(file)) is not None:
        return present
    target = user_folder() / file.name
    target.parent.mkdir(parents=True, exist_ok=True)
    if file.repo:
        return _fetch_hub(file, target, hubs, progress, cancelled)
    return fetch_url(file, target, progress, cancelled)


def fetch_url(
    file: ModelFile, target: Path, progress: Progress | None = None, cancelled: Cancelled | None = None
) -> Path:  # fmt: skip
    """Download a plain URL, resuming a partial download if the server supports it.

    Args:
        file: What to download; size and hash are checked if known.
        target: Its path, to which it is moved when it is complete and correct.
        progress: Called after every block.
        cancelled: Polled; True ends the download.

    Raises:
        DownloadCancelledError: ``cancelled`` returned True; the received part is kept.
        ModelError: No connection, an error answer, an interrupted or a wrong file.
    """
    check_address(file.url)
    part, tag_file = part_of(target), _tag_of(target)
    have = part.stat().st_size if part.is_file() else 0
    tag = tag_file.read_text(encoding="utf-8", errors="replace") if have and tag_file.is_file() else ""
    if (file.size is not None and have >= file.size) or (not tag and file.sha256 is None):
        have = 0  # nothing to resume, or no way to check that the rest belongs to it
    try:
        answer, facts = open_url(file.url, {"Range": f"bytes={have}-"} if have else {})
        with answer:
            if have and not _continues(answer, facts, tag, have, file):
                part.unlink(missing_ok=True)
                raise _ChangedError
            file = _completed(file, facts)
            tag_file.write_text(facts.tag, encoding="utf-8")
            _receive(answer, part, file, have, progress, cancelled)
    except _ChangedError:
        return fetch_url(file, target, progress, cancelled)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink(missing_ok=True)
        raise ModelError(msg("{url} returned {code} {reason}.", file.url, error.code, error.reason)) from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise ModelError(
            msg("{url} can't be fetched ({reason}); the received part is kept.", file.url, reason)
        ) from error
    return _accept(file, part, target)


class _ChangedError(Exception):
    """The source's content differs from that of a partial download, which is restarted."""


def _continues(answer: http.client.HTTPResponse, facts: Facts, tag: str, have: int, file: ModelFile) -> bool:
    """Whether a response contains the rest of a partial download, rather than the whole file, which replaces it."""
    if answer.status != http.client.PARTIAL_CONTENT:
        return True
    found = re.fullmatch(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15}|\*)", answer.headers.get("Content-Range", "").strip())
    if found is None or int(found[1]) != have:
        return False
    sizes = {int(found[2]) + 1, *([] if found[3] == "*" else [int(found[3])])}
    if file.size is not None and sizes != {file.size}:
        return False
    return file.sha256 is not None if not tag else tag == facts.tag


def _completed(file: ModelFile, facts: Facts) -> ModelFile:
    """The file with the hub's size and SHA-256, if none are registered."""
    if file.size is None and file.sha256 is None and facts.sha256 is not None:
        return replace(file, size=facts.size, sha256=facts.sha256)
    return file


def _receive(
    answer: http.client.HTTPResponse, part: Path, file: ModelFile, have: int, progress: Progress | None,
    cancelled: Cancelled | None,
) -> None:  # fmt: skip
    """Write a response to the part file."""
    resumed = answer.status == http.client.PARTIAL_CONTENT
    have = have if resumed else 0
    announced = answer.headers.get("Content-Length", "")
    promised = have + int(announced) if announced.isascii() and announced.isdigit() else None
    total = promised if file.size is None else file.size
    if progress is not None:
        progress(file.name, have, total)
    with part.open("ab" if resumed else "wb") as stream:
        while block := answer.read1(BLOCK):
            if cancelled is not None and cancelled():
                raise DownloadCancelledError(
                    msg("The download of {file} was cancelled; the received part is kept.", file.name)
                )
            stream.write(block)
            have += len(block)
            if have > (file.size or MAX_BYTES):
                break
            if progress is not None:
                progress(file.name, have, total)
    if promised is not None and have < promised and have <= (file.size or promised):
        raise ConnectionError(msg("interrupted after {have:,} of {promised:,} bytes", have, promised))


def _accept(file: ModelFile, part: Path, target: Path) -> Path:
    """Move a downloaded file to its target if it is correct, else delete it."""
    # The check uses the extension, so the part gets the final one.
    whole = part.with_name("checking-" + target.name)
    part.replace(whole)
    _tag_of(target).unlink(missing_ok=True)
    status = check_file(whole, file, "It was deleted.")
    if not status.ok:
        whole.unlink()
        raise ModelError(msg("{url} sent a wrong file: {message}", file.url or file.repo, status.message))
    whole.replace(target)
    record(file, replaced=True)
    return target


def _fetch_hub(
    file: ModelFile, target: Path, hubs: Sequence[str], progress: Progress | None, cancelled: Cancelled | None
) -> Path:
    """Download from the first Hugging Face URL that answers; a partial download is resumed."""
    import huggingface_hub

    faults = []
    for hub in hubs:
        url = huggingface_hub.hf_hub_url(file.repo, file.path or file.name, endpoint=hub)
        try:
            return fetch_url(replace(file, url=url), target, progress, cancelled)
        except DownloadCancelledError:
            raise
        except ModelError as error:
            faults.append(f"{hub}: {error}")
    raise ModelError(
        msg(
            "{file} of {repo} can't be fetched ({names}).", file.name, file.repo, "; ".join(faults) or "no hub is given"
        )
    )
