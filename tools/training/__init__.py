"""Shared by the training of detectors and parsers: manifests, the resumable loop, curves.

Importing this package doesn't import torch.
"""

from training.curves import draw_curves
from training.log import read_log
from training.manifest import Manifest, ManifestError, Sample

__all__ = ["Manifest", "ManifestError", "Sample", "draw_curves", "read_log"]
