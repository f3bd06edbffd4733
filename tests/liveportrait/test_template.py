"""Motion templates: own format, official pickles, and files that try to do harm."""

from __future__ import annotations

import io
import json
import os
import pickle
import tracemalloc
import zipfile
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from motion_stubs import still_motion

from liveportrait import official_pickle, template_reader
from liveportrait.motion import rotation_from_euler
from liveportrait.official_pickle import read_pickle
from liveportrait.template import MotionTemplate, is_template, save_template, save_track
from liveportrait.template_reader import load_template
from liveportrait.track import MotionTrack

ARRAYS = ("rotation", "translation", "scale", "delta", "eye_ratio", "lip_ratio")


def _template(n=5, k=21) -> MotionTemplate:
    rng = np.random.default_rng(0)
    motion = still_motion(
        n, k,
        rotation=rotation_from_euler(*rng.normal(0, 10, (3, n))), delta=rng.normal(0, 0.1, (n, k, 3)),
        translation=rng.normal(0, 0.1, (n, 3)), eye_ratio=rng.uniform(0, 0.4, (n, 2)),
    )  # fmt: skip
    motion = replace(motion, extra={"gaze": rng.normal(size=(n, 4)).astype(np.float32)})
    rate = Fraction(30000, 1001)
    return MotionTemplate(motion, tuple(i / rate for i in range(n)), rate, np.ones(n, bool), 2, {"file": "d.mp4"})


def track_of(motions) -> MotionTrack:
    """A track of motions at 25 frames/s, None where no face is seen."""
    track = MotionTrack()
    for i, motion in enumerate(motions):
        track.append(Fraction(i, 25), motion)
    return track


def test_own_format_keeps_everything(tmp_path):
    before = _template()
    path = save_template(tmp_path / "a.motion", before)
    after = load_template(path)
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(after.motion, name), getattr(before.motion, name))
    np.testing.assert_array_equal(after.motion.extra["gaze"], before.motion.extra["gaze"])
    assert (after.times, after.rate, after.reference) == (before.times, before.rate, before.reference)
    assert after.source == before.source
    assert (after.family, after.keypoints, len(after)) == ("liveportrait21", 21, 5)
    assert after.duration == 5 * Fraction(1001, 30000)
    assert [p.name for p in tmp_path.iterdir()] == ["a.motion"]


def test_variable_frame_times_are_exact(tmp_path):
    times = (Fraction(0), Fraction(1, 3), Fraction(1001, 30000) + 1, Fraction(9))
    path = save_template(tmp_path / "v.motion", replace(_template(4), times=times, reference=0))
    assert load_template(path).times == times


def test_frames_without_a_face_are_marked_and_filled(tmp_path):
    motion = _template(3).motion
    track = track_of([None, motion[0], None, motion[1]])
    track.duration = Fraction(1, 6)
    save_track(tmp_path / "gap.motion", track, Fraction(25), 1)
    track.close()
    template = load_template(tmp_path / "gap.motion")
    assert template.found.tolist() == [False, True, False, True]
    assert template.duration == Fraction(1, 6)
    for i, source in enumerate([0, 0, 0, 1]):
        np.testing.assert_array_equal(template.motion.delta[i], motion.delta[source])


def test_writing_a_long_template_takes_no_more_memory(tmp_path):
    frame = still_motion(1, 478)

    def peak(n):
        tracemalloc.start()
        track = track_of([frame] * n)
        save_track(tmp_path / f"{n}.motion", track, Fraction(25))
        track.close()
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    short, long = peak(150), peak(1500)
    assert (tmp_path / "1500.motion").stat().st_size > 8_000_000
    assert long < short + 1_000_000


def test_long_templates_are_mapped_from_a_scratch_file(tmp_path, monkeypatch):
    """A file of the user's that is emptied while it is mapped would end the program with SIGBUS."""
    monkeypatch.setattr(template_reader, "_IN_MEMORY", 1000)
    before = _template()
    path = save_template(tmp_path / "m.motion", before)
    after = load_template(path)
    assert isinstance(after.motion.delta, np.memmap)
    assert not isinstance(after.motion.scale, np.memmap)
    os.truncate(path, 0)
    np.testing.assert_array_equal(after.motion.delta, before.motion.delta)


def test_short_templates_are_read_into_memory(tmp_path):
    path = save_template(tmp_path / "m.motion", _template())
    after = load_template(path)
    path.write_bytes(b"")
    np.testing.assert_array_equal(after.motion.delta, _template().motion.delta)


def test_times_finer_than_a_nanosecond_are_rounded_when_written(tmp_path):
    rate = Fraction("29.9700299700299700299700299700299700299700299")
    times = tuple(i / rate for i in range(4))
    path = save_template(tmp_path / "f.motion", replace(_template(4), times=times, rate=rate))
    after = load_template(path)
    assert all(abs(a - b) < Fraction(1, 10**9) for a, b in zip(after.times, times, strict=True))
    assert abs(after.rate - rate) < Fraction(1, 10**9)


def test_nothing_is_left_behind_when_writing_fails(tmp_path, monkeypatch):
    def full(*_):
        raise OSError("no room")

    monkeypatch.setattr("liveportrait.template._store", full)
    with pytest.raises(OSError, match="no room"):
        save_template(tmp_path / "x.motion", _template())
    assert list(tmp_path.iterdir()) == []


def test_tracks_that_make_no_template_are_refused(tmp_path):
    lost, same, good = track_of([None]), track_of([still_motion(1)]), track_of([still_motion(1)])
    same.append(Fraction(0), None)
    with pytest.raises(ValueError, match="row of"):  # of another engine
        good.append(Fraction(1), still_motion(1, 478))
    cases = (good, 0, 0, "positive"), (lost, 25, 0, "no frame with a face"), (same, 25, 0, "not later"), (
        good, 25, 4, "reference frame 4",
    )  # fmt: skip
    for track, rate, reference, words in cases:
        with pytest.raises(ValueError, match=words):
            save_track(tmp_path / "x.motion", track, Fraction(rate), reference)
    assert list(tmp_path.iterdir()) == []
    for track in (lost, same, good):
        track.close()


def test_engine_with_other_keypoints_is_told_so():
    with pytest.raises(ValueError, match=r"21 keypoints of the family 'liveportrait21'.*478 of 'mesh478'"):
        _template().require("mesh478", 478)
    _template().require("liveportrait21", 21)


def _rewritten(path, member, change):
    """The same zip file with one member changed."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts[member] = change(parts[member])
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            if data is not None:
                archive.writestr(name, data)
    return path


def _header(**changes):
    return lambda data: json.dumps(json.loads(data) | changes)


def _npy(array):
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def _float32(shape, value, at=(2,)):
    array = np.zeros(shape, np.float32)
    if shape == (5, 3, 3):
        array[:] = np.eye(3)
    if shape == (5, 1):
        array[:] = 1
    array[at] = value
    return lambda _: _npy(array)


def _times(*pairs):
    return lambda _: _npy(np.array(pairs, np.int64))


def _text(text):
    return lambda _: text if isinstance(text, bytes) else text.encode()


def _cut_header(data):
    return data[:10] + b"((((" + data[14:]


FAULTS = {
    "newer version": ("header.json", _header(version=9), "newer format version 9"),
    "version a huge number": ("header.json", _header(version=10**17), "newer format version"),
    "version as text": ("header.json", _header(version="1"), "version"),
    "other format": ("header.json", _header(format="other"), "not that of a motion template"),
    "header null": ("header.json", _text("null"), "not a table"),
    "header a list": ("header.json", _text("[1]"), "not a table"),
    "header nested deeply": ("header.json", _text("[" * 100_000 + "]" * 100_000), "nested more than"),
    "header cut": ("header.json", _text(b"{"), "not JSON"),
    "header not UTF-8": ("header.json", _text(b"\xff\xfe{}"), "UTF-8"),
    "header with NaN": ("header.json", _text('{"frames": NaN}'), "NaN"),
    "header too large": ("header.json", _text(" " * ((1 << 20) + 1)), "larger than"),
    "one name twice": ("header.json", _text('{"a": 1, "a": 2}'), "two entries"),
    "half a character": ("header.json", _text('{"a": "\\ud800"}'), "not valid Unicode"),
    "frames too many": ("header.json", _header(frames=6), "shape"),
    "frames infinite": ("header.json", _header(frames=float("inf")), "Infinity"),
    "frames 1e400": ("header.json", lambda data: data.replace(b'"frames": 5', b'"frames": 1e400'), "too large"),
    "frames true": ("header.json", _header(frames=True), "frames"),
    "frames as text": ("header.json", _header(frames="5"), "frames"),
    "frames 0": ("header.json", _header(frames=0), "frames"),
    "frames of 5000 digits": ("header.json", _text(b'{"frames": ' + b"9" * 5000 + b"}"), "digits"),
    "frames missing": ("header.json", lambda data: data.replace(b'"frames"', b'"frame"'), "'frames' is missing"),
    "keypoints too few": ("header.json", _header(keypoints=20), "delta has the shape"),
    "keypoints many": ("header.json", _header(keypoints=10**9), "keypoints"),
    "reference beyond the end": ("header.json", _header(reference=7), "reference frame 7"),
    "reference negative": ("header.json", _header(reference=-1), "reference"),
    "reference infinite": ("header.json", _header(reference=float("inf")), "Infinity"),
    "rate 0": ("header.json", _header(rate="0"), "rate 0"),
    "rate 1/0": ("header.json", _header(rate="1/0"), "divides by zero"),
    "rate in powers of ten": ("header.json", _header(rate="1e999999999"), "not a frame rate"),
    "rate of 400 digits": ("header.json", _header(rate="9" * 400), "not a frame rate"),
    "rate huge": ("header.json", _header(rate="99999999"), "frame rate"),
    "rate tiny": ("header.json", _header(rate="1/99999999"), "frame rate"),
    "rate a number": ("header.json", _header(rate=25), "rate"),
    "arrays a text": ("header.json", _header(arrays="rotation"), "arrays"),
    "arrays without scale": ("header.json", _header(arrays=[n for n in ARRAYS if n != "scale"]), "scale is missing"),
    "arrays twice": ("header.json", _header(arrays=[*ARRAYS, "scale"]), "twice"),
    "arrays of other names": ("header.json", _header(arrays=[*ARRAYS, "more"]), "more"),
    "arrays with a path": ("header.json", _header(arrays=[*ARRAYS, "extra.../../x"]), "arrays"),
    "arrays without end": ("header.json", _header(arrays=[*ARRAYS, *(f"extra.{i}" for i in range(99))]), "arrays"),
    "source a list": ("header.json", _header(source=[1]), "source"),
    "source of numbers": ("header.json", _header(source={"file": 3}), "source"),
    "source of long texts": ("header.json", _header(source={"file": "x" * 2000}), "source"),
    "engine a number": ("header.json", _header(engine=3), "engine"),
    "engine empty": ("header.json", _header(engine=""), "engine"),
    "array missing": ("delta.npy", lambda _: None, "delta"),
    "array cut": ("delta.npy", lambda data: data[:-4], "damaged"),
    "array of objects": ("delta.npy", lambda _: _npy(np.array([{}], object)), "type"),
    "array of texts": ("delta.npy", lambda _: _npy(np.zeros((5, 21, 3), "U3")), "type"),
    "array of doubles": ("delta.npy", lambda _: _npy(np.zeros((5, 21, 3))), "type '<f8'"),
    "array of the other byte order": ("delta.npy", lambda _: _npy(np.zeros((5, 21, 3), ">f4")), "type '>f4'"),
    "array by columns": ("delta.npy", lambda _: _npy(np.zeros((5, 21, 3), "<f4", order="F")), "columns"),
    "array of another shape": ("delta.npy", lambda _: _npy(np.zeros((5, 3, 21), np.float32)), "shape"),
    "array with a nested head": ("delta.npy", _cut_header, "damaged header"),
    "array of version 2": ("delta.npy", lambda data: data[:6] + b"\x02" + data[7:], "plain array"),
    "array without a head": ("delta.npy", _text(b""), "truncated"),
    "scale negative": ("scale.npy", _float32((5, 1), -1), "scale of frame 2"),
    "scale zero": ("scale.npy", _float32((5, 1), 0), "scale of frame 2"),
    "scale huge": ("scale.npy", _float32((5, 1), 1e30), "scale of frame 2"),
    "scale infinite": ("scale.npy", _float32((5, 1), np.inf), "not finite"),
    "rotation NaN": ("rotation.npy", _float32((5, 3, 3), np.nan), "not finite"),
    "rotation huge": ("rotation.npy", _float32((5, 3, 3), 1e30), "rotation of frame 2"),
    "rotation zero": ("rotation.npy", _float32((5, 3, 3), 0), "not a rotation matrix"),
    "rotation a mirror": ("rotation.npy", _float32((5, 3, 3), -1, (2, 0, 0)), "not a rotation matrix"),
    "translation far away": ("translation.npy", _float32((5, 3), 1e6), "translation of frame 2"),
    "delta infinite": ("delta.npy", _float32((5, 21, 3), -np.inf, (4, 20, 2)), "delta of frame 4"),
    "delta huge": ("delta.npy", _float32((5, 21, 3), 1e5), "delta of frame 2"),
    "eye ratio negative": ("eye_ratio.npy", _float32((5, 2), -1), "eye_ratio of frame 2"),
    "eye ratio infinite": ("eye_ratio.npy", _float32((5, 2), np.inf), "not finite"),
    "lip ratio huge": ("lip_ratio.npy", _float32((5, 1), 50), "lip_ratio of frame 2"),
    "extra NaN": ("extra.gaze.npy", _float32((5, 4), np.nan), "extra.gaze of frame 2"),
    "times fall": ("times.npy", _times((0, 1), (2, 25), (1, 25), (3, 25), (4, 25)), "frame 2"),
    "times equal": ("times.npy", _times(*[(0, 1)] * 5), "not later"),
    "times huge": ("times.npy", _times((0, 1), (1, 1), (2, 1), (3, 1), (2**62, 1)), "out of bounds"),
    "times divided by zero": ("times.npy", _times((0, 1), (1, 0), (2, 1), (3, 1), (4, 1)), "denominators"),
    "times too fine": ("times.npy", _times(*[(i, 2**62) for i in range(5)]), "denominators"),
    "times negative denominators": ("times.npy", _times(*[(-i, -25) for i in range(5)]), "denominators"),
    "no face": ("found.npy", lambda _: _npy(np.zeros(5, np.uint8)), "no frame with a face"),
    "found 7": ("found.npy", lambda _: _npy(np.full(5, 7, np.uint8)), "found"),
}  # fmt: skip


@pytest.mark.parametrize(("member", "change", "words"), FAULTS.values(), ids=FAULTS)
def test_damaged_files_are_refused_in_one_sentence(tmp_path, member, change, words):
    path = _rewritten(save_template(tmp_path / "t.motion", _template()), member, change)
    with pytest.raises(ValueError, match=words) as error:
        load_template(path)
    assert "t.motion" in str(error.value)
    assert "\n" not in str(error.value)


def _patched(old, new, last=False):
    """Replace bytes in the first (or last) header of a zip file."""

    def change(data):
        at = data.rfind(old) if last else data.find(old)
        assert at >= 0
        return data[:at] + new + data[at + len(old) :]

    return change


def _encrypted(data):
    return _flagged(data, 0x1)


def _flagged(data, flag):
    out, at = bytearray(data), 0
    while (at := data.find(b"PK\x01\x02", at)) >= 0:
        out[at + 8] |= flag
        at += 4
    return bytes(out)


def _method(data):
    out = bytearray(data)
    at = data.find(b"PK\x01\x02")
    out[at + 10] = 99
    return bytes(out)


def _twice(data):
    out = io.BytesIO(data)
    with zipfile.ZipFile(out, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("header.json", "{}")
    return out.getvalue()


def _overlapping(data):
    """All members of the list point to the first one."""
    out, at = bytearray(data), 0
    while (at := data.find(b"PK\x01\x02", at)) >= 0:
        out[at + 42 : at + 46] = bytes(4)
        at += 4
    return bytes(out)


def _deflated(data):
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    return out.getvalue()


def _crowded(data):
    out = io.BytesIO(data)
    with zipfile.ZipFile(out, "a") as archive:
        for i in range(300):
            archive.writestr(f"x{i}", "")
    return out.getvalue()


def _flipped(data):
    at = data.index(b"delta.npy") + 2000
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


ODD_ZIPS = {
    "encrypted": (_encrypted, "encrypted"),
    "unknown compression": (_method, "compressed"),
    "compressed": (_deflated, "compressed"),
    "one name twice": (_twice, "two members"),
    "members over each other": (_overlapping, "overlaps another|damaged"),
    "too many members": (_crowded, "members"),
    "one bit flipped": (_flipped, "damaged"),
    "cut": (lambda data: data[:-30], "truncated|damaged"),
    "other local name": (_patched(b"header.json", b"HEADER.json"), "damaged"),
    "other listed name": (_patched(b"header.json", b"HEADER.json", last=True), "header.json"),
}


@pytest.mark.parametrize(("change", "words"), ODD_ZIPS.values(), ids=ODD_ZIPS)
def test_odd_zip_files_are_refused_in_one_sentence(tmp_path, change, words):
    path = save_template(tmp_path / "t.motion", _template())
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ValueError, match=words) as error:
        load_template(path)
    assert "t.motion" in str(error.value)
    assert "\n" not in str(error.value)


def test_random_damage_of_a_template_is_noticed(tmp_path):
    """Every byte of the arrays stands under a CRC; the rest are headers, where damage may be without effect."""
    rng = np.random.default_rng(3)
    path = save_template(tmp_path / "t.motion", _template())
    data, before = path.read_bytes(), load_template(path)
    for _ in range(200):
        broken = bytearray(data)
        for at in rng.integers(0, len(data), rng.integers(1, 30)):
            broken[at] ^= 1 << int(rng.integers(0, 8))
        path.write_bytes(broken)
        try:
            after = load_template(path)
        except ValueError as error:
            assert "\n" not in str(error)  # noqa: PT017
        else:
            np.testing.assert_array_equal(after.motion.delta, before.motion.delta)


@pytest.mark.parametrize(
    "data", [b"", b"hello world", b"PK\x03\x04 not a zip", b"\x80\x04", b"version https://git-lfs"]
)
def test_files_that_are_no_templates_are_refused(tmp_path, data):
    path = tmp_path / "no.pkl"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"no\.pkl"):
        load_template(path)


def test_suffixes():
    assert is_template("A.PKL")
    assert is_template("b.motion")
    assert not is_template("c.mp4")


# ---------------------------------------------------------------------- official pickles


def _official(n=4, *, old=False, ratios=True):
    rng = np.random.default_rng(1)
    frame = {
        "scale": np.ones((1, 1), np.float32), "R_d" if old else "R": np.eye(3, dtype=np.float32)[None],
        "exp": rng.normal(0, 0.1, (1, 21, 3)).astype(np.float32), "t": np.zeros((1, 3), np.float32),
    }  # fmt: skip
    content = {"n_frames": n, "output_fps": 25, "motion": [frame] * n}
    if ratios:
        prefix = "c_d_" if old else "c_"
        content[f"{prefix}eyes_lst"] = [np.full((1, 2), 0.3, np.float32)] * n
        content[f"{prefix}lip_lst"] = [np.full((1, 1), 0.1, np.float32)] * n
    return content


def _frame(**changes):
    return _official(1)["motion"][0] | changes


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("old", [False, True])
def test_official_pickles_of_every_protocol(tmp_path, protocol, old):
    content = _official(old=old)
    path = tmp_path / "d.pkl"
    path.write_bytes(pickle.dumps(content, protocol))
    template = load_template(path)
    assert (len(template), template.rate, template.family) == (4, 25, "liveportrait21")
    np.testing.assert_array_equal(template.motion.delta[0], content["motion"][0]["exp"][0])
    np.testing.assert_allclose(template.motion.eye_ratio, 0.3)
    np.testing.assert_allclose(template.motion.lip_ratio, 0.1)
    assert template.times[3] == Fraction(3, 25)


@pytest.mark.parametrize("package", [b"numpy.core", b"numpy._core"])
def test_pickles_of_both_numpy_generations(package):
    data = pickle.dumps(_official(), 2)
    for module in (b"numpy._core", b"numpy.core"):
        data = data.replace(module + b".multiarray", package + b".multiarray")
    assert read_pickle(data)["motion"][0]["exp"].shape == (1, 21, 3)


def test_pickles_without_ratios_drive_with_unknown_ratios(tmp_path):
    path = tmp_path / "laugh.pkl"
    path.write_bytes(pickle.dumps(_official(ratios=False)))
    template = load_template(path)
    assert np.isnan(template.motion.eye_ratio).all()
    assert np.isnan(template.motion.lip_ratio).all()


def test_numbers_of_numpy_and_other_byte_orders_are_read():
    content = {
        "output_fps": np.float64(29.97),
        "a": np.arange(6, dtype=">f4").reshape(2, 3, order="F"),
        "b": np.int8(3),
    }
    for protocol in (2, 4, 5):
        got = read_pickle(pickle.dumps(content, protocol))
        assert got["output_fps"] == pytest.approx(29.97)
        np.testing.assert_array_equal(got["a"], content["a"])
        assert got["b"] == 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"motion": []}, "no frames"), ({"motion": [{}]}, "no R"), ({"output_fps": 0}, "rate"),
        ({"c_eyes_lst": [np.zeros((1, 2), np.float32)]}, "1 entries for 4"), ({"motion": 3}, "no frames"),
        ({"motion": [{"R": np.zeros((2, 2), np.float32)}]}, "R of frame 0 does not contain 9 numbers"),
        ({"motion": ["R"]}, "not a table"), ({"output_fps": "1e999999999"}, "frame rate"),
        ({"output_fps": float("inf")}, "frame rate"), ({"output_fps": float("nan")}, "frame rate"),
        ({"output_fps": None}, "frame rate"), ({"output_fps": 10**60}, "frame rate"), ({"output_fps": [25]}, "rate"),
        ({"c_lip_lst": 5}, "not a usable"), ({"c_lip_lst": [np.full((1, 1), -3.0)] * 4}, "lip_ratio of frame 0"),
        ({"motion": [_frame(R=np.zeros((1, 3, 3)))]}, "not a rotation matrix"),
        ({"motion": [_frame(exp=np.full((1, 21, 3), 1e300))]}, "not finite"),
        ({"motion": [_frame(t=np.full((1, 3), np.nan))]}, "not finite"),
        ({"motion": [_frame(scale=np.zeros((1, 1)))]}, "scale of frame 0"),
        ({"motion": [_frame(scale=[[10**60]])]}, "scale of frame 0"),
        ({"motion": [_frame(scale="wide")]}, "scale of frame 0"),
    ],
)  # fmt: skip
def test_broken_official_templates_are_refused(tmp_path, change, words):
    path = tmp_path / "bad.pkl"
    path.write_bytes(pickle.dumps(_official() | change))
    with pytest.raises(ValueError, match=words):
        load_template(path)


def test_shipped_official_templates(shared):
    rates = {"d1": (16, 30, True), "d5": (148, 30, True), "laugh": (54, 25, False), "shake_face": (93, 20, False)}
    for name, (n, rate, ratios) in rates.items():
        template = load_template(shared / "data" / "templates" / f"{name}.pkl")
        assert (len(template), template.rate) == (n, rate)
        assert np.isfinite(template.motion.eye_ratio).all() == ratios
        np.testing.assert_allclose(np.linalg.det(template.motion.rotation), 1, atol=1e-3)


class _Call:
    """Pickles as a call."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def _raw(module: str, name: str, argument: str) -> bytes:
    """A protocol 0 pickle that calls module.name(argument)."""
    return f"c{module}\n{name}\n(V{argument}\ntR.".encode()


MARK = "pwned"
HARMFUL = {
    "os.system": lambda: pickle.dumps({"motion": _Call(os.system, f"touch {MARK}")}),
    "eval": lambda: pickle.dumps(_Call(eval, f"open('{MARK}','w')")),
    "exec": lambda: _raw("builtins", "exec", f"open('{MARK}','w')"),
    "python 2 name": lambda: _raw("__builtin__", "eval", f"open('{MARK}','w')"),
    "getattr chain": lambda: _raw("builtins", "getattr", "x"),
    "subprocess": lambda: _raw("subprocess", "getoutput", f"touch {MARK}"),
    "numpy load": lambda: _raw("numpy", "load", "x.npy"),
    "numpy fromfile": lambda: _raw("numpy", "fromfile", "/etc/passwd"),
    "numpy memmap": lambda: _raw("numpy", "memmap", "/etc/passwd"),
    "numpy runstring": lambda: _raw("numpy.testing._private.utils", "runstring", f"open('{MARK}','w')"),
    "numpy f2py": lambda: _raw("numpy.f2py.crackfortran", "myeval", f"open('{MARK}','w')"),
    "dotted name": lambda: pickle.dumps("x", 4)[:2]
    + b"\x8c\x05numpy\x8c\x0elib.npyio.load\x93\x8c\x01x\x85R.",
    "extension": lambda: b"\x80\x02\x82\x01.",
    "persistent": lambda: b"Pfile\n.",
    "object array": lambda: pickle.dumps(np.array([_Call(os.system, f"touch {MARK}")], object)),
    "other codec": lambda: _raw("_codecs", "encode", "x")[:-3] + b"Vzip\ntR.",
}  # fmt: skip


@pytest.mark.parametrize("kind", HARMFUL)
def test_harmful_pickles_are_refused_and_nothing_runs(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "evil.pkl"
    path.write_bytes(HARMFUL[kind]())
    with pytest.raises(ValueError, match=r"evil\.pkl"):
        load_template(path)
    assert not (tmp_path / MARK).exists()


@pytest.mark.parametrize(
    "state",
    [
        (1, (10**9,), False, b"1234"), (1, (-1,), False, b""), (1, (1,), True, b"12"), (1, ("x",), False, b"1234"),
        (1, (1,), False, [1]),
    ],
)  # fmt: skip
def test_arrays_that_lie_about_their_size_are_refused(state):
    version, shape, fortran, data = state
    assert read_pickle(pickle.dumps({"a": np.zeros(1, np.float32)}, 2))["a"].shape == (1,)

    class Liar:
        def __reduce__(self):
            kind = np.ndarray(0).__reduce__()
            return kind[0], kind[1], (version, shape, np.dtype("f4"), fortran, data)

    with pytest.raises(ValueError, match=r"refused|not a readable"):
        read_pickle(pickle.dumps({"a": Liar()}, 2))


def test_deep_nesting_is_refused():
    with pytest.raises(ValueError, match="the file"):
        read_pickle(b"]" * 100_000 + b"a" * 99_999 + b".")


def test_lists_that_hold_each_other_many_times_are_refused():
    layer = [0]
    for _ in range(7):
        layer = [layer] * 40
    with pytest.raises(ValueError, match="nested too deeply"):
        read_pickle(pickle.dumps({"motion": layer}))


def _doubled(times):
    """A tuple that holds the one before it twice, many times: to hash it takes 2**times steps."""
    return b"\x80\x04)" + b"\x940h\x00h\x00\x86" + b"".join(
        b"\x940h" + bytes([i]) + b"h" + bytes([i]) + b"\x86" for i in range(1, times)
    )  # fmt: skip


BOMBS = {
    "a key that takes for ever to hash": lambda: _doubled(40)[:-1] + b"\x86\x94}h\x28K\x01s.",
    "a key of a tuple": lambda: pickle.dumps({"motion": {(1, 2): 3}}),
    "a whole number of a million digits": lambda: (
        b"\x80\x04}X\x01\x00\x00\x00a\x8b" + (500_000).to_bytes(4, "little") + b"\x7f" * 500_000 + b"s."
    ),
    "a text number of a million digits": lambda: b"}V" + b"a\nL" + b"9" * 1_000_000 + b"L\ns.",
    "one text encoded again and again": lambda: _again(b"c_codecs\nencode\n", b"x" * (4 << 20), 100),
    "a list in itself": lambda: b"\x80\x04]\x94h\x00a.",
    "a set": lambda: pickle.dumps({"motion": {1, 2}}),
    "frozen set": lambda: pickle.dumps({"motion": frozenset({1})}),
    "duplicated values": lambda: b"\x80\x04]" + b"2" * 100 + b".",
    "a stack that is empty": lambda: b"\x80\x040.",
    "a mark that is not there": lambda: b"\x80\x04t.",
    "appended to a number": lambda: b"\x80\x04K\x01K\x02a.",
    "a state of a table": lambda: b"\x80\x04}}b.",
    "a call of a table": lambda: b"\x80\x04})R.",
    "memory that was never filled": lambda: b"\x80\x04h\x05.",
}


def test_steps_of_a_pickle_are_counted(monkeypatch):
    monkeypatch.setattr(official_pickle, "MAX_STEPS", 1000)
    with pytest.raises(ValueError, match="more than 1,000 steps"):
        read_pickle(b"\x80\x04" + b"N0" * 1000 + b".")


def _again(function, text, times):
    """A list of many results of one call."""
    out = b"\x80\x02](" + function + b"q\x00X" + len(text).to_bytes(4, "little") + text + b"q\x01X"
    out += (6).to_bytes(4, "little") + b"latin1" + b"\x86q\x02R"
    return out + b"h\x00h\x02R" * times + b"e."


@pytest.mark.parametrize("kind", BOMBS)
def test_pickles_that_want_time_or_memory_are_refused(kind):
    data = BOMBS[kind]()
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="the file") as error:
            read_pickle(data)
        assert tracemalloc.get_traced_memory()[1] < (350 << 20)
    finally:
        tracemalloc.stop()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("index", [2**31 - 1, 10**6])
def test_pickles_that_ask_for_memory_in_vain_are_refused(index):
    """One step of five bytes makes the standard reader fill gigabytes."""
    with pytest.raises(ValueError, match="memory"):
        read_pickle(b"\x80\x02}r" + index.to_bytes(4, "little") + b".")


def test_truncated_pickles_are_refused():
    data = pickle.dumps(_official())
    for cut in range(1, len(data), 97):
        with pytest.raises(ValueError, match="the file"):
            read_pickle(data[:cut])


def test_random_damage_never_ends_in_anything_but_a_sentence():
    rng = np.random.default_rng(0)
    data = bytearray(pickle.dumps(_official(2), 4))
    for _ in range(300):
        broken = bytearray(data)
        for at in rng.integers(0, len(data), 3):
            broken[at] = rng.integers(0, 256)
        try:
            read_pickle(bytes(broken))
        except ValueError as error:
            assert "\n" not in str(error)  # noqa: PT017 - damage may also leave a readable file
