"""Generate documentation from the code: docs/options.md, and tables in docs/live.md and docs/tracking.md."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from app.live_options import live_options  # noqa: E402
from app.options import RUN_ONLY, options_table  # noqa: E402
from app.presets import BUILT_IN, SCHEMA_VERSION  # noqa: E402
from liveportrait.blendshapes import ARKIT, PRESETS, UNUSED  # noqa: E402

HEAD = """# Options

Every option has one name: it is the flag `--NAME` on the command line (with dashes) and `NAME` (with underscores) in
presets, job files and the user's own file. This page is written by `tools/make_docs.py` from the declarations in
`app/options.py` and `liveportrait/options.py`.

## Where values come from

The first of these that names an option wins: the command line, the file of `--config`, the preset of `--preset`, the
user's own file, the default. `animate SOURCE DRIVING --print-config` prints every option with its value and where it
comes from; what it prints is a valid file.

Files are TOML or JSON:

    schema_version = {version}
    preset = "calm"             # optional: build on a preset

    [options]
    multiplier = 0.9
    quality = 90

The user's own file is `config.toml` in the settings folder that `animate doctor` names, own presets are
`presets/NAME.toml` beside it. The environment variable `PORTRAIT_ANIMATE_CONFIG` names another folder. A preset can't
hold what belongs to a single run:
{run_only}.

## Built-in presets

| name | meaning | values |
| --- | --- | --- |
{presets}

"""


def options_page() -> str:
    """The text of docs/options.md."""
    presets = "\n".join(
        f"| `{name}` | {text} | {', '.join(f'`{k} = {str(v).lower()}`' for k, v in values.items())} |"
        for name, (text, values) in BUILT_IN.items()
    )
    run_only = ", ".join(f"`{name}`" for name in sorted(RUN_ONLY))
    return HEAD.format(version=SCHEMA_VERSION, presets=presets, run_only=run_only) + options_table()


SHAPES = ("<!-- shapes: written by tools/make_docs.py -->\n", "<!-- end of shapes -->")


def shapes_table() -> str:
    """Table of the blend shapes and what they move, as Markdown."""
    lines = ["| shape | sliders at its full weight |", "| --- | --- |"]
    for name, effect in (*ARKIT.items(), *PRESETS.items()):
        moved = ", ".join(f"`{slider}` {amount:+g}" for slider, amount in effect.items())
        lines.append(f"| {name} | {moved or (f'unused: {UNUSED[name]}' if name in UNUSED else 'rest')} |")
    return "\n".join(lines) + "\n"


def tracking_page(text: str) -> str:
    """The text of docs/tracking.md with the table as it is now."""
    start, end = text.index(SHAPES[0]) + len(SHAPES[0]), text.index(SHAPES[1])
    return text[:start] + "\n" + shapes_table() + "\n" + text[end:]


def live_page(text: str) -> str:
    """The text of docs/live.md with the tables of options, its last section, as they are now."""
    return text[: text.index("### Camera")] + options_table(live_options()).replace("## ", "### ")


def main() -> None:
    """Write the pages."""
    page = ROOT / "docs" / "options.md"
    page.write_text(options_page(), encoding="utf-8")
    live = ROOT / "docs" / "live.md"
    live.write_text(live_page(live.read_text(encoding="utf-8")), encoding="utf-8")
    tracking = ROOT / "docs" / "tracking.md"
    tracking.write_text(tracking_page(tracking.read_text(encoding="utf-8")), encoding="utf-8")
    print(page, tracking)


if __name__ == "__main__":
    main()
