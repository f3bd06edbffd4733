"""Many jobs: job files, a queue on disk, workers, clusters.

from app.jobs import Queue, make_jobs, run_workers

with Queue() as queue:
    queue.add(make_jobs(["in/*.jpg"], ["clips/*.mp4"], {"output": "out/"}), batch="night")
    summary = run_workers(queue, batch="night")
"""

from app.jobs.queue import Added, Queue
from app.jobs.record import JobRecord
from app.jobs.rows import STATES, State
from app.jobs.run import Summary, run_workers
from app.jobs.spec import Entry, make_jobs, read_jobs

__all__ = [
    "STATES",
    "Added",
    "Entry",
    "JobRecord",
    "Queue",
    "State",
    "Summary",
    "make_jobs",
    "read_jobs",
    "run_workers",
]
