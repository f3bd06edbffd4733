"""Portrait animation: numbers and images in, numbers and images out."""

__version__ = "0.1.0"
