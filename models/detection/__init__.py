"""Face detection: a single-stage head with five landmarks on any registered backbone; tools/detection trains it.

Importing this package doesn't import torch; building a network does.
"""

from models.detection.geometry import blend, decode, nms, prior_points

__all__ = ["blend", "decode", "nms", "prior_points"]
