"""Face detection: a single-stage head with five landmarks on any registered backbone, from training to the app.

Importing this package doesn't import torch; building a network does.
"""

from models.detection.geometry import blend, decode, nms, prior_points
from models.detection.labels import Labels

__all__ = ["Labels", "blend", "decode", "nms", "prior_points"]
