"""Backbones of the face detectors and parsers, by name.

Importing this package doesn't import torch; building a network does.
"""

from models.backbones.catalogue import BACKBONES, build, features
from models.backbones.spec import Backbone

__all__ = ["BACKBONES", "Backbone", "build", "features"]
