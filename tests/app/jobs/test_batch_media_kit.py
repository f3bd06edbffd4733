"""The broken files of the media kit among good ones: each fails alone with its line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from app.jobs import Entry, Queue, run_workers
from app.media.reader import open_clip

GOOD = ("ntsc.mp4", "rotated_90.mp4", "alpha.png")
VOICE = "sound_only.mp4"  # drives by its sound


@pytest.mark.slow
def test_broken_files_fail_alone(queue: Queue, work: Path, shared: Path, tmp_path: Path) -> None:
    kit = tmp_path / "kit"
    subprocess.run([sys.executable, str(shared / "eval" / "make_media.py"), str(kit)], check=True, capture_output=True)
    files = json.loads((kit / "manifest.json").read_text(encoding="utf-8"))["files"]
    chosen = [one for one in files if one["expect"] != "ok" or one["file"] in GOOD]
    drives = [one["kind"] in ("video", "broken") and not one["file"].endswith(".jpg") for one in chosen]
    entries = []
    for index, (one, drive) in enumerate(zip(chosen, drives, strict=True)):
        pair = (
            (work / "in" / "photo.jpg", kit / one["file"]) if drive else (kit / one["file"], work / "in" / "slow.mp4")
        )
        entries.append(Entry(*pair, str(work / "out" / f"{index}.mp4"), {"engine": "mesh"}))
    queue.add(entries, "kit")
    summary = run_workers(queue, batch="kit", workers=2)
    assert len(summary.jobs) == len(chosen) > 12
    for job, one in zip(summary.jobs, chosen, strict=True):
        name, expected = one["file"], "ok" if one["file"] == VOICE else one["expect"]
        assert "Internal error" not in job.error, name
        assert "\n" not in job.error, name
        assert job.attempts == 1, name
        if expected == "ok":
            assert (job.state, job.error) == ("done", ""), name
        elif expected != "either":
            assert job.state == "failed", name
            assert name in job.error
        assert Path(job.output).exists() == (job.state == "done")
        if job.state == "done":
            with open_clip(Path(job.output)) as clip:
                assert sum(1 for _ in clip) == job.frames
    assert summary.count("failed") >= 9
    assert summary.counters["loaded"] <= 2
    assert [path.name for path in (work / "out").iterdir() if path.name.startswith(".")] == []
