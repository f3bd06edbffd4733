"""Training of face detectors: composed scenes, labels, the network, losses and scores.

Importing this package doesn't import torch; building a network does.
"""
