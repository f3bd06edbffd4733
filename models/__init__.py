"""Perception and weights."""
