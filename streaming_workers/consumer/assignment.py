"""The partitions that the group has assigned to this consumer, and how far each is read."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from typing_extensions import override

log = structlog.get_logger(__name__)


class Assignment(ConsumerRebalanceListener):
    """Told by aiokafka of every rebalance; only the event loop's thread touches it.

    A partition starts in `unplaced`. Once the sink has returned its stored offset it is in `positions`, with
    the offset up to which it is in a batch, or in `refused`, with the reason. `generation` grows whenever all
    partitions start over: a batch of an earlier one must not be stored. docs/streaming.md has the diagram.
    """

    def __init__(self, client: AIOKafkaConsumer) -> None:
        self._client = client
        self._begun = asyncio.Event()
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
        """Must be quick: the group waits until every member has returned."""
        self._client.pause(*assigned)  # or aiokafka would read on from the group's committed offsets
        self.known = True
        self._begin(assigned)
        log.info("partitions assigned", partitions=sorted(f"{topic}/{number}" for topic, number in assigned))

    async def changed(self, seconds: float) -> None:
        """Return once all partitions start over, or after so many seconds."""
        self._begun.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._begun.wait()

    def place_again(self) -> None:
        """Drop what was read and is not stored, and begin again at the stored offsets."""
        self._begin(self.partitions)

    def reconsider_refused(self) -> None:
        """Place those that were refused again: an operator may have set their offset."""
        self.unplaced.update(self.refused)
        self.refused.clear()

    def _begin(self, partitions: Iterable[TopicPartition]) -> None:
        self.generation += 1
        self.unplaced = set(partitions)
        self.positions = {}
        self.refused = {}
        self._begun.set()
