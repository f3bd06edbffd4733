"""Labelled faces for training a parser: pseudo-labels, data sets by path, synthetic occluders and backgrounds."""
