"""The measurements of tools/quality.py."""
