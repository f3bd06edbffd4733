"""`animate landmarks` and --landmarks: a face placed by hand, from the first guess to the result."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from app.frames.scene import CLIP_HINT, CROP_CLIP_HINT, CROP_HINT, HINT
from app.media.images import read_image
from liveportrait.placed import HANDLES
from liveportrait.placed_file import read_placed


def test_the_way_from_no_face_to_a_result(run_cli: Callable, listing: Callable) -> None:
    refused = run_cli("in/empty_room.jpg", "in/other.jpg")
    assert refused.code == 3
    assert "starting with `animate landmarks PHOTO`" in refused.err
    begun = run_cli("landmarks", "in/empty_room.jpg")
    assert begun.code == 0, begun.err
    assert "Wrote empty_room.landmarks.json (no face was found, so it lies in the middle)." in begun.out
    line = begun.out.splitlines()[-1].partition("then run: animate ")[2]
    assert line == "in/empty_room.jpg DRIVING --landmarks empty_room.landmarks.json"
    done = run_cli(*line.replace("DRIVING", "in/other.jpg").split(), "--no-relative", "-o", "out.png")
    assert done.code == 0, done.err
    before, after = (np.asarray(read_image(Path(name)).rgb, int) for name in ("in/empty_room.jpg", "out.png"))
    assert np.abs(after - before).max() > 5
    assert listing() == ["empty_room.landmarks.json", "out.png"]


def test_a_face_that_is_found_is_the_first_guess(run_cli: Callable) -> None:
    found = run_cli("landmarks", "in/photo.jpg", "-o", "a.json")
    assert found.code == 0, found.err
    assert "(the face that was found)" in found.out
    placed = read_placed(Path("a.json"))
    assert (placed.width, placed.height) == (224, 224)
    assert run_cli("edit", "in/photo.jpg", "--lip-open", "0.9", "--landmarks", "a.json", "-o", "b.png", "-q").code == 0
    assert run_cli("edit", "in/photo.jpg", "--lip-open", "0.9", "-o", "c.png", "-q").code == 0
    by_hand, by_itself = (np.asarray(read_image(Path(name)).rgb, int) for name in ("b.png", "c.png"))
    assert np.abs(by_hand - by_itself).mean() < 2


def test_the_first_guess_lies_in_the_square(run_cli: Callable) -> None:
    done = run_cli("landmarks", "in/empty_room.jpg", "--crop", "60,70,80,20", "--json", "-o", "made/")
    assert done.code == 0, done.err
    result = json.loads(done.out.splitlines()[-1])
    assert result["guess"] == "middle"
    places = np.array(list(read_placed(Path(result["output"])).handles.values()))
    assert len(places) == len(HANDLES)
    assert (np.abs(places - [60, 70]) < 40).all()
    assert Path(result["output"]) == Path("made/empty_room.landmarks.json")


def test_handles_are_drawn_on_a_picture(run_cli: Callable, listing: Callable) -> None:
    assert run_cli("landmarks", "in/empty_room.jpg", "-q").code == 0
    done = run_cli("landmarks", "in/empty_room.jpg", "--landmarks", "empty_room.landmarks.json", "-o", "look.png")
    assert done.code == 0, done.err
    assert done.out == "Wrote look.png (the face of --landmarks).\n"
    look, room = (np.asarray(read_image(Path(name)).rgb, int) for name in ("look.png", "in/empty_room.jpg"))
    for x, y in read_placed(Path("empty_room.landmarks.json")).handles.values():
        assert look[round(y), round(x)].min() > 100
    assert 0.01 < (np.abs(look - room).max(2) > 20).mean() < 0.3
    assert listing() == ["empty_room.landmarks.json", "look.png"]
    again = run_cli("landmarks", "in/empty_room.jpg", "--landmarks", "empty_room.landmarks.json", "--overwrite")
    assert again.code == 2
    assert "empty_room.landmarks.json is an input" in again.err


def test_a_square_and_a_placed_face_go_together(run_cli: Callable) -> None:
    assert run_cli("landmarks", "in/empty_room.jpg", "-o", "a.json", "-q").code == 0
    done = run_cli(
        "edit", "in/empty_room.jpg", "--landmarks", "a.json", "--crop", "100,80,120", "--lip-open", "1", "-o", "a.png"
    )
    assert done.code == 0, done.err
    before, after = (np.asarray(read_image(Path(name)).rgb, int) for name in ("in/empty_room.jpg", "a.png"))
    changed = np.abs(after - before).max(2)
    assert changed.max() > 3
    assert changed[:, :39].max() == changed[:, 161:].max() == 0


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("in/photo.jpg", "in/other.jpg", "--landmarks", "none.json"), 1, "none.json can't be read: it does not exist"),
        (("in/photo.jpg", "in/other.jpg", "--landmarks", "in/text.jpg"), 2, "text.jpg can't be used: it is not JSON"),
        (("in/photo.jpg", "in/other.jpg", "--landmarks", "room.json"), 2, "made for an image of 200x160 pixels"),
        (("in/clip.mp4", "in/other.jpg", "--landmarks", "room.json"), 2, "in/clip.mp4 is a clip"),
        (("in/empty_room.jpg", "in/other.jpg", "--landmarks", "room.json", "-o", "room.json"), 2, "room.json"),
        (("in/empty_room.jpg", "in/other.jpg", "--landmarks", "room.json", "--driver-for", "1=in/other.jpg"), 2,
         "--landmarks sets the only one"),
        (("landmarks", "in/clip.mp4"), 2, "in/clip.mp4 is a clip"),
        (("landmarks", "in/empty_room.jpg", "-o", "room.json"), 2, "room.json already exists"),
        (("landmarks", "in/empty_room.jpg", "-o", "room"), 2, "no extension"),
        (("landmarks", "in/empty_room.jpg", "-o", "in/empty_room.jpg", "--overwrite"), 2, "is an input"),
        (("landmarks", "in/pair.jpg", "--face", "all"), 2, "one face is placed at a time"),
        (("landmarks", "in/pair.jpg", "--face", "7"), 2, "--face: in/pair.jpg: Face 7 does not exist"),
        (("landmarks", "missing.jpg"), 1, "missing.jpg"),
    ],
)  # fmt: skip
def test_what_can_not_be_is_said_in_one_sentence(
    run_cli: Callable, words: tuple[str, ...], code: int, said: str
) -> None:
    assert run_cli("landmarks", "in/empty_room.jpg", "-o", "room.json", "-q").code == 0
    before = Path("room.json").read_bytes()
    refused = run_cli(*words)
    assert refused.code == code, refused.err
    assert said in refused.err
    assert Path("room.json").read_bytes() == before


def test_no_hint_leads_in_a_circle() -> None:
    """Whoever finds no face is told of the one way that needs none; not to try what refused it."""
    for hint in (HINT, CROP_HINT):
        assert "landmarks" in hint
        assert "--crop" not in hint
        assert "--animals" not in hint
    for hint in (CLIP_HINT, CROP_CLIP_HINT):
        assert "photo" in hint


def test_the_window_names_its_own_way_to_place_a_face() -> None:
    from app.frames.scene import BY_HAND
    from app.gui.localize import IN_WINDOW

    assert "Crop and face" in IN_WINDOW[BY_HAND]
