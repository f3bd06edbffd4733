"""Starts a worker process (app.jobs.worker), or with "run" a process that has workers of its own (app.jobs.runner)."""

import sys

if sys.argv[1:2] == ["run"]:
    from app.jobs.runner import main
else:
    from app.jobs.worker import main

sys.exit(main())
