"""Where to begin reading a partition, given what is stored and what its log holds."""

from dataclasses import dataclass

from aiokafka import TopicPartition


@dataclass(frozen=True)
class LogRange:
    """What a partition holds: offsets from `begin` to below `end`."""

    begin: int
    end: int


@dataclass(frozen=True)
class Start:
    """Read from `position`; the stored offset is `expected`, `lost` messages between them were deleted."""

    expected: int
    position: int

    @property
    def lost(self) -> int:
        """Messages that Kafka deleted before they were read."""
        return self.position - self.expected


class RefusedPartitionError(Exception):
    """The partition must not be read until an operator has decided; the message says what."""


@dataclass(frozen=True)
class TopicId:
    """Kafka's ids: of the topic that the stored offset is of, and of the one there is; None: not known."""

    stored: str | None = None
    found: str | None = None

    @property
    def differs(self) -> bool:
        """Whether the topic is known to be another one."""
        return None not in (self.stored, self.found) and self.stored != self.found


def place(
    partition: TopicPartition, stored: int, log_range: LogRange, topic_id: TopicId = TopicId()
) -> Start:
    """Return where to read.

    Raises RefusedPartitionError where the stored offset is of another topic or lies beyond the log.
    """
    name, number = partition
    if topic_id.differs:
        reason = (
            f"offset {stored} is stored of the topic with the id {topic_id.stored}, but the topic's id is"
            f" {topic_id.found}: it was deleted and created again"
        )
    elif stored > log_range.end:
        reason = (
            f"offset {stored} is stored, but the log ends at {log_range.end}: the topic was recreated or lost"
            " data"
        )
    else:
        return Start(stored, max(stored, log_range.begin))
    raise RefusedPartitionError(
        f"{name} partition {number}: {reason}. To read it from its beginning, set next_offset to"
        f" {log_range.begin} and topic_id to null in streaming.kafka_offsets where kafka_topic = '{name}' and"
        f" kafka_partition = {number}."
    )
