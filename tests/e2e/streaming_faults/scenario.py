"""What the scenarios have in common: consumers with small batches, and waiting for what they do."""

from contextlib import ExitStack

from tests.streaming_workers.harness import ConsumerProcess, Stage

from .load import LONGEST_EVENT

SESSION_SECONDS = 3
FAST = {
    "CONSUMER_BATCH_SECONDS": "0.1",
    "CONSUMER_BATCH_ROWS": "500",
    "CONSUMER_SESSION_TIMEOUT_SECONDS": str(SESSION_SECONDS),
    "CONSUMER_MAX_EVENT_BYTES": str(LONGEST_EVENT),
}


def assigned(consumer: ConsumerProcess) -> list[str]:
    """Return the partitions that the group gave to the consumer last."""
    said = consumer.said("partitions assigned")
    return list(said[-1]["partitions"]) if said else []


def wait_until_assigned(stage: Stage, consumer: ConsumerProcess, minimum: int = 1) -> None:
    """Return when the consumer has at least so many partitions, of both topics together."""
    stage.wait_until(lambda: len(assigned(consumer)) >= minimum, f"{minimum} partitions assigned")


def given_up(consumer: ConsumerProcess) -> bool:
    """Return whether the consumer has dropped a batch because another one had its partitions."""
    return bool(consumer.said("another consumer has the partitions, the batch is dropped"))


class Crowd(ExitStack):
    """Consumers that come and go; those that are left when the block ends are ended."""

    def __init__(self, stage: Stage, env: dict[str, str]) -> None:
        super().__init__()
        self._stage = stage
        self._env = env

    def join(self, **env: str) -> ConsumerProcess:
        """Start one more, with settings of its own."""
        return self.enter_context(self._stage.consumer(**{**self._env, **env}))

    def leave(self, consumer: ConsumerProcess) -> None:
        """End one in order (SIGTERM)."""
        code, _ = consumer.stop()
        assert code == 0
