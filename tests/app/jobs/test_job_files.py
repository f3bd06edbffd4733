"""Job files: every form, every error with its line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.errors import MissingError, UsageError
from app.jobs import make_jobs, read_jobs
from app.jobs.patterns import Search
from app.jobs.schema import schema
from app.line_numbers import read_located, toml_lines

TOML = """\
schema_version = 1
sources = ["in/photo.jpg", "in/other.jpg"]
drivings = "in/s*.mp4"
output = "out/{source}--{driving}.mp4"
preset = "calm"

[options]
smooth = 0.0
"""


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def names(entries: list) -> list[tuple[str, str, str]]:
    return [(e.source.name, e.driving.name, Path(e.output).name) for e in entries]


def test_product(work: Path) -> None:
    found = read_jobs(write(work, "night.toml", TOML))
    assert names(found) == [
        ("photo.jpg", "slow.mp4", "photo--slow.mp4"),
        ("other.jpg", "slow.mp4", "other--slow.mp4"),
    ]
    assert found[0].output == str(work / "out" / "photo--slow.mp4")
    assert found[0].values["multiplier"] == 0.7  # of the preset
    assert found[0].values["smooth"] == 0.0  # of the file, which wins


def test_command_line_wins(work: Path) -> None:
    path = write(work, "night.toml", TOML)
    found = read_jobs(path, {"smooth": "1.5", "output": "else/{driving}-{source}.webm"}, preset="lively")
    assert found[0].values["smooth"] == 1.5
    assert found[0].values["multiplier"] == 1.2
    assert found[0].output == str(work / "else" / "slow-photo.webm")


def test_tables_of_jobs_inherit_and_override(work: Path) -> None:
    text = (
        TOML
        + """
[[jobs]]
drivings = ["in/clip.mp4"]
name = "strong"
output = "out/{name}-{source}.mp4"

[jobs.options]
multiplier = 1.5

[[jobs]]
source = "in/cutout.png"
preset = "copy"
pairs = [["in/pair.jpg", "in/vfr.mp4"]]
output = "out/{index}.webm"
"""
    )
    found = read_jobs(write(work, "night.toml", text))
    assert names(found) == [
        ("photo.jpg", "clip.mp4", "strong-photo.mp4"),
        ("other.jpg", "clip.mp4", "strong-other.mp4"),
        ("pair.jpg", "vfr.mp4", "0003.webm"),
        ("cutout.png", "slow.mp4", "0004.webm"),
    ]
    assert (found[0].values["multiplier"], found[0].values["smooth"]) == (1.5, 0.0)
    assert found[2].values["relative"] is False
    assert found[0].where == f"{work / 'night.toml'}, line 10"


def test_other_forms_say_the_same(work: Path) -> None:
    data = {
        "sources": ["in/photo.jpg"],
        "drivings": ["in/slow.mp4"],
        "output": "out/",
        "options": {"multiplier": 1.5, "region": "lip"},
    }
    wanted = read_jobs(write(work, "a.json", json.dumps(data)))
    toml = 'sources = "in/photo.jpg"\ndrivings = "in/slow.mp4"\noutput = "out/"\n[options]\n'
    toml += 'multiplier = 1.5\nregion = "lip"\n'
    rows = "source,driving,output,multiplier,region\nin/photo.jpg,in/slow.mp4,out/,1.5,lip\n"
    forms = [write(work, "a.toml", toml), write(work, "a.csv", rows)]
    forms.append(write(work, "b.toml", 'csv = "a.csv"\n'))
    for path in forms:
        (found,) = read_jobs(path)
        assert (found.source, found.driving, found.output, found.values) == (
            wanted[0].source, wanted[0].driving, wanted[0].output, wanted[0].values
        )  # fmt: skip
    assert wanted[0].output == str(work / "out" / "photo--slow.mp4")


def test_yaml(work: Path) -> None:
    pytest.importorskip("yaml", reason="PyYAML is not installed")
    path = write(work, "a.yaml", "sources: in/photo.jpg\ndrivings:\n  - in/slow.mp4\noptions:\n  multiplier: 1.5\n")
    (found,) = read_jobs(path)
    assert found.values == {"multiplier": 1.5}
    write(work, "a.yaml", "sources: in/photo.jpg\ndrivings:\n  - in/slow.mp4\noptions:\n  smooth: 1\n  multiplier: 9\n")
    with pytest.raises(UsageError, match=r"a.yaml, line 6: multiplier: 9 is out of bounds"):
        read_jobs(path)
    write(work, "a.yaml", "sources: [\n")
    with pytest.raises(UsageError, match=r"a.yaml, line 2: this is not valid YAML"):
        read_jobs(path)


def test_yaml_without_pyyaml(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "yaml", None)
    with pytest.raises(MissingError, match=r"PyYAML is not installed\. Write TOML"):
        read_jobs(write(work, "a.yaml", "sources: x\n"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('a = 1\nsources = "x" 3\n', r"is not valid TOML: .*line 2"),
        ('sourcs = "a"\n', r"line 1: there is no entry named 'sourcs'\. Did you mean source"),
        ('sources = "a"\nmultiplier = 2\n', r"line 2: .*'multiplier'\. Options belong under \[options\]"),
        ('sources = "a"\n\n[options]\n# note\nmultiplier = 7\n', r"line 5: multiplier: 7 is out of bounds, .*0 to 3"),
        ("[options]\nmulitplier = 1\n", r"line 2: there is no option named 'mulitplier'\. Did you mean multiplier"),
        ('[options]\noutput = "x"\n', r"line 2: output can't be set among the options"),
        ('[[jobs]]\nsource = "a"\n\n[[jobs]]\nname = "x"\n[jobs.options]\nregion = "ear"\n', r"line 7: region: 'ear'"),
        ('sources = "a"\n', r"there are no driving files"),
        ('sources = "in/*.heic"\ndrivings = "in/clip.mp4"\n', r"line 1: no file matches in/\*\.heic"),
        ('sources = ["in/photo.jpg",\n "in/*.nef"]\ndrivings = "in/clip.mp4"\n', r"line 1: no file matches in/\*\.nef"),
        ('preset = "clam"\n', r"line 1: There is no preset named 'clam'.*calm"),
        ('combine = "zip"\n', r"line 1: combine: 'zip' is not one of product, pairs"),
        ('sources = ["a.jpg", "b.jpg"]\ndrivings = ["c.mp4"]\ncombine = "pairs"\n', r"2 sources and 1 driving files"),
        ('pairs = [["a.jpg"]]\n', r"line 1: pairs must be a list of \[source, driving\]"),
        ('sources = "a.jpg"\ndrivings = "b.mp4"\noutput = "{nam}.mp4"\n', r"there is no field \{nam\}"),
        ('sources = "a.jpg"\ndrivings = ["b.mp4", "c.mp4"]\noutput = "{source}.mp4"\n', r"would be written twice"),
        ("schema_version = 2\n", r"line 1: job files of version 1 can be read, not 2"),
        ('sources = "in/photo.jpg"\ndrivings = "in/clip.mp4"\noutput = "in/clip.mp4"\n', r"clip.mp4 is an input"),
    ],
)
def test_errors_name_the_line(work: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_jobs(write(work, "night.toml", text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "source,driving,smooth\na.jpg,b.mp4,1\n\n# note\na.jpg,c.mp4,x\n",
            r"night.csv, line 5: smooth: 'x' is not a number",
        ),
        ("source,driving\na.jpg\n", r"line 2: there is no driving"),
        ("source,driving\na.jpg,b.mp4,c\n", r"line 2: 3 cells, but the first line names 2"),
        ("source,driving\n", r"contains no rows"),
    ],
)
def test_errors_of_csv(work: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_jobs(write(work, "night.csv", text))


def test_errors_of_json(work: Path) -> None:
    text = '{\n "sources": "a.jpg",\n "drivings": ["b.mp4"],\n "options": {"smooth": 1,\n  "quality": 101}\n}\n'
    with pytest.raises(UsageError, match=r"night.json, line 5: quality: 101 is out of bounds"):
        read_jobs(write(work, "night.json", text))


def test_lines_of_toml() -> None:
    text = (
        'a = """\nb = 1\n"""\n# c = 2\nd = [\n  1, # ]\n  "]",\n]\n"e.f" = {g = 1}\n[h.i]\nj.k = \'#\'\n[[l]]\nm = 1\n'
        "[[l]]\n[l.n]\no = 1\n"
    )
    lines = toml_lines(text)
    assert lines[("a",)] == 1
    assert ("b",) not in lines
    assert lines[("d",)] == 5
    assert lines[("e.f",)] == 9
    assert lines[("h", "i", "j", "k")] == 11
    assert lines[("l", 0, "m")] == 13
    assert lines[("l", 1, "n", "o")] == 16


def test_lines_of_json(work: Path) -> None:
    path = write(work, "x.json", '{"a": [1, {"b":\n "q\\"}"}, true],\n\n"c": null}')
    lines = read_located(path).lines
    assert lines[("a", 1, "b")] == 2
    assert lines[("c",)] == 4


def test_from_lists(work: Path) -> None:
    found = make_jobs(["in/photo.jpg", "in/other.jpg"], ["in/slow.mp4", "in/clip.mp4"], {"output": "o/"}, pairs=True)
    assert names(found) == [("photo.jpg", "slow.mp4", "photo--slow.mp4"), ("other.jpg", "clip.mp4", "other--clip.mp4")]
    (still,) = make_jobs(["in/photo.jpg"], ["in/other.jpg"], {"output": "o/"})
    assert Path(still.output).name == "photo--other.jpg"  # two pictures make a picture
    (missing,) = make_jobs(["nowhere.jpg"], ["in/slow.mp4"])
    assert missing.output == str(work / "nowhere--slow.mp4")
    (braces,) = make_jobs(["in/photo.jpg"], ["in/slow.mp4"], {"output": "{source_folder}/{driving_folder}-{{x}}.mp4"})
    assert braces.output == str(work / "in" / "in-{x}.mp4")
    (address,) = make_jobs(["in/photo.jpg"], ["in/slow.mp4"], {"output": "memory://bucket/{source}.mp4"})
    assert address.output == "memory://bucket/photo.mp4"


def test_portraits_that_just_live_need_no_driving_files(work: Path) -> None:
    (found,) = make_jobs(["in/photo.jpg"], [], {"idle": "0.3"})
    assert (found.driving, Path(found.output).name, found.values["idle"]) == (None, "photo--idle.mp4", "0.3")
    path = write(work, "night.toml", 'sources = "in/photo.jpg"\n[options]\nidle = 0.3\n')
    assert [entry.driving for entry in read_jobs(path)] == [None]
    rows = read_jobs(write(work, "rows.csv", "source,driving,idle\nin/photo.jpg,,0.3\nin/photo.jpg,in/clip.mp4,\n"))
    assert [entry.driving and entry.driving.name for entry in rows] == [None, "clip.mp4"]


def test_schema_describes_what_is_read() -> None:
    found = schema()
    assert {"sources", "drivings", "pairs", "csv", "output", "preset", "options", "jobs"} <= set(found["properties"])
    options = found["$defs"]["Options"]["properties"]
    assert options["multiplier"]["maximum"] == 3
    assert "json_lines" not in options
    json.dumps(found)


# ---- files that are too much


BOMB = "\n".join([f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)])
MERGES = "\n".join(
    [f"{b}: &{b}\n  <<: [{', '.join([f'*{a}'] * 9)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)]
)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.yaml", f"a: &a [x, x, x, x, x, x, x, x, x]\n{BOMB}\nsources: *i\n", "more than 1,000,000 values"),
        ("a.yaml", f"a: &a {{x: 1}}\n{MERGES}\n", "more than 1,000,000 values"),
        ("a.yaml", "a: &a [*a]\n", "nested more than 32 levels"),
        ("a.yaml", "a: &a {<<: *a}\n", "nested more than 32 levels"),
        ("a.yaml", "a: " + "[" * 5000, "nested more than 32 levels|not valid YAML"),
        ("a.yaml", "schema_version: " + "9" * 5000, "too many digits"),
        ("a.yaml", "schema_version: 2024-99-99", "can't be read: "),
        ("a.yaml", "? [1, 2]\n: x\n", "not valid YAML|no entry named"),
        ("a.yaml", "fps: .inf\n", "not a finite number"),
        ("a.json", '{"sources": ["\\ud800"], "drivings": "b"}', "not valid Unicode"),
        ("a.json", "[" * 100_000, "nested more than 32 levels"),
        ("a.json", '{"schema_version": ' + "9" * 5000 + "}", "digits"),
        ("a.json", '{"schema_version": NaN}', "not a finite number"),
        ("a.json", '{"sources": 1, "sources": 2}', "two entries named"),
        ("a.toml", "a = " + "[" * 5000, "nested more than 32 levels|not valid TOML"),
        ("a.toml", "schema_version = " + "9" * 5000, "digits"),
        ("a.toml", '"\\U0001F600" = 1\n', "no entry named"),
        ("a.csv", "source,driving\n" + "x" * 200_000 + ",b\n", "not valid CSV"),
    ],
)
def test_job_files_that_are_too_much(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        read_jobs(path)


def test_pattern_does_not_search_the_whole_disk(tmp_path: Path) -> None:
    folder = tmp_path
    for name in "abc":
        for number in range(10):
            (folder / f"{number}.jpg").touch()
        folder = folder / name
        folder.mkdir()
    assert len(Search(100).find("**/*.jpg", tmp_path)) == 30
    assert len(Search(100).find("**/**/**/*.jpg", tmp_path)) == 30  # is the same
    with pytest.raises(UsageError, match=r"line 1: \*\*/\*\.jpg would search more than 20 files"):
        Search(20).find("**/*.jpg", tmp_path, "line 1")


def test_patterns_find_what_glob_finds(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.png", ".c.jpg", "d/e.jpg", "d/.f/g.jpg", "d/h/i.jpg", "x[1].jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "d" / "loop").symlink_to(tmp_path)

    def find(pattern: str) -> list[str]:
        return sorted(one.relative_to(tmp_path).as_posix() for one in Search().find(pattern, tmp_path))

    assert find("*.jpg") == ["a.jpg", "x[1].jpg"]
    assert find("?.*") == ["a.jpg", "b.png"]
    assert find(".*.jpg") == [".c.jpg"]
    assert find("**/*.jpg") == ["a.jpg", "d/e.jpg", "d/h/i.jpg", "x[1].jpg"]
    assert find("d/**") == ["d/e.jpg", "d/h/i.jpg"]
    assert find("x[[]1].jpg") == ["x[1].jpg"]
    assert find("./d/*.jpg") == ["d/e.jpg"]
    assert find("none/*.jpg") == []


def test_number_of_jobs_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.jobs.spec.MOST_JOBS", 5)
    path = tmp_path / "a.toml"
    path.write_text('sources = ["a.jpg", "b.jpg", "c.jpg"]\ndrivings = ["x.mp4", "y.mp4"]\n')
    with pytest.raises(UsageError, match="more than 5 jobs"):
        read_jobs(path)
