"""The offline render pipeline: a job in, a file and a report out."""

from app.frames.resources import Parts
from app.frames.timings import StageTime
from app.render.job import Job, Plan
from app.render.pipeline import plan, render
from app.render.report import RenderReport

__all__ = ["Job", "Parts", "Plan", "RenderReport", "StageTime", "plan", "render"]
