"""Find, check, import and, only on request, download model files."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from models.files import file_hash, written_whole
from models.forms import head_fault
from models.messages import msg
from models.registry import ModelError, ModelFile, ModelSpec, get_model

State = Literal["ok", "missing", "empty", "git-lfs pointer", "html page", "truncated", "wrong size", "wrong hash"]

ENVIRONMENT: Final = "PORTRAIT_MODELS"
"""Environment variable for a folder to use instead of the user's own."""


RECORD: Final = "hashes.json"
"""File in the user's folder with size and SHA-256, at installation, of files without a known trusted hash."""


ANIMALS: Final = "liveportrait_animals"
"""Folder of the official release with the weights for animals, under the same names as those for humans."""


class AbsentError(ModelError):
    """A folder does not contain the files of a model."""


@dataclass(frozen=True)
class FileStatus:
    """Result of checking one file.

    Attributes:
        file: The file as registered.
        path: Where it was found, or its expected path.
        state: "ok" or the fault.
        message: One sentence for the user.
    """

    file: ModelFile
    path: Path
    state: State
    message: str

    @property
    def ok(self) -> bool:
        """Whether the file can be used."""
        return self.state == "ok"


def bundled_folder() -> Path:
    """Folder of the models that ship with the app."""
    import assets

    return Path(str(assets.__file__)).parent / "models"


def user_folder() -> Path:
    """Folder of imports and downloads: $PORTRAIT_MODELS, or one in the user's data folder.

    Versions before 0.2 kept it in the user's cache; a folder that only exists there is still used.
    """
    if chosen := os.environ.get(ENVIRONMENT):
        return Path(chosen).expanduser()
    import platformdirs

    own = Path(platformdirs.user_data_dir("portrait-animate", appauthor=False)) / "models"
    older = Path(platformdirs.user_cache_dir("portrait-animate", appauthor=False)) / "models"
    return older if older.is_dir() and not own.is_dir() else own


def locate(file: ModelFile) -> Path | None:
    """Path of a file: the shipped one first, then the user's; None if neither exists."""
    paths = (folder / file.name for folder in (bundled_folder(), user_folder()))
    return next((path for path in paths if path.is_file()), None)


def find_model(model: str | ModelSpec) -> list[Path]:
    """Paths of a model's files, in the order of its spec. Their content is not checked (see verify).

    Raises:
        ModelError: A file is missing; the text says which and what to do.
    """
    spec = _spec(model)
    paths = [locate(file) for file in spec.files]
    for file, path in zip(spec.files, paths, strict=True):
        if path is None:
            raise ModelError(_missing(spec, file))
    return [path for path in paths if path is not None]


def model_path(name: str) -> Path:
    """Path of a single-file model.

    Raises:
        ModelError: It is missing, or the model has several files.
    """
    paths = find_model(name)
    if len(paths) != 1:
        raise ModelError(msg("Model {name} has {count} files where one is expected.", name, len(paths)))
    return paths[0]


def verify(model: str | ModelSpec) -> list[FileStatus]:
    """Check every file of a model: presence, form, size, SHA-256 (as far as known).

    Raises:
        ModelError: There is no model of that name.
    """
    spec = _spec(model)
    statuses = []
    for file in spec.files:
        path = locate(file)
        if path is None:
            target = user_folder() / file.name
            statuses.append(FileStatus(file, target, "missing", _missing(spec, file)))
        else:
            statuses.append(check_file(path, file, remedy(spec)))
    return statuses


def check_file(path: Path, file: ModelFile, remedy: str = "Get it again.") -> FileStatus:
    """Check one file against the registry.

    Args:
        path: The file on disk.
        file: Its registered properties.
        remedy: Advice in case of a fault, appended to its sentence.

    Raises:
        OSError: The file can't be read.
    """

    def status(state: State, what: str) -> FileStatus:
        return FileStatus(file, path, state, f"{path} {what}." if state == "ok" else f"{path} {what}. {remedy}")

    size = path.stat().st_size
    if size == 0:
        return status("empty", "is empty")
    with path.open("rb") as stream:
        head = stream.read(512)
    if head.startswith(b"version https://git-lfs"):
        return status("git-lfs pointer", "is a Git LFS pointer, a text that stands in for the real weights")
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype html", b"<html")):
        return status("html page", "is a web page, probably an error message, instead of weights")
    if file.size is not None and size < file.size:
        return status("truncated", f"is truncated after {size:,} of {file.size:,} bytes")
    if file.size is not None and size > file.size:
        return status("wrong size", f"has {size:,} bytes instead of {file.size:,}")
    if file.sha256 is None:
        state, what = _unknown_hash(path, file, head, size)
        return status(state, what)
    if file_hash(path) != file.sha256:
        return status("wrong hash", "is not the registered file: its SHA-256 differs")
    return status("ok", "is complete and unchanged")


def _unknown_hash(path: Path, file: ModelFile, head: bytes, size: int) -> tuple[State, str]:
    """State of a file without a known trusted hash, and its description."""
    if fault := head_fault(path, head, size):
        return "truncated", fault
    known = recorded(file) if path == user_folder() / file.name else None
    if known is None:
        return "ok", "looks complete; no trusted hash is known for it"
    if known != (size, file_hash(path)):
        return "wrong hash", "has changed since it was installed"
    return "ok", "is unchanged since it was installed; no trusted hash is known for it"


def recorded(file: ModelFile) -> tuple[int, str] | None:
    """Recorded size and SHA-256 of a file in the user's folder at installation, or None."""
    entry = _records().get(file.name)
    try:
        return (int(entry["size"]), str(entry["sha256"])) if isinstance(entry, dict) else None
    except (KeyError, TypeError, ValueError):
        return None


def record(file: ModelFile, *, replaced: bool = False) -> None:
    """Record size and SHA-256 of a file installed in the user's folder, if no trusted hash is known.

    Args:
        file: The file.
        replaced: Also if the hash is known, for example from its source.
    """
    path = user_folder() / file.name
    if (file.sha256 is not None and not replaced) or not path.is_file():
        return
    entries = _records() | {file.name: {"size": path.stat().st_size, "sha256": file_hash(path)}}
    with written_whole(user_folder() / RECORD) as part:
        part.write_text(json.dumps(entries, indent=1, sort_keys=True), encoding="utf-8")


def record_loaded(paths: Iterable[Path]) -> None:
    """Record the hashes of files that were loaded successfully, if none was recorded at installation.

    Args:
        paths: Files of any model; those outside the user's folder are ignored.
    """
    from models.registry import list_models

    wanted = set(paths)
    for name in list_models():
        for file in get_model(name).files:
            if user_folder() / file.name in wanted and file.sha256 is None and recorded(file) is None:
                with suppress(OSError):
                    record(file)


def _records() -> dict[str, object]:
    try:
        data = json.loads((user_folder() / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def remedy(spec: ModelSpec) -> str:
    """Advice for a missing or damaged file of a model."""
    if all(locate(file) == bundled_folder() / file.name for file in spec.files):
        return "Install the app again."
    if any(file.url or file.repo for file in spec.files):
        return msg("`animate models download {model}` or `animate models import FOLDER` gets them.", spec.name)
    return f"Import {spec.name} from a folder that has it; its source is {spec.source}."


def import_model(model: str | ModelSpec, folder: Path, link: bool = False) -> list[Path]:
    """Copy a model's files from any folder (a clone, an older installation, a USB stick) into the user's folder.

    Files are recognised by name; if several match, by the folders above them. Each is checked before it is used.

    Args:
        model: The model or its name.
        folder: Folder to search, including its subfolders.
        link: Link to the files instead of copying them; they must stay in place.

    Returns:
        The new paths, in the order of the spec.

    Raises:
        AbsentError: None of the files specific to this model was found.
        ModelError: The folder or a file is missing, a file is damaged, or it is ambiguous which of two is meant.
    """
    spec = _spec(model)
    if not folder.is_dir():
        raise ModelError(msg("{folder} is not a folder.", folder))
    if not any(_ranked(file, folder) for file in spec.files):
        raise AbsentError(msg("{folder} has no file {name}.", folder, spec.files[0].name.split("/")[-1]))
    sources = [_pick(file, folder) for file in spec.files]
    for file, source in zip(spec.files, sources, strict=True):
        status = check_file(source, file, "Nothing was imported.")
        if not status.ok:
            raise ModelError(status.message)
    paths = []
    for file, source in zip(spec.files, sources, strict=True):
        target = user_folder() / file.name
        if not (target.exists() and target.samefile(source)):
            target.parent.mkdir(parents=True, exist_ok=True)
            part = target.with_name(target.name + ".part")
            try:
                part.unlink(missing_ok=True)
                if link:
                    part.symlink_to(source.resolve())
                else:
                    shutil.copyfile(source, part)
                part.replace(target)
            except OSError as error:
                part.unlink(missing_ok=True)
                word = "linked" if link else "copied"
                raise ModelError(
                    msg("{source} can't be {word} to {target}: {reason}.", source, word, target, error.strerror)
                ) from error
        record(file)
        paths.append(target)
    return paths


def import_folder(folder: Path, link: bool = False) -> tuple[dict[str, list[Path]], dict[str, str]]:
    """Import every model in a folder, such as an official pretrained_weights tree.

    Args:
        folder: Folder to search, including its subfolders.
        link: See import_model.

    Returns:
        Name -> new paths of the imported models, and name -> fault of incomplete ones.

    Raises:
        ModelError: The folder is missing or contains no known model.
    """
    from models.registry import list_models

    if not folder.is_dir():
        raise ModelError(msg("{folder} is not a folder.", folder))
    taken: dict[str, list[Path]] = {}
    faults: dict[str, str] = {}
    outside = [name for name in list_models() if not _shipped(get_model(name))]
    for name in outside:
        try:
            if not _belongs(get_model(name), folder):
                continue
            taken[name] = import_model(name, folder, link)
        except AbsentError:
            continue
        except ModelError as error:
            faults[name] = str(error)
    if not taken and not faults:
        raise ModelError(msg("{folder} contains none of the models {names}.", folder, ", ".join(outside)))
    return taken, faults


def _shipped(spec: ModelSpec) -> bool:
    return all((bundled_folder() / file.name).is_file() for file in spec.files)


def _belongs(spec: ModelSpec, folder: Path) -> bool:
    """Whether a folder has files of this model: weights for animals only count in folders named for them."""
    own = spec.files[0]
    return max(_ranked(own, folder), default=0) >= (2 if own.name.startswith(ANIMALS) else 1)


def _pick(file: ModelFile, folder: Path) -> Path:
    """The file below a folder that shares the longest tail of its path with the registered name."""
    ranked = _ranked(file, folder)
    if not ranked:
        raise ModelError(msg("{folder} has no file {file}.", folder, file.name.split("/")[-1]))
    best = ranked[max(ranked)]
    if len(best) > 1:
        raise ModelError(
            msg("{folder} has {count} files {name}; name the folder of the right one.", folder, len(best), best[0].name)
        )
    return best[0]


def _ranked(file: ModelFile, folder: Path) -> dict[int, list[Path]]:
    """Files of that name below a folder, by the number of trailing path parts that match the registered name."""
    wanted = file.name.split("/")
    human = not wanted[0].startswith(ANIMALS)
    ranked: dict[int, list[Path]] = {}
    for path in sorted(folder.rglob(wanted[-1])):
        parts = path.resolve().parts
        same = 0
        while same < min(len(parts), len(wanted)) and parts[-1 - same] == wanted[-1 - same]:
            same += 1
        if path.is_file() and not (human and ANIMALS in parts):
            ranked.setdefault(same, []).append(path)
    return ranked


def _spec(model: str | ModelSpec) -> ModelSpec:
    return get_model(model) if isinstance(model, str) else model


def _missing(spec: ModelSpec, file: ModelFile) -> str:
    return f"{file.name} of model {spec.name} is missing in {user_folder()}. {remedy(spec)}"
