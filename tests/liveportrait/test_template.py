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

from liveportrait.motion import rotation_from_euler
from liveportrait.official_pickle import read_pickle
from liveportrait.template import MotionTemplate, TemplateWriter, is_template, load_template, save_template

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
    with TemplateWriter(tmp_path / "gap.motion", Fraction(25)) as writer:
        for i, one in enumerate([None, motion[0], None, motion[1]]):
            writer.append(Fraction(i, 25), one)
        writer.close(1)
    template = load_template(tmp_path / "gap.motion")
    assert template.found.tolist() == [False, True, False, True]
    for i, source in enumerate([0, 0, 0, 1]):
        np.testing.assert_array_equal(template.motion.delta[i], motion.delta[source])


def test_writing_a_long_template_takes_no_more_memory(tmp_path):
    frame = still_motion(1, 478)

    def peak(n):
        tracemalloc.start()
        with TemplateWriter(tmp_path / f"{n}.motion", Fraction(25)) as writer:
            for i in range(n):
                writer.append(Fraction(i, 25), frame)
            writer.close()
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    short, long = peak(150), peak(1500)
    assert (tmp_path / "1500.motion").stat().st_size > 8_000_000
    assert long < short + 1_000_000


def test_reading_maps_the_file_instead_of_loading_it(tmp_path):
    path = save_template(tmp_path / "m.motion", _template())
    assert isinstance(load_template(path).motion.delta, np.memmap)


def test_nothing_is_left_behind_when_writing_stops(tmp_path):
    with TemplateWriter(tmp_path / "x.motion", Fraction(25)) as writer:
        writer.append(Fraction(0), still_motion(1))
    assert list(tmp_path.iterdir()) == []


def test_writer_refuses_what_makes_no_template(tmp_path):
    with pytest.raises(ValueError, match="positive"):
        TemplateWriter(tmp_path / "x.motion", Fraction(0))
    with TemplateWriter(tmp_path / "x.motion", Fraction(25)) as writer:
        writer.append(Fraction(0), None)
        with pytest.raises(ValueError, match="not later"):
            writer.append(Fraction(0), None)
        with pytest.raises(ValueError, match="no frame with a face"):
            writer.close()
    with TemplateWriter(tmp_path / "x.motion", Fraction(25)) as writer:
        writer.append(Fraction(0), still_motion(1))
        with pytest.raises(ValueError, match="one engine"):
            writer.append(Fraction(1), still_motion(1, 478))
        with pytest.raises(ValueError, match="reference frame 4"):
            writer.close(4)


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


@pytest.mark.parametrize(
    ("member", "change", "words"),
    [
        ("header.json", _header(version=9), "newer format version 9"),
        ("header.json", _header(format="other"), "not that of a motion template"),
        ("header.json", _header(frames=6), "shape"),
        ("header.json", _header(keypoints=20), "delta has the shape"),
        ("header.json", _header(reference=7), "reference frame 7"),
        ("header.json", _header(rate="0"), "rate 0"),
        ("header.json", _header(rate="1/0"), "not a usable"),
        ("header.json", lambda _: b"{", "not a usable"),
        ("delta.npy", lambda _: None, "delta"),
        ("delta.npy", lambda data: data[:-4], "damaged"),
        ("delta.npy", lambda _: _npy(np.array([{}], object)), "damaged"),
        ("scale.npy", lambda _: _npy(-np.ones((5, 1), np.float32)), "positive"),
        ("rotation.npy", lambda _: _npy(np.full((5, 3, 3), np.nan, np.float32)), "not finite"),
    ],
)
def test_damaged_files_are_refused_in_one_sentence(tmp_path, member, change, words):
    path = _rewritten(save_template(tmp_path / "t.motion", _template()), member, change)
    with pytest.raises(ValueError, match=words) as error:
        load_template(path)
    assert "t.motion" in str(error.value)
    assert "\n" not in str(error.value)


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
        ({"motion": [{"R": np.zeros((2, 2), np.float32)}]}, "not a usable"),
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
