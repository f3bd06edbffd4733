"""Backbones of the face detectors and parsers, by name.

Importing this package doesn't import torch; building a network does.
"""

from models.backbones.catalogue import Architecture, create, features, get_architecture, list_architectures

__all__ = ["Architecture", "create", "features", "get_architecture", "list_architectures"]
