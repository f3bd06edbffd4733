"""Perception and weights."""

import os

# ONNX Runtime 1.32 and later sends usage data home and keeps an identity for it in the user's cache; this app does not.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
