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


def place(partition: TopicPartition, stored: int, log_range: LogRange) -> Start:
    """Return where to read; raises RefusedPartitionError where the stored offset is beyond the log."""
    if stored > log_range.end:
        name, number = partition
        raise RefusedPartitionError(
            f"{name} partition {number}: offset {stored} is stored, but the log ends at {log_range.end}: the"
            " topic was recreated or lost data. To read it from its beginning, set next_offset to"
            f" {log_range.begin} in streaming.kafka_offsets where kafka_topic = '{name}' and"
            f" kafka_partition = {number}."
        )
    return Start(stored, max(stored, log_range.begin))
