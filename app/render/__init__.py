"""The offline render pipeline: a job in, a file and a report out."""

from app.render.job import Job, Plan
from app.render.parts import Parts
from app.render.pipeline import plan, render
from app.render.report import RenderReport
from app.render.timings import StageTime

__all__ = ["Job", "Parts", "Plan", "RenderReport", "StageTime", "plan", "render"]
