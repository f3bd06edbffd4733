"""Render without a driver, for the window. No Qt."""

from app.render.edit import render_pose

__all__ = ["render_pose"]
