"""The offline render pipeline: takes a job, returns a file and a report."""

from app.frames.resources import Resources
from app.frames.timings import StageTime
from app.render.job import Job, Plan
from app.render.pipeline import plan, render
from app.render.report import RenderReport

__all__ = ["Job", "Plan", "RenderReport", "Resources", "StageTime", "plan", "render"]
