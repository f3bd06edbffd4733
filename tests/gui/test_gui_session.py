"""Session and history: changes, undo, storage. No window."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from app.errors import UsageError
from app.gui.session import (
    Driver,
    History,
    PortraitItem,
    Session,
    first_session,
    panel_live_options,
    panel_options,
)  # fmt: skip
from app.live_options import live_options
from app.options import all_options, find_option
from liveportrait.expression import SLIDERS, Expression


def test_undo_and_redo_go_step_by_step() -> None:
    history = History(Session())
    history.push(history.session.with_slider("smile", 0.5), "smile")
    history.push(history.session.with_value("region", "lip"), "region")
    assert history.undo_text == "region"
    assert history.undo() == Session().with_slider("smile", 0.5)
    assert history.undo() == Session()
    assert history.undo() == Session()
    assert (history.undo_text, history.redo_text) == ("", "smile")
    history.redo()
    assert history.redo().value("region") == "lip"
    history.undo()
    history.push(history.session.with_slider("yaw", 3), "yaw")
    assert history.redo_text == ""


def test_a_drag_is_one_step_and_a_later_one_another() -> None:
    now = [0.0]
    history = History(Session(), clock=lambda: now[0])
    for value in (0.1, 0.2, 0.3):
        now[0] += 0.05
        history.push(history.session.with_slider("smile", value), "smile", "slider smile")
    now[0] += 5
    history.push(history.session.with_slider("smile", 0.9), "smile", "slider smile")
    assert history.undo().sliders == {"smile": 0.3}
    assert history.undo() == Session()
    assert not history.push(Session(), "nothing")


def test_history_keeps_only_so_many_steps() -> None:
    history = History(Session(), limit=3)
    for value in range(1, 9):
        history.push(history.session.with_slider("yaw", value), f"{value}")
    for _ in range(9):
        history.undo()
    assert history.session.sliders == {"yaw": 5.0}


def test_values_are_checked_and_defaults_are_not_kept() -> None:
    session = Session().with_value("multiplier", 1.5)
    assert session.options().animation.multiplier == 1.5
    assert session.with_value("multiplier", 1.0).values == {}
    with pytest.raises(UsageError, match="multiplier"):
        session.with_value("multiplier", 17)
    with pytest.raises(UsageError, match="picture_size"):
        session.with_live("picture_size", -1)
    assert session.with_live("mirror", False).live_options.mirror is False
    assert Session().with_slider("smile", 99).sliders["smile"] == SLIDERS["smile"].maximum
    assert Session().with_slider("smile", 0.5).with_slider("smile", 0.0) == Session()


def test_face_and_crop_belong_to_their_portrait() -> None:
    session = Session((PortraitItem("a"), PortraitItem("b"))).with_value("crop", "10,20,300")
    assert session.options().input.crop == "10,20,300"
    assert session.with_current(1).options().input.crop == ""
    assert session.values == {}


def test_shelf() -> None:
    session = Session().with_portraits(["a", "b"]).with_portraits(["c", "a"])
    assert [item.path for item in session.portraits] == ["a", "b", "c"]
    assert session.portrait == PortraitItem("c")
    assert session.with_current(3).current == 0
    assert session.without_portrait(0).portrait == PortraitItem("c")
    assert session.without_portrait(2).portrait == PortraitItem("b")
    assert Session().with_current(1) == Session()
    assert Session((PortraitItem("a"),)).without_portrait(0).portrait is None


def test_expression_goes_in_and_out() -> None:
    expression = Expression({"smile": 0.5, "yaw": 4.0}, (0.1, None), 0.2)
    session = Session().with_slider("brow", 1).with_expression(expression)
    assert session.expression == expression
    assert Session().expression == Expression({})


def test_session_survives_storage(tmp_path: Path) -> None:
    photo = tmp_path / "a.jpg"
    photo.touch()
    session = Session((PortraitItem.of(str(photo), face="left", crop="1,2,30"),), driver=Driver("camera", "Cam"))
    session = session.with_value("region", "lip").with_slider("yaw", 7).with_opening("lips", 0.1)
    session = session.with_live("vcam_rate", 25.0)
    assert Session.from_dict(json.loads(json.dumps(session.to_dict()))) == session
    photo.unlink()
    assert Session.from_dict(session.to_dict()).portraits == ()


@pytest.mark.parametrize(
    "data",
    [None, 3, [], {}, {"schema_version": 99}, {"schema_version": 1, "values": {"nonsense": 1, "multiplier": "x"}},
     {"schema_version": 1, "sliders": {"smile": "wide", "none": 1}, "portraits": [1, {"path": 3}], "current": -4},
     {"schema_version": 1, "driver": {"kind": "rocket"}, "live": {"vcam_fit": "?", "no": 1}, "lips": True}],
)  # fmt: skip
def test_what_does_not_fit_is_left_out(data: object) -> None:
    assert Session.from_dict(data) == Session()


def test_first_session_is_the_sample() -> None:
    session = first_session()
    assert session.portrait is not None
    assert Path(session.portrait.path).is_file()
    assert Path(session.driver.source).is_file()


def test_every_option_has_its_place() -> None:
    asked_elsewhere = {"output", "overwrite", "json_lines", "quiet", "engine", "device", "face", "crop"}
    asked_elsewhere |= {
        "points",
        "landmarks",
        "sliders",
        "expression",
        "pose_from",
        "exp_from",
        "lips_from",
        "eyes_from",
        "driver_for",
        "signing_cert",
        "signing_key",
        "idle",
    }
    assert set(panel_options()) | asked_elsewhere == {info.name for info in all_options()}
    assert set(panel_live_options()) | {"camera", "mirror", "vcam", "record", "stream"} == {
        o.name for o in live_options()
    }


def test_presets_leave_run_options_alone() -> None:
    session = Session((PortraitItem.of("a", crop="1,2,30"),)).with_value("overwrite", True).with_value("region", "lip")
    other = session.with_values({"multiplier": 2.0, "output": "x.mp4"})
    assert other.values == {"overwrite": True, "multiplier": 2.0}
    assert other.value("crop") == "1,2,30"
    assert replace(session, values={}).value("region") == find_option("region").default
