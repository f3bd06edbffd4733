"""Shared by the training of detectors and parsers: manifests, the resumable loop, curves.

Importing this package doesn't import torch.
"""

from models.training.curves import draw_curves
from models.training.log import read_log
from models.training.manifest import Manifest, ManifestError, Sample

__all__ = ["Manifest", "ManifestError", "Sample", "draw_curves", "read_log"]
