"""Where driving motion comes from in real time: cameras, clips, templates, stills; all give the same samples."""
