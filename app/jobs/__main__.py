"""Start a worker process (app.jobs.worker), or with "run" a process with its own workers (app.jobs.runner)."""

import sys

from app import loading
from app.jobs.runner import main

loading.leave(main(sys.argv[1:]))
