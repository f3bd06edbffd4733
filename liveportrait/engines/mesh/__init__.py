"""The embedded mesh engine."""

from liveportrait.engines.mesh.engine import MeshEngine

__all__ = ["MeshEngine"]
