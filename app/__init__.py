"""What a person touches: command line, media, render pipelines, window."""
