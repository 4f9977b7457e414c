"""The interface of the places that the consumer stores events in."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping

from aiokafka import TopicPartition

from streaming_workers.consumer.batches import Batch


class SinkError(Exception):
    """The sink cannot do it, now or until an operator acts; no offset moved. The message says why."""


class OffsetConflictError(Exception):
    """A stored offset is not the expected one, or a partition's channel is lost: another consumer has it.

    The stored offsets did not move; the partition must be read again from them.
    """


class Sink(ABC):
    """Stores events and each partition's offset, exactly once across errors and restarts.

    Every method blocks and may raise SinkError; all may be called again after any error.
    """

    @abstractmethod
    def prepare(self) -> None:
        """Create the tables that do not exist; one that exists gets only the columns that it lacks."""

    @abstractmethod
    def stored_offsets(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the next offset to read of each partition that the sink knows."""

    @abstractmethod
    def register(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Insert the offset to read first for partitions that have none; leave the others unchanged."""

    @abstractmethod
    def topic_ids(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, str]:
        """Return Kafka's id of the topic that each partition's stored offset is of, where it is known."""

    @abstractmethod
    def remember_topic_ids(self, ids: Mapping[TopicPartition, str]) -> None:
        """Store the topic's id where none is stored or the offset is 0; leave the others unchanged."""

    @abstractmethod
    def store(self, batch: Batch) -> None:
        """Store the rows of the batch and its moves of the offsets.

        After any error the offsets are where they were; rows that are there already are not stored again.
        Raises OffsetConflictError where one stored offset is not the expected one.
        """
