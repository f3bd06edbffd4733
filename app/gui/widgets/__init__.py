"""Building blocks of the window."""
