"""Which partitions the group has given to this consumer, and up to where each has been read."""

from collections.abc import Iterable

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from typing_extensions import override

log = structlog.get_logger(__name__)


class Assignment(ConsumerRebalanceListener):
    """Told by aiokafka of every rebalance; only the event loop's thread touches it.

    A partition is first unplaced, until the sink has said where to read on; then it is in `positions`, with
    the offset up to which it is in a batch, or in `refused`, with the reason. `generation` changes whenever
    that starts anew: messages of an earlier one are not to be stored.
    """

    def __init__(self, client: AIOKafkaConsumer) -> None:
        self._client = client
        self.generation = 0
        self.known = False
        self.unplaced: set[TopicPartition] = set()
        self.positions: dict[TopicPartition, int] = {}
        self.refused: dict[TopicPartition, str] = {}

    @property
    def partitions(self) -> set[TopicPartition]:
        """Every partition of this consumer."""
        return {*self.unplaced, *self.positions, *self.refused}

    @override
    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """In aiokafka every rebalance takes all partitions first."""
        self.known = False
        self._begin([])

    @override
    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Quick, since the group waits for no one."""
        self._client.pause(*assigned)  # or aiokafka would read on from the group's committed offsets
        self.known = True
        self._begin(assigned)
        log.info("partitions assigned", partitions=sorted(f"{topic}/{number}" for topic, number in assigned))

    def place_again(self) -> None:
        """Forget what was read and is not stored: the sink knows best where each partition is."""
        self._begin(self.partitions)

    def reconsider_refused(self) -> None:
        """Let those that were refused be placed again: an operator may have helped."""
        self.unplaced.update(self.refused)
        self.refused.clear()

    def _begin(self, partitions: Iterable[TopicPartition]) -> None:
        self.generation += 1
        self.unplaced = set(partitions)
        self.positions = {}
        self.refused = {}
