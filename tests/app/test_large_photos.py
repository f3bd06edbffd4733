"""Photos larger than a clip can be, and the memory that large ones take."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from app.errors import UsageError
from app.events import CancelToken, EventStream
from app.frames.shrink import Shrink
from app.media.images import read_image, write_image
from app.media.reader import open_clip
from app.options import RenderOptions
from app.render import Job, render
from app.render.inputs import Inputs
from liveportrait.crop import Crop
from models.face import Face

SAMPLE = Path(__file__).resolve().parents[2] / "assets" / "sample"
LARGEST = 740 << 10  # kilobytes that a clip of a photo of 12 megapixels may take


def job(output: str, photo: Path | str = "in/photo.jpg", **values: object) -> Job:
    options = {"output": output, "quality": 100, "audio": "none", "smooth": 0, **values}
    return Job(Path(photo), Path("in/clip.mp4"), RenderOptions.from_values(options))


@pytest.fixture
def small_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clips that may have sides of 140 pixels: the photo has 224x224."""
    monkeypatch.setattr("app.media.limits.CLIP_SIDE", 140)


@pytest.mark.usefixtures("here", "small_clips")
@pytest.mark.parametrize("how", [{}, {"crop": "112,100,180"}, {"face": "110,90"}, {"max_side": 200}])
def test_a_photo_larger_than_a_clip_is_brought_to_its_size(how: dict[str, object]) -> None:
    report = render(job("out.mp4", **how))
    assert report.size == (140, 140)
    assert any(note.startswith("in/photo.jpg is 224x224, and a clip can have at most") for note in report.notes)
    photo = cv2.resize(read_image(Path("in/photo.jpg")).rgb, (140, 140), interpolation=cv2.INTER_AREA)
    with open_clip(Path("out.mp4")) as clip:
        first = next(iter(clip)).rgb
    assert np.abs(first[:20].astype(int) - photo[:20]).mean() < 3, "the border stands where it was"


@pytest.mark.usefixtures("here", "small_clips")
def test_pictures_may_be_larger_than_clips() -> None:
    assert render(job("out-%02d.png")).size == (224, 224)
    assert render(job("small.mp4", max_side=120)).size == (120, 120)
    with pytest.raises(UsageError, match=r"^--size: 224x224 is too large; a clip can have at most"):
        render(job("out.mp4", size="224x224"))


@pytest.mark.usefixtures("here")
def test_a_comparison_larger_than_a_clip_is_refused_with_a_size_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.media.limits.CLIP_SIDE", 500)
    with pytest.raises(UsageError, match=r"^--side-by-side: the comparison would be 672x224") as caught:
        render(job("out.mp4", side_by_side=True))
    assert caught.value.hint == "Add --max-side 166, or leave the comparison out."
    assert render(job("out.mp4", side_by_side=True, max_side=166)).size == (166, 166)


@pytest.mark.usefixtures("here", "small_clips")
def test_faces_and_squares_are_found_on_the_whole_photo() -> None:
    with Inputs(job("out.mp4"), EventStream(), CancelToken()) as reduced:
        assert reduced.still is not None
        assert reduced.still.face is not None
        found = reduced.still.face
    with Inputs(job("out.gif"), EventStream(), CancelToken()) as full:
        assert full.still is not None
        assert full.still.face is not None
        whole = full.still.face
    assert found.face is not None
    assert whole.face is not None
    np.testing.assert_allclose(found.face.centre, (whole.face.centre + 0.5) * 140 / 224 - 0.5, atol=0.01)
    assert found.face.size == pytest.approx(whole.face.size * 140 / 224, abs=0.02)


def test_shrinking_keeps_points_on_their_pixels() -> None:
    picture = np.zeros((90, 120, 3), np.uint8)
    picture[30:60, 40:80] = 255
    shrink = Shrink(picture.shape, (60, 45))
    small = shrink.picture(picture)
    assert small.shape == (45, 60, 3)
    face = Face(np.array([[39.5, 29.5, 4], [79.5, 59.5, 4]], np.float32))
    np.testing.assert_allclose(shrink.faces([face])[0].points, [[19.5, 14.5, 2], [39.5, 29.5, 2]], atol=1e-5)
    crop = shrink.crop(Crop.from_box(59.5, 44.5, 60, 10, size=64))
    assert crop is not None
    assert (crop.size, crop.box.x, crop.box.y) == (64, pytest.approx(29.5, abs=0.01), pytest.approx(22, abs=0.01))
    assert crop.box.size == pytest.approx(30)
    same = Shrink(picture.shape, None)
    assert same.picture(picture) is picture
    assert same.crop(None) is None


@pytest.mark.skipif(sys.platform != "linux", reason="the size of a process is in other units")
def test_a_clip_of_twelve_megapixels_fits_into_memory(tmp_path: Path) -> None:
    """The size of the largest process, ours left out, at the end of a clip longer than the encoder's delay."""
    photo = cv2.resize(read_image(SAMPLE / "portrait.jpg").rgb, (3000, 4000), interpolation=cv2.INTER_CUBIC)
    write_image(tmp_path / "photo.jpg", photo)
    command = [
        sys.executable, "-m", "app.cli.main", str(tmp_path / "photo.jpg"), str(SAMPLE / "driving.mp4"), "--duration",
        "0.32", "--quiet", "--engine", "mesh", "-o", str(tmp_path / "out.mp4"),
    ]  # fmt: skip
    script = (
        f"import resource, subprocess; subprocess.run({command!r}, check=True); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(run.stdout.split()[-1]) < LARGEST
    with open_clip(tmp_path / "out.mp4") as clip:
        assert (clip.info.width, clip.info.height, clip.info.frames) == (3000, 4000, 8)
