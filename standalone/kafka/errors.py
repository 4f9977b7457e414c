"""What can go wrong with the local broker."""


class BrokerError(RuntimeError):
    """The local broker cannot run; the message says why and what to do."""
