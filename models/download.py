"""Downloads of model files. Nothing here runs unless a user asks for it."""

from __future__ import annotations

import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from models.registry import ModelError, ModelFile, ModelSpec, get_model
from models.weights import check_file, locate, record, user_folder

Progress = Callable[[str, int, int | None], None]
"""Called with the file's name, the bytes so far and the bytes in all (None where unknown)."""

HUB: Final = "https://huggingface.co"
TIMEOUT: Final = 30.0
BLOCK: Final = 1 << 18


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
) -> list[Path]:
    """Fetch the files of a model that are not there yet, or are damaged, into the user's folder.

    Args:
        model: The model or its name.
        accept_licence: Must be True where the licence forbids commercial use.
        hubs: Hugging Face addresses, tried in turn; default_hubs() if None.
        progress: Told about every block.

    Returns:
        Paths in the order of the spec.

    Raises:
        ModelError: Licence not accepted, no known source, no connection, or a wrong file. What was fetched of a broken
            download stays as NAME.part and is continued next time.
    """
    spec = get_model(model) if isinstance(model, str) else model
    if not spec.commercial_ok and not accept_licence:
        raise ModelError(f"Model {spec.name} is under the licence {spec.licence}; accept it before downloading.")
    for file in spec.files:
        if not (file.url or file.repo):
            raise ModelError(f"Model {spec.name} can't be downloaded by this app; its source is {spec.source}.")
    hubs = default_hubs() if hubs is None else hubs
    return [_fetched(file, hubs, progress) for file in spec.files]


def _fetched(file: ModelFile, hubs: Sequence[str], progress: Progress | None) -> Path:
    present = locate(file)
    if present is not None and check_file(present, file).ok:
        return present
    target = user_folder() / file.name
    target.parent.mkdir(parents=True, exist_ok=True)
    if file.repo:
        return _fetch_hub(file, target, hubs)
    return fetch_url(file, target, progress)


def fetch_url(file: ModelFile, target: Path, progress: Progress | None = None) -> Path:
    """Fetch a plain address, continuing an earlier part if the server can.

    Args:
        file: What to fetch; size and hash are checked where known.
        target: Where it goes, in one step, when it is whole and right.
        progress: Told about every block.

    Raises:
        ModelError: No connection, an error answer, an interrupted or a wrong file.
    """
    if not file.url.startswith(("https://", "http://127.0.0.1", "http://localhost")):
        raise ModelError(f"{file.url!r} is not an https address.")
    part = target.with_name(target.name + ".part")
    have = part.stat().st_size if part.is_file() else 0
    if file.size is not None and have >= file.size:
        part.unlink()
        have = 0
    request = urllib.request.Request(file.url, headers={"Range": f"bytes={have}-"} if have else {})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310 - scheme checked above
            _receive(answer, part, file, have, progress)
    except urllib.error.HTTPError as error:
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink(missing_ok=True)
        raise ModelError(f"{file.url} answers {error.code} {error.reason}.") from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise ModelError(f"{file.url} can't be fetched ({reason}); what has arrived is kept.") from error
    return _accept(file, part, target)


def _receive(
    answer: http.client.HTTPResponse, part: Path, file: ModelFile, have: int, progress: Progress | None
) -> None:
    """Write an answer to the part file."""
    resumed = answer.status == http.client.PARTIAL_CONTENT
    have = have if resumed else 0
    announced = answer.headers.get("Content-Length")
    promised = have + int(announced) if announced else None
    total = promised if file.size is None else file.size
    with part.open("ab" if resumed else "wb") as stream:
        while block := answer.read(BLOCK):
            stream.write(block)
            have += len(block)
            if file.size is not None and have > file.size:
                break
            if progress is not None:
                progress(file.name, have, total)
    if promised is not None and have < promised and have <= (file.size or promised):
        raise ConnectionError(f"broken off after {have:,} of {promised:,} bytes")


def _accept(file: ModelFile, part: Path, target: Path) -> Path:
    """Move a fetched file to its place if it is right, else delete it."""
    # The check looks at the suffix, so the part gets the final one.
    whole = part.with_name("checking-" + target.name)
    part.replace(whole)
    status = check_file(whole, file, "It was deleted.")
    if not status.ok:
        whole.unlink()
        raise ModelError(f"What {file.url or file.repo} sent is wrong: {status.message}")
    whole.replace(target)
    record(file)
    return target


def _fetch_hub(file: ModelFile, target: Path, hubs: Sequence[str]) -> Path:
    """Fetch from the first Hugging Face address that answers."""
    import huggingface_hub

    staging = user_folder() / "incoming"
    faults = []
    for hub in hubs:
        try:
            fetched = huggingface_hub.hf_hub_download(
                file.repo, file.path or file.name, endpoint=hub, local_dir=staging, token=False
            )
        except Exception as error:  # noqa: BLE001 - errors of the hub, its HTTP client and the system, no common base
            faults.append(
                f"{hub}: {str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__}"
            )
            continue
        return _accept(file, Path(fetched), target)
    raise ModelError(f"{file.name} of {file.repo} can't be fetched ({'; '.join(faults) or 'no hub is named'}).")
