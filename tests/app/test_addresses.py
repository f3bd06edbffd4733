"""Names of files as they are typed: file:// addresses, other addresses, and names that no output may have."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.addresses import local_name, local_path
from app.errors import UsageError
from app.media.outnames import check_name, check_plain, marks, special
from app.option_info import OptionInfo
from app.options import find_option
from app.render.job import stem_of


@pytest.mark.parametrize(
    ("typed", "path"),
    [
        ("file:///a/b%20c.mp4", "/a/b c.mp4"),
        ("FILE://localhost/a/%C3%A4%23.mp4", "/a/\u00e4#.mp4"),
        ("file:/a/x.jpg", "/a/x.jpg"),
        ("file:///a/shot-%05d.png", "/a/shot-%05d.png"),
        ("file:///a/100%.png", "/a/100%.png"),
        ("file:///a/%ff.png", "/a/\udcff.png"),
        ("clip:1.mp4", "clip:1.mp4"),
        ("C:\\a.mp4", "C:\\a.mp4"),
        ("data:1.mp4", "data:1.mp4"),
        ("-", "-"),
    ],
)
def test_names_become_paths(typed: str, path: str) -> None:
    assert local_name(typed, windows=False) == path


@pytest.mark.parametrize(
    ("typed", "path"),
    [
        ("file:///C:/a/b%20c.mp4", "C:\\a\\b c.mp4"),
        ("file://C:/a.mp4", "C:\\a.mp4"),
        ("file:///C|/a.mp4", "C:\\a.mp4"),
        ("file:C:/a.mp4", "C:\\a.mp4"),
        ("file://server/share/a.mp4", "\\\\server\\share\\a.mp4"),
    ],
)
def test_names_become_paths_on_windows(typed: str, path: str) -> None:
    assert local_name(typed, windows=True) == path


@pytest.mark.parametrize(
    "typed",
    ["http://a/b.jpg", "HTTPS://a/b.jpg", "rtsp://c:8/1", "s3://b/x.mp4", "data:image/png;base64,AA", "data:,x",
     "x-y.z+1://q"],
)  # fmt: skip
def test_other_addresses_are_refused_as_typed(typed: str) -> None:
    with pytest.raises(UsageError) as refused:
        local_name(typed, "--camera")
    assert str(refused.value).startswith(f"--camera: {typed} is a URL")


def test_an_address_that_became_a_path_is_shown_as_typed() -> None:
    with pytest.raises(UsageError, match=r"^https://a/b\.jpg is a URL"):
        local_path(Path("https://a/b.jpg"))
    with pytest.raises(UsageError, match="another machine, server"):
        local_name("file://server/a.mp4", windows=False)
    with pytest.raises(UsageError) as long:
        local_name("data:image/png;base64," + "A" * 5000)
    assert len(str(long.value)) < 400


@pytest.mark.parametrize("name", ["pose_from", "points", "expression", "detector"])
def test_options_take_file_addresses(name: str, tmp_path: Path) -> None:
    info: OptionInfo = find_option(name)
    place = tmp_path / "a b.onnx"
    assert info.check(place.as_uri()) == str(place)
    with pytest.raises(UsageError, match=r"https://a/b\.onnx is a URL"):
        info.check("https://a/b.onnx")


def test_every_driver_of_a_face_may_be_a_file_address(tmp_path: Path) -> None:
    info = find_option("driver_for")
    assert info.check([f"left={(tmp_path / 'a b.mp4').as_uri()}", "2=c.mp4"]) == f"left={tmp_path / 'a b.mp4'}\n2=c.mp4"
    with pytest.raises(UsageError, match="standard input"):
        info.check(["left=-"])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a\0b.mp4", "NUL"),
        ("x" * 256 + ".mp4", "longer than file systems allow"),
        ("a%0999999999d.png", "9 digits"),
        ("a%" + "9" * 5000 + "d.png", "9 digits|longer"),
        ("a%010d.png", "9 digits"),
        ("s3://bucket/x.mp4", "^--output: s3://bucket/x.mp4 is a URL"),
    ],
)
def test_names_that_no_output_may_have(name: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        check_name(Path(name), windows=False)


@pytest.mark.parametrize("name", ["con.mp4", "a/NUL", "lpt1.png", "a?.mp4", "a:b.mp4"])
def test_names_that_windows_does_not_take(name: str) -> None:
    check_name(Path(name), windows=False)
    with pytest.raises(UsageError, match="Windows"):
        check_name(Path(name), windows=True)


def test_usual_names_are_fine() -> None:
    for name in ("a.mp4", ".hidden.mp4", "\u00e4 b'c.mp4", "%05d.png", "%d.png", "x" * 250 + ".mp4", "100%.mp4"):
        check_name(Path(name), windows=False)


@pytest.mark.skipif(os.name == "nt", reason="no pipes among the files of Windows")
def test_pipes_devices_and_links_are_told(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "there.mp4").write_bytes(b"1")
    (tmp_path / "folder").mkdir()
    for name, target in (("link.mp4", "there.mp4"), ("dangling.mp4", "nowhere"), ("into", "folder")):
        (tmp_path / name).symlink_to(tmp_path / target)
    assert special(tmp_path / "pipe.mp4") == "a pipe"
    assert special(Path(os.devnull)) == "a device"
    assert special(tmp_path / "dangling.mp4").endswith("nowhere, which does not exist")
    for name in ("pipe.mp4", "link.mp4", "dangling.mp4"):
        with pytest.raises(UsageError, match=name):
            check_plain(tmp_path / name)
    for name in ("there.mp4", "folder", "into", "free.mp4"):
        check_plain(tmp_path / name)


def test_a_file_is_known_by_all_its_names(tmp_path: Path) -> None:
    first, second = tmp_path / "a.mp4", tmp_path / "b.mp4"
    first.write_bytes(b"1")
    os.link(first, second)
    (tmp_path / "c.mp4").write_bytes(b"1")
    assert marks(first) & marks(second)
    assert not marks(first) & marks(tmp_path / "c.mp4")
    assert marks(tmp_path / "none") == set()


def test_the_result_of_a_hidden_file_is_not_hidden() -> None:
    assert stem_of(Path(".face.jpg")) == "face"
    assert stem_of(Path("..jpg")) == "jpg"
    assert stem_of(Path("face.jpg")) == "face"


@pytest.mark.parametrize("text", ["x" * 4000, "file:///" + "y" * 300, "a/" * 3000 + "b.jpg", "\u00e9" * 200])
def test_names_longer_than_any_file_s(text: str) -> None:
    with pytest.raises(UsageError, match=r"^SOURCE: .{60}\.\.\. is longer than the name of a file can be"):
        local_name(text, "SOURCE")


def test_long_names_that_can_be() -> None:
    assert local_name("x" * 255) == "x" * 255
    assert local_name("a/" * 2000) == "a/" * 2000
