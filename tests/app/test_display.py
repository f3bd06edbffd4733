"""What Qt needs of the system, with a loader and a PATH of the test's own."""

import os
from pathlib import Path

import pytest

from app import display, doctor
from app.errors import MissingError
from app.gui import main as gui_main


def test_all_missing_libraries_are_named_at_once() -> None:
    def load(name: str) -> None:
        if name in ("libEGL.so.1", "libxcb-icccm.so.4", "libxcb-shm.so.0", "libxcb-xkb.so.1"):
            raise OSError(name)

    missing = display.missing_libraries(load=load, platform="linux")
    assert missing == ["libEGL.so.1", "libxcb-icccm.so.4", "libxcb-shm.so.0", "libxcb-xkb.so.1"]
    command = display.packages_command(missing)
    assert "apt install libegl1 libxcb-icccm4 libxcb-shm0 libxcb-xkb1 (" in command
    assert "dnf install libglvnd-egl xcb-util-wm libxcb (" in command
    assert display.missing_libraries(x11=False, load=load, platform="linux") == ["libEGL.so.1"]
    assert display.missing_libraries(load=load, platform="darwin") == []


def test_window_is_refused_with_the_whole_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gui_main, "missing_libraries", lambda x11: ["libEGL.so.1", "libGL.so.1"])
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    with pytest.raises(MissingError, match=r"libEGL\.so\.1, libGL\.so\.1") as caught:
        gui_main.check_display()
    assert "apt install libegl1 libgl1 " in caught.value.hint


def test_doctor_has_rows_for_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.sys, "platform", "linux")
    monkeypatch.setattr(display, "needs_display", lambda: True)
    monkeypatch.setattr(display, "missing_libraries", lambda: ["libxcb-cursor.so.0"])
    for name in display.DISPLAYS:
        monkeypatch.delenv(name, raising=False)
    rows = {row.name: row for row in doctor._window()}
    assert (rows["display"].status, rows["Qt libraries"].status) == ("missing", "missing")
    assert "libxcb-cursor0" in rows["Qt libraries"].hint


@pytest.mark.skipif(os.name == "nt", reason="programs have endings there")
def test_another_animate_on_the_path(tmp_path: Path) -> None:
    for name in ("ours", "theirs"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "animate").touch(mode=0o755)
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    assert display.other_animate(ours, f"{theirs}{os.pathsep}{ours}") == str(theirs / "animate")
    assert display.other_animate(ours, f"{ours}{os.pathsep}{theirs}") == ""
    assert display.other_animate(ours, str(ours)) == ""
