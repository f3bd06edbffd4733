"""Job files: combinations of sources and driving clips, their options, and the names of the results."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from app.addresses import STANDARD, is_address, local_name
from app.errors import AppError, UsageError, not_one_of
from app.jobs.hashes import input_files, settled
from app.jobs.patterns import Search
from app.line_numbers import Located, read_located
from app.media.outnames import check_name, marks
from app.options import RenderOptions, check_values, find_option
from app.presets import find_preset, resolve
from app.render.job import STILL_SUFFIXES, Job, output_path, stem_of
from models.messages import msg
from models.registry import natural_key

SCHEMA_VERSION: Final = 1
MOST_JOBS: Final = 100_000
SET_KEYS: Final = (
    "source", "sources", "driving", "drivings", "combine", "pairs", "csv", "output", "preset", "options", "name",
)  # fmt: skip
FILE_KEYS: Final = ("schema_version", "description", "jobs", *SET_KEYS)
ROW_KEYS: Final = ("source", "driving", "output", "preset", "name")
NOT_IN_FILES: Final = {
    "output": "Write output above [options].",
    "json_lines": "Give --json on the command line.",
    "quiet": "Give --quiet on the command line.",
}
HERE: Final = ("source_folder", "driving_folder", "name", "index")  # fields of output names that single runs don't have
NUMBERED: Final = re.compile(r"%0?\d*d")


@dataclass(frozen=True)
class Entry:
    """One job to be added to the queue.

    Attributes:
        source: Absolute path of the source.
        driving: Absolute path of the driving file; None poses the source by sliders, or lets it live (option idle).
        output: Absolute path, or URL such as s3://bucket/name.mp4, of the result.
        values: Option name -> value, only those that differ from the default; without the output's name.
        where: Where the job is defined, for messages.
        numbered: Whether the output is a pattern for numbered images.
        expression: Sliders on top of the motion, as Expression.to_dict gives them, or None.
    """

    source: Path
    driving: Path | None
    output: str
    values: Mapping[str, Any] = field(default_factory=dict)
    where: str = ""
    numbered: bool = False
    expression: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class JobSet:
    """Sources and driving files that are combined under the same options.

    Attributes:
        base: Folder that relative names start from.
        where: Where it is defined.
        sources: Names and patterns, each with its location.
        drivings: The same.
        combine: "product" (each with each) or "pairs" (first with first, second with second).
        pairs: Further pairs of names.
        output: Template of the output's name.
        preset: Preset, may be empty.
        values: Option values.
        name: Name of the set, for {name}.
        read: Files that it was read from.
    """

    base: Path
    where: str = ""
    sources: tuple[tuple[str, str], ...] = ()
    drivings: tuple[tuple[str, str], ...] = ()
    combine: str = "product"
    pairs: tuple[tuple[str, str, str], ...] = ()
    output: str = ""
    preset: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    read: tuple[Path, ...] = ()


def read_jobs(path: Path, given: Mapping[str, Any] | None = None, *, preset: str = "") -> list[Entry]:
    """Read the jobs of a job file (described in docs/batch.md).

    Args:
        path: TOML, YAML, JSON or CSV file. Relative names in it start from its folder.
        given: Options that override the file; "output" is a template relative to the current folder.
        preset: Preset that replaces the file's.

    Raises:
        UsageError: The file can't be read, contains an unknown name or an invalid value (the sentence names the line),
            a pattern matches nothing, or two jobs would write the same file.
        MissingError: The file is YAML and PyYAML is not installed.
    """
    located = read_located(path)
    base = Path(os.path.abspath(path)).parent
    sets = (
        _sets_of_rows(located, base, JobSet(base, read=(path,)))
        if isinstance(located.data, list)
        else _sets(located, base)
    )
    return entries(sets, given or {}, preset=preset)


def make_jobs(
    sources: Sequence[str | Path],
    drivings: Sequence[str | Path],
    given: Mapping[str, Any] | None = None,
    *,
    pairs: bool = False,
    preset: str = "",
) -> list[Entry]:
    """Make jobs from lists of files or patterns.

    Args:
        sources: Names and glob patterns, relative to the current folder.
        drivings: The same.
        given: Option name -> value; "output" is the template of the names.
        pairs: First source with first driving file and so on, instead of each with each.
        preset: Preset name or file.

    Raises:
        UsageError: See :func:`read_jobs`.
    """
    one = JobSet(
        Path.cwd(),
        sources=tuple((os.fspath(name), "--sources") for name in sources),
        drivings=tuple((os.fspath(name), "--drivings") for name in drivings),
        combine="pairs" if pairs else "product",
    )
    return entries([one], given or {}, preset=preset)


def entries(sets: Iterable[JobSet], given: Mapping[str, Any], *, preset: str = "") -> list[Entry]:
    """Expand sets to all their jobs; see :func:`read_jobs`."""
    resolver, search = _Resolver(given, preset), Search()
    found: list[Entry] = []
    taken: dict[str, Entry] = {}
    for one in sets:
        for source, driving, where in _combined(one, search):
            if len(found) >= MOST_JOBS:
                raise UsageError(
                    msg("{where}: there are more than {most_jobs:,} jobs.", where, MOST_JOBS),
                    "Split them into several batches.",
                )
            entry = resolver.entry(one, source, driving, where, len(found) + 1)
            key = os.path.normcase(entry.output)
            if key in taken:
                first = taken[key]
                if replace(first, where="") == replace(entry, where=""):
                    continue
                raise UsageError(
                    msg(
                        "{where}: {output} would be written twice, from {source} with {driving} and from {source2} "
                        "with {driving2}.",
                        where, entry.output, first.source, first.driving, source, driving
                    ),
                    "Tell them apart with {source_folder}, {driving_folder}, {name} or {index} in the output's name."
                )  # fmt: skip
            taken[key] = entry
            found.append(entry)
    inputs: set[object] = {mark for path in resolver.files for mark in marks(path)}
    for entry in found:
        for path in input_files(entry.source, entry.driving, entry.values):
            inputs |= {os.path.normcase(path), *marks(path)}
    for entry in found:
        own = set() if is_address(entry.output) else {os.path.normcase(entry.output), *marks(entry.output)}
        if own & inputs:
            raise UsageError(
                msg("{where}: {output} is an input and can't be an output as well.", entry.where, entry.output)
            )
    return found


# ---- the file -------------------------------------------------------------------------------------------------------


def _sets(file: Located, base: Path) -> list[JobSet]:
    if not isinstance(file.data, dict):
        raise UsageError(msg("{path}: a table of names and values is expected.", file.path))
    _known(file, (), file.data, FILE_KEYS)
    version = file.data.get("schema_version", SCHEMA_VERSION)
    if isinstance(version, bool) or not isinstance(version, int) or not 1 <= version <= SCHEMA_VERSION:
        raise UsageError(
            msg(
                "{file}: job files of version {schema_version} can be read, not {version!r}.",
                file.where("schema_version"), SCHEMA_VERSION, version
            )
        )  # fmt: skip
    common, extra = _set(file, (), file.data, JobSet(base, str(file.path), read=(file.path,)))
    tables = file.data.get("jobs", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise UsageError(msg("{file}: jobs must be tables, each headed by [[jobs]].", file.where("jobs")))
    sets = list(extra)
    for number, table in enumerate(tables):
        _known(file, ("jobs", number), table, SET_KEYS)
        one, more = _set(file, ("jobs", number), table, common)
        sets += [one, *more] if _is_paired(one) or not more else more
    if not tables and (_is_paired(common) or not extra):
        sets.insert(0, common)
    for one in sets:
        if not (_is_paired(one) or (one.sources and one.values.get("idle"))):
            missing = "driving files (drivings = [...])" if one.sources else "sources (sources = [...])"
            raise UsageError(msg("{where}: there are no {missing}.", one.where, missing))
    return sets


def _is_paired(one: JobSet) -> bool:
    return bool(one.pairs or (one.sources and one.drivings))


def _set(
    file: Located, keys: tuple[str | int, ...], table: Mapping[str, Any], parent: JobSet
) -> tuple[JobSet, list[JobSet]]:
    """The set of a table combined with the file's own entries, and the sets of its CSV file."""

    def text(name: str, default: str) -> str:
        value = table.get(name, default)
        if not isinstance(value, str):
            raise UsageError(msg("{file}: {name} must be text, not {value!r}.", file.where(*keys, name), name, value))
        return value

    def names(one: str, many: str) -> tuple[tuple[str, str], ...]:
        found: list[tuple[str, str]] = []
        for key in (one, many):
            value = table.get(key, [])
            items = [value] if isinstance(value, str) else value
            if not isinstance(items, list) or not all(isinstance(item, str) and item for item in items):
                raise UsageError(
                    msg("{file}: {key} must be a file name, or a list of them.", file.where(*keys, key), key)
                )
            found += [(item, file.where(*keys, key, number)) for number, item in enumerate(items)]
        return tuple(found)

    combine = text("combine", parent.combine)
    if combine not in ("product", "pairs"):
        raise not_one_of(f"{file.where(*keys, 'combine')}: combine", combine, ("product", "pairs"))
    preset = text("preset", parent.preset)
    if preset:
        _check_preset(preset, file.where(*keys, "preset"))
    pairs = table.get("pairs", [])
    if not isinstance(pairs, list) or not all(
        isinstance(p, list) and len(p) == 2 and all(isinstance(x, str) and x for x in p) for p in pairs
    ):
        raise UsageError(msg("{file}: pairs must be a list of [source, driving].", file.where(*keys, "pairs")))
    own = names("source", "sources"), names("driving", "drivings")
    one = JobSet(
        parent.base,
        where=file.where(*keys) if keys else str(file.path),
        sources=own[0] or parent.sources,
        drivings=own[1] or parent.drivings,
        combine=combine,
        pairs=tuple((p[0], p[1], file.where(*keys, "pairs", i)) for i, p in enumerate(pairs)),
        output=text("output", parent.output),
        preset=preset,
        values={**parent.values, **_values(file, (*keys, "options"), table.get("options", {}))},
        name=text("name", parent.name),
        read=parent.read,
    )
    if one.pairs and not any(own):
        one = replace(one, sources=(), drivings=())
    name = text("csv", "")
    if not name:
        return one, []
    rows = read_located(parent.base / os.path.expanduser(local_name(name, file.where(*keys, "csv"))))
    if not isinstance(rows.data, list):
        raise UsageError(msg("{file}: {name} is not a CSV file.", file.where(*keys, "csv"), name))
    return one, _sets_of_rows(rows, rows.path.parent, replace(one, pairs=(), read=(*one.read, rows.path)))


def _sets_of_rows(file: Located, base: Path, parent: JobSet) -> list[JobSet]:
    """One set for each row of a CSV (or JSON) list."""
    sets = []
    for number, row in enumerate(file.data):
        where = file.where(number)
        if not isinstance(row, dict):
            raise UsageError(msg("{where}: a table of names and values is expected.", where))
        source, driving = row.get("source"), row.get("driving")
        driving = driving or ("" if row.get("idle") else None)
        if not isinstance(source, str) or not isinstance(driving, str):
            missing = "driving" if isinstance(source, str) else "source"
            raise UsageError(
                msg("{where}: there is no {missing}.", where, missing), "The columns source and driving are needed."
            )
        options = {name: value for name, value in row.items() if name not in ROW_KEYS}
        preset = str(row.get("preset", parent.preset))
        if preset:
            _check_preset(preset, where)
        sets.append(
            JobSet(
                Path(os.path.abspath(base)),
                where,
                ((source, where),),
                ((driving, where),) if driving else (),
                output=str(row.get("output", parent.output)),
                preset=preset,
                values={**parent.values, **_values(file, (number,), options)},
                name=str(row.get("name", parent.name)),
                read=parent.read,
            )
        )
    if not sets:
        raise UsageError(msg("{path} contains no rows.", file.path))
    return sets


def _known(file: Located, keys: tuple[str | int, ...], table: Mapping[str, Any], known: Sequence[str]) -> None:
    for word in table:
        if word not in known:
            near = get_close_matches(str(word), known, 1)
            hint = msg("Did you mean {near}?", near[0]) if near else ""
            try:
                find_option(str(word))
                hint = "Options belong under [options]."
            except UsageError:
                pass
            raise UsageError(msg("{file}: there is no entry named {word!r}.", file.where(*keys, word), word), hint)


def _values(file: Located, keys: tuple[str | int, ...], table: Any) -> dict[str, Any]:
    """Check option values; errors name the line."""
    if not isinstance(table, dict):
        raise UsageError(msg("{file}: options must be a table of names and values.", file.where(*keys)))
    checked: dict[str, Any] = {}
    for name, value in table.items():
        where = file.where(*keys, name)
        checked |= check_values({str(name): value}, where)
        found = find_option(str(name)).name
        if found in NOT_IN_FILES:
            raise UsageError(msg("{where}: {found} can't be set among the options.", where, found), NOT_IN_FILES[found])
    return checked


def _check_preset(name: str, where: str) -> None:
    try:
        find_preset(name)
    except UsageError as error:
        raise UsageError(msg("{where}: {message}", where, error.message), error.hint) from None


# ---- from sets to jobs ----------------------------------------------------------------------------------------------


def expand(name: str, base: Path, where: str, search: Search | None = None) -> list[Path]:
    """Files that a name or glob pattern stands for, in natural order.

    Raises:
        UsageError: A pattern matches nothing or searches too much, or it is a URL.
    """
    name = local_name(name, where)
    path = Path(os.path.abspath(base / os.path.expanduser(name)))
    if not glob.has_magic(name) or os.path.exists(path):  # a missing file fails as a separate job
        return [path]
    paths = sorted((search or Search()).find(name, base, where), key=lambda one: natural_key(str(one)))
    if not paths:
        raise UsageError(msg("{where}: no file matches {name}.", where, name))
    return paths


def _combined(one: JobSet, search: Search) -> Iterator[tuple[Path, Path | None, str]]:
    for source, driving, where in one.pairs:
        first, second = expand(source, one.base, where, search), expand(driving, one.base, where, search)
        yield from ((a, b, where) for a in first for b in second)
    sources = [path for name, where in one.sources for path in expand(name, one.base, where, search)]
    drivings = [path for name, where in one.drivings for path in expand(name, one.base, where, search)]
    if not one.drivings and not one.pairs:  # idle animation only
        yield from ((source, None, one.where) for source in sources)
    elif one.combine == "pairs":
        if len(sources) != len(drivings):
            raise UsageError(
                msg(
                    "{where}: {count} sources and {count2} driving files don't make pairs.",
                    one.where or "pairs", len(sources), len(drivings)
                ),
                "Their numbers must be equal."
            )  # fmt: skip
        yield from ((a, b, one.where) for a, b in zip(sources, drivings, strict=True))
    else:
        yield from ((a, b, one.where) for a in sources for b in drivings)


class _Resolver:
    """Resolves options and output names of jobs; shared values are computed once."""

    def __init__(self, given: Mapping[str, Any], preset: str) -> None:
        found = {find_option(name): value for name, value in given.items()}
        self._given = {info.name: info.check(value, info.label) for info, value in found.items()}
        self._preset = preset
        self._options: dict[int, tuple[JobSet, RenderOptions, dict[str, Any]]] = {}
        self._kinds: dict[tuple[Path, bool], tuple[str, bool]] = {}
        self.files: set[Path] = set()  # from which options were read

    def entry(self, one: JobSet, source: Path, driving: Path | None, where: str, index: int) -> Entry:
        cached = self._options.get(id(one))
        if cached is None:
            flags = {k: v for k, v in self._given.items() if k != "output"}
            merged = {**settled(one.values, one.base), **settled(flags, Path.cwd())}
            resolved = resolve(merged, preset=self._preset or one.preset)
            self.files.update(one.read, resolved.files)
            options = resolved.options
            values = changed_values(options)
            cached = self._options[id(one)] = (one, options, values)
        _, options, values = cached
        if "output" in self._given:
            template, base = str(self._given["output"]), Path.cwd()
        else:
            template, base = find_option("output").check(one.output), one.base
        if template == STANDARD:
            raise UsageError(
                msg("{where}: the results of batches can't go to standard output.", where or "--output"),
                "Give a file name.",
            )
        own = {
            "source_folder": source.parent.name,
            "driving_folder": "" if driving is None else driving.parent.name,
            "name": one.name or stem_of(source),
            "index": f"{index:04}",
        }
        filled = re.sub(r"\{(" + "|".join(HERE) + r")\}", lambda m: _braced(own[m.group(1)]), template)
        try:
            output = self._output(source, driving, filled, base, options)
        except UsageError as error:
            raise UsageError(
                msg("{where}: {message}", where, error.message) if where else error.message, error.hint
            ) from None
        return Entry(source, driving, output, values, where, NUMBERED.search(template) is not None)

    def _output(self, source: Path, driving: Path | None, template: str, base: Path, options: RenderOptions) -> str:
        scheme, mark, rest = template.partition("://")
        if mark:
            wanted = rest
        else:
            wanted = os.path.join(_braced(str(base)), os.path.expanduser(template))  # keeps the last slash
        job = Job(source, driving or Path(), replace(options, output=replace(options.output, output=wanted)))
        still = alpha = False
        if wanted.endswith(("/", os.sep)) or not Path(wanted).suffix or os.path.isdir(wanted):
            first, alpha = self._kind(source)
            second = "" if driving is None else self._kind(driving, film=True)[0]
            still = first in ("image", "animation") and second == "image"
        path = output_path(job, still=still, alpha=alpha, engine=options.program.engine)
        check_name(path)
        if path.suffix.lower() not in STILL_SUFFIXES:
            from app.media.writer import clip_kind

            clip_kind(Path(path.name), options.output.codec)
        return f"{scheme}://{path.as_posix()}" if mark else os.path.abspath(path)

    def _kind(self, path: Path, film: bool = False) -> tuple[str, bool]:
        """Kind of a file, and whether it has transparency; unreadable files fail later, as jobs."""
        if (path, film) not in self._kinds:
            from app.media.reader import open_clip

            try:
                with open_clip(path, film=film) as clip:
                    self._kinds[path, film] = clip.info.kind, clip.info.has_alpha
            except AppError:  # includes motion templates
                self._kinds[path, film] = "", False
        return self._kinds[path, film]


def changed_values(options: RenderOptions) -> dict[str, Any]:
    """Options of a job that differ from the default, without the name of the output."""
    defaults = RenderOptions().values()
    return {k: v for k, v in options.values().items() if v != defaults[k] and k not in NOT_IN_FILES}


def _braced(text: str) -> str:
    """Escape braces in a text for an output template."""
    return text.replace("{", "{{").replace("}", "}}")
