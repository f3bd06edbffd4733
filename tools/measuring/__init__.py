"""What tools/quality.py measures."""
