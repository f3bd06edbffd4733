"""Face trackers that send packets: decode and receive each protocol, and use it as a driver."""


def broken(what: str) -> ValueError:
    """The error for a packet that violates its protocol. Receivers only count these; the text is not shown to users."""
    return ValueError(what)
