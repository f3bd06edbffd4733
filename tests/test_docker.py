"""The files for Docker, as far as they can be checked without it."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FILES = ROOT / "tools" / "docker"


def test_the_image_copies_what_exists_and_is_not_ignored() -> None:
    text = (FILES / "Dockerfile").read_text("utf-8")
    kept = {line[1:] for line in (FILES / "Dockerfile.dockerignore").read_text("utf-8").splitlines() if line[0] == "!"}
    for line in re.findall(r"^COPY (?!--from)(.+)", text, re.MULTILINE):
        *sources, _ = line.split()
        for source in sources:
            assert (ROOT / source).exists(), source
            assert source.split("/")[0] in kept, source
    built = (ROOT / "pyproject.toml").read_text("utf-8").split("[tool.hatch.build.targets.wheel]")[1].splitlines()[1]
    for part in re.findall(r'"([^"]+)"', built):
        assert re.search(rf"^COPY .*\b{re.escape(part)}\b", text, re.MULTILINE), part


def test_the_image_runs_as_a_user_and_tells_its_health() -> None:
    text = (FILES / "Dockerfile").read_text("utf-8")
    assert text.index("USER animate") < text.index("ENTRYPOINT")
    assert "HEALTHCHECK" in text
    compose = (FILES / "compose.yaml").read_text("utf-8")
    assert '"127.0.0.1:8765:8765"' in compose
    assert "PORTRAIT_ANIMATE_TOKEN:?" in compose  # no server without a token
