"""What results say of themselves: that a machine made them, in metadata, signed credentials and in the picture."""
