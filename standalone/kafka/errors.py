"""The error of the local broker."""


class BrokerError(RuntimeError):
    """The local broker cannot run; the message says why and what to do."""
