"""Face trackers that send packets: how each protocol is read, received, and made a source that drives."""
