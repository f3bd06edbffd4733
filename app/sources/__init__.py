"""Sources of driving motion in real time: cameras, clips, templates, stills; all give the same kind of samples."""
