"""Face parsing: which part of a face each pixel shows, and things in front of it.

Importing this package doesn't import torch; building or training a network does.
"""

from models.parsing.classes import BASIC, CLASSES, COUNT, index

__all__ = ["BASIC", "CLASSES", "COUNT", "index"]
