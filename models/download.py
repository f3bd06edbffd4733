"""Downloads of model files. Nothing here runs unless a user asks for it.

huggingface-hub names addresses and sizes. Fetching is our own: it goes on where it stopped, can be cancelled, follows
redirects to known hosts only, and compares size and SHA-256 with the registry; plain addresses need it anyway.
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
"""Called with the file's name, the bytes so far and the bytes in all (None where unknown)."""

Cancelled = Callable[[], bool]
"""Asked between blocks; True ends the download. What has arrived is kept and continued next time."""

HUB: Final = "https://huggingface.co"
BLOCK: Final = 1 << 18
MAX_BYTES: Final = 8 << 30
"""Most that is written of a file of unknown size."""


class DownloadCancelledError(ModelError):
    """The user ended a download."""


def default_hubs() -> list[str]:
    """The address in $HF_ENDPOINT, if the user set one, then the official one.

    Other mirrors are only used where a caller names them: for most of these files no trusted hash is known.
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
    """Fetch the files of a model that are not there yet, or are damaged, into the user's folder.

    Args:
        model: The model or its name.
        accept_licence: Must be True where the licence forbids commercial use.
        hubs: Hugging Face addresses, tried in turn; default_hubs() if None.
        progress: Told about the beginning of each file, with what is there already, and every block.
        cancelled: Ends it.

    Returns:
        Paths in the order of the spec.

    Raises:
        ModelError: Licence not accepted, no known source, no connection, or a wrong file. What was fetched of a broken
            download stays as NAME.part and is continued next time.
        DownloadCancelledError: ``cancelled`` said so; the same holds.
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
    """How much a download would fetch: asks the sources for the sizes that are not known.

    Args:
        model: The model or its name.
        hubs: As for download_model.

    Returns:
        Bytes of the files that are not there yet, less what a broken download left; None where a source does not tell.
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
    """Size of a file as its source tells it, or None."""
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
    """Where an unfinished download of a file lies."""
    return target.with_name(target.name + ".part")


def _tag_of(target: Path) -> Path:
    """Where the entity tag of an unfinished download lies: only the rest of the same content may be added to it."""
    return target.with_name(target.name + ".part.tag")


def _present(file: ModelFile) -> Path | None:
    """Path of a file that is there and whole."""
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
    """Fetch a plain address, continuing an earlier part if the server can.

    Args:
        file: What to fetch; size and hash are checked where known.
        target: Where it goes, in one step, when it is whole and right.
        progress: Told about every block.
        cancelled: Ends it.

    Raises:
        DownloadCancelledError: ``cancelled`` said so; what has arrived is kept.
        ModelError: No connection, an error answer, an interrupted or a wrong file.
    """
    check_address(file.url)
    part, tag_file = part_of(target), _tag_of(target)
    have = part.stat().st_size if part.is_file() else 0
    tag = tag_file.read_text(encoding="utf-8", errors="replace") if have and tag_file.is_file() else ""
    if (file.size is not None and have >= file.size) or (not tag and file.sha256 is None):
        have = 0  # nothing to add, or nobody could say whether the rest belongs to it
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
        raise ModelError(msg("{url} answers {code} {reason}.", file.url, error.code, error.reason)) from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise ModelError(
            msg("{url} can't be fetched ({reason}); what has arrived is kept.", file.url, reason)
        ) from error
    return _accept(file, part, target)


class _ChangedError(Exception):
    """The source has other content than an unfinished download; it begins again."""


def _continues(answer: http.client.HTTPResponse, facts: Facts, tag: str, have: int, file: ModelFile) -> bool:
    """Whether an answer is the rest of what has arrived, or the whole file, which takes its place."""
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
    """The file with size and SHA-256 as the hub tells them, where none are registered."""
    if file.size is None and file.sha256 is None and facts.sha256 is not None:
        return replace(file, size=facts.size, sha256=facts.sha256)
    return file


def _receive(
    answer: http.client.HTTPResponse, part: Path, file: ModelFile, have: int, progress: Progress | None,
    cancelled: Cancelled | None,
) -> None:  # fmt: skip
    """Write an answer to the part file."""
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
                    msg("The download of {file} was ended; what has arrived is kept.", file.name)
                )
            stream.write(block)
            have += len(block)
            if have > (file.size or MAX_BYTES):
                break
            if progress is not None:
                progress(file.name, have, total)
    if promised is not None and have < promised and have <= (file.size or promised):
        raise ConnectionError(msg("broken off after {have:,} of {promised:,} bytes", have, promised))


def _accept(file: ModelFile, part: Path, target: Path) -> Path:
    """Move a fetched file to its place if it is right, else delete it."""
    # The check looks at the suffix, so the part gets the final one.
    whole = part.with_name("checking-" + target.name)
    part.replace(whole)
    _tag_of(target).unlink(missing_ok=True)
    status = check_file(whole, file, "It was deleted.")
    if not status.ok:
        whole.unlink()
        raise ModelError(msg("What {url} sent is wrong: {message}", file.url or file.repo, status.message))
    whole.replace(target)
    record(file, replaced=True)
    return target


def _fetch_hub(
    file: ModelFile, target: Path, hubs: Sequence[str], progress: Progress | None, cancelled: Cancelled | None
) -> Path:
    """Fetch from the first Hugging Face address that answers; an earlier part is continued."""
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
            "{file} of {repo} can't be fetched ({names}).", file.name, file.repo, "; ".join(faults) or "no hub is named"
        )
    )
