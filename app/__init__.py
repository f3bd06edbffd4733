"""The application: command line, media, render pipelines, window."""

import liveportrait  # noqa: F401 - checks that models and assets are ours
