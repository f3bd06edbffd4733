"""What a person touches: command line, media, render pipelines, window."""

import liveportrait  # noqa: F401 - makes sure that models and assets are ours
