"""Starts a worker process, see app.jobs.worker."""

import sys

from app.jobs.worker import main

sys.exit(main())
