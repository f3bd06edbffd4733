"""Marks in results that say they were made by AI: metadata, signed credentials, a watermark and a visible label."""
