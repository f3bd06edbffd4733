"""``python -m liveportrait.comfyui FOLDER``: make the nodes known to the ComfyUI in a folder."""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path
from typing import Final

NAME: Final = "portrait-animate"
CODE: Final = '''"""Nodes of the package portrait-animate, which must be installed in ComfyUI's Python."""

from liveportrait.comfyui import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
'''


def install(folder: Path) -> Path:
    """Write the custom node's folder, and a workflow beside it; files of another content stay.

    Args:
        folder: ComfyUI's folder.

    Raises:
        ValueError: It is not ComfyUI's folder, or something else is in the way.
    """
    nodes = folder / "custom_nodes"
    if not nodes.is_dir():
        raise ValueError(f"{folder} is not ComfyUI's folder: it has no custom_nodes.")
    own = nodes / NAME
    target = own / "__init__.py"
    if target.exists() and target.read_text("utf-8") != CODE:
        raise ValueError(f"{target} is not ours. Remove it first.")
    own.mkdir(exist_ok=True)
    target.write_text(CODE, "utf-8")
    workflow = (files("liveportrait.comfyui") / "workflow.json").read_text("utf-8")
    examples = own / "example_workflows"
    examples.mkdir(exist_ok=True)
    (examples / "portrait.json").write_text(workflow, "utf-8")
    return own


def main() -> int:
    """Run it: 0, or 2 with a sentence."""
    if len(sys.argv) != 2:
        sys.stderr.write("Usage: python -m liveportrait.comfyui FOLDER (ComfyUI's folder)\n")
        return 2
    try:
        own = install(Path(sys.argv[1]))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    sys.stdout.write(f"{own} is ready. Start ComfyUI again and open example_workflows/portrait.json in it.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
