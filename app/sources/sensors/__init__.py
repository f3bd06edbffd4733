"""Face trackers that send packets: how each protocol is read, received, and made a source that drives."""


def broken(what: str) -> ValueError:
    """The error for a packet that is not what its protocol says. Receivers count these; no user sees the text."""
    return ValueError(what)
