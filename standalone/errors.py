"""What a command of this package tells its user when it cannot go on."""


class StandaloneError(RuntimeError):
    """The command has failed; the message, meant for its user, says why. Each part derives its own."""
