"""Labelled faces for training a parser: pseudo-labels, data sets by path, drawn occluders and backgrounds."""
