"""Nodes for ComfyUI: portraits, motion, expressions, and animated images as IMAGE batches.

ComfyUI finds them through a folder below its ``custom_nodes``, which ``python -m liveportrait.comfyui FOLDER`` makes
(docs/comfyui.md). They use this package and ``models`` only: ComfyUI has a package ``app`` of its own.
"""

from liveportrait.comfyui.nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
