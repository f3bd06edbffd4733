"""Presets, files and who wins."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app import presets
from app.errors import UsageError
from app.presets import BUILT_IN, find_preset, list_presets, read_settings, resolve, to_toml, user_file


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Own settings folder of each test."""
    monkeypatch.setenv("PORTRAIT_ANIMATE_CONFIG", str(tmp_path / "settings"))
    (tmp_path / "settings" / "presets").mkdir(parents=True)
    return tmp_path / "settings"


def write(path: Path, **values: object) -> Path:
    path.write_text(to_toml(values), encoding="utf-8")
    return path


def test_precedence(tmp_path: Path) -> None:
    """Command line, then config file, preset, user file, default."""
    write(user_file(), multiplier=0.1, quality=10, crop_scale=2.0, eye_gain=0.1)
    write(tmp_path / "p.toml", multiplier=0.2, quality=20, crop_scale=2.1)
    job = write(tmp_path / "job.toml", multiplier=0.3, quality=30)
    got = resolve({"multiplier": "0.4"}, preset=str(tmp_path / "p.toml"), config=job)
    values = got.options.values()
    names = ("multiplier", "quality", "crop_scale", "eye_gain", "lip_gain")
    assert [values[name] for name in names] == [0.4, 30, 2.1, 0.1, 1.0]
    origins = [got.origins[name] for name in names]
    assert origins == [
        "command line", f"file {job}", f"preset {tmp_path / 'p.toml'}", f"user file {user_file()}", "default",
    ]  # fmt: skip


def test_file_can_name_a_preset(tmp_path: Path) -> None:
    job = tmp_path / "job.json"
    job.write_text(json.dumps({"schema_version": 1, "preset": "calm", "options": {"quality": 90}}))
    got = resolve({}, config=job)
    assert got.options.animation.multiplier == BUILT_IN["calm"][1]["multiplier"]
    assert got.origins["multiplier"] == "preset calm"
    assert resolve({}, config=job, preset="expression").options.animation.multiplier == 1.0


def test_presets_build_on_each_other(settings: Path) -> None:
    (settings / "presets" / "mine.toml").write_text('schema_version = 1\npreset = "calm"\n[options]\nquality = 99\n')
    got = resolve({}, preset="mine").options
    assert (got.output.quality, got.animation.multiplier) == (99, 0.7)
    assert [p.name for p in list_presets()[0]] == [*BUILT_IN, "mine"]
    (settings / "presets" / "a.toml").write_text('preset = "b"\n')
    (settings / "presets" / "b.toml").write_text('preset = "a"\n')
    with pytest.raises(UsageError, match="in a circle"):
        resolve({}, preset="a")


def test_own_preset_replaces_a_built_in_one(settings: Path) -> None:
    write(settings / "presets" / "calm.toml", multiplier=0.5)
    assert find_preset("calm").values == {"multiplier": 0.5}


@pytest.mark.parametrize("name", list(BUILT_IN))
def test_built_in_presets_are_valid(name: str) -> None:
    got = resolve({}, preset=name)
    assert got.options != resolve({}).options
    assert BUILT_IN[name][0].endswith(".")


def test_printed_configuration_can_be_read_again(tmp_path: Path) -> None:
    first = resolve({"multiplier": "0.35", "output": 'a "b" \\ %é.mp4', "smooth": "1e-5", "stitching": False})
    path = tmp_path / "all.toml"
    path.write_text(to_toml(first.options.values(), first.origins), encoding="utf-8")
    assert resolve({}, config=path).options == first.options


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[options]\nmultiplyer = 1\n", "no option named 'multiplyer'. Did you mean multiplier?"),
        ("[options]\nmultiplier = 9\n", "multiplier: 9 is out of bounds, it must be 0 to 3."),
        ("multiplier = 1\n", "no entry named 'multiplier'. Options belong under [options]."),
        ("[options\n", "is not valid TOML"),
        ("schema_version = 99\n", "has version 99, but this program supports only versions up to 1. Update"),
        ("schema_version = true\n", "schema_version must be a whole number"),
        ('options = "x"\n', "options must be a table"),
    ],
)
def test_bad_files(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_settings(path, preset=False)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_unreadable_files(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b'name = "caf\xe9"\n')
    for path, message in ((tmp_path / "no.toml", "does not exist"), (tmp_path, "can't be read"),
                          (tmp_path / "latin.toml", "not UTF-8")):  # fmt: skip
        with pytest.raises(UsageError, match=message):
            read_settings(path, preset=False)
    (tmp_path / "list.json").write_text("[1]")
    with pytest.raises(UsageError, match="a table of names"):
        read_settings(tmp_path / "list.json", preset=False)


def test_preset_may_not_hold_what_belongs_to_a_run(tmp_path: Path) -> None:
    path = write(tmp_path / "p.toml", output="out.mp4")
    assert read_settings(path, preset=False).values == {"output": "out.mp4"}
    with pytest.raises(UsageError, match="output belongs to a single run"):
        read_settings(path, preset=True)


def test_older_files_are_brought_forward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def rename(data: dict) -> dict:
        options = dict(data["options"])
        options["multiplier"] = options.pop("strength")
        return data | {"options": options}

    monkeypatch.setattr(presets, "SCHEMA_VERSION", 2)
    monkeypatch.setattr(presets, "MIGRATIONS", ((1, rename),))
    path = tmp_path / "old.toml"
    path.write_text("schema_version = 1\n[options]\nstrength = 0.5\n")
    assert read_settings(path, preset=True).values == {"multiplier": 0.5}


def test_wrong_flags_name_the_flag() -> None:
    with pytest.raises(UsageError, match=r"--crop-scale: 9 is out of bounds, it must be 1.5 to 4"):
        resolve({"crop_scale": "9"})
    with pytest.raises(UsageError, match="known are calm"):
        resolve({}, preset="nothing like it")


LONG = "9" * 4000


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.toml", f"[options]\nquality = {LONG}", "about 4,000 digits"),
        ("a.toml", f"[options]\nquality = {LONG}{LONG}", "too many digits"),
        ("a.toml", "[options]\nquality = inf", "finite"),
        ("a.toml", "[options]\nquality = nan", "finite"),
        ("a.toml", "a = " + "[" * 100_000, "nested more than"),
        ("a.toml", ".".join(["a"] * 30_000) + " = 1", "nested more than"),
        ("a.toml", "[" + ".".join(['"a"'] * 5000) + "]", "nested more than"),
        ("a.toml", "#" * (1 << 20) + "\n", "larger than 1 MB"),
        ("a.toml", "name = 3", "name must be a text"),
        ("a.toml", f'description = "{"x" * 3000}"', "description must be a text"),
        ("a.toml", "preset = []", "preset must be a text"),
        ("a.toml", "schema_version = true", "schema_version"),
        ("a.toml", "schema_version = 99999999999999999", "version 99999999999999999"),
        ("a.toml", "options = 3", "options must be a table"),
        ("a.toml", "[options]\nregion = [1]", "region"),
        ("a.toml", f'[options]\nregion = "{"y" * 9000}"', "region"),
        ("a.json", "[" * 100_000, "nested more than"),
        ("a.json", '{"options": {"quality": NaN}}', "NaN"),
        ("a.json", '{"options": {"quality": 1e999}}', "too large"),
        ("a.json", '{"options": {"quality": ' + LONG + "}}", "4,000 digits"),
        ("a.json", '{"options": {"quality": 50, "quality": 60}}', "two entries"),
        ("a.json", '{"name": "\\ud800"}', "not valid Unicode"),
        ("a.json", "null", "table"),
        ("a.json", "", "not JSON"),
    ],
)
def test_hostile_settings_are_one_short_sentence(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=message) as error:
        read_settings(path, preset=False)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


def test_one_bad_preset_does_not_hide_the_others(settings: Path) -> None:
    folder = settings / "presets"
    write(folder / "good.toml", multiplier=0.5)
    (folder / "bad.toml").write_text("[options]\nmultiplier = inf\n")
    presets, faults = list_presets()
    assert [p.name for p in presets] == [*BUILT_IN, "good"]
    assert len(faults) == 1
    assert "bad.toml" in faults[0]
    assert find_preset("good").values == {"multiplier": 0.5}
    with pytest.raises(UsageError, match="no preset named 'goood'"):
        find_preset("goood")
