"""What the consumer asks of a place that events are stored in."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping

from aiokafka import TopicPartition

from streaming_workers.consumer.batches import Batch


class SinkError(Exception):
    """The sink could not do it, now or until somebody helps; no offset moved. The message says why."""


class OffsetConflictError(Exception):
    """A stored offset is not the expected one, or the hold on a partition is lost: another consumer has it.

    The stored offsets did not move; the partition is to be read anew from them.
    """


class Sink(ABC):
    """Stores events, and how far each partition was read: whatever happens, each event once.

    Every method blocks and may raise SinkError; all may be called again after any error.
    """

    @abstractmethod
    def prepare(self) -> None:
        """Make the tables that are not there; one that is there is never changed."""

    @abstractmethod
    def stored_offsets(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the next offset to read of each partition that the sink knows."""

    @abstractmethod
    def register(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Make partitions known that are not, with the offset to read first; leave known ones alone."""

    @abstractmethod
    def store(self, batch: Batch) -> None:
        """Store the rows of the batch and its moves of the offsets.

        After any error the offsets are where they were; rows that are there already are not stored again.
        Raises OffsetConflictError where one stored offset is not the expected one.
        """
