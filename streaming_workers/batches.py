"""Micro-batches: what is stored at once, with the offsets that move in the same transaction."""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from aiokafka import ConsumerRecord, TopicPartition

from streaming_workers.events import STREAMS
from streaming_workers.validation import InvalidEventError, parse_event

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class OffsetMove:
    """A partition's stored offset before and after a batch."""

    expected: int
    next: int


@dataclass(frozen=True)
class Rejected:
    """A message that is no event, and why."""

    record: ConsumerRecord
    error: InvalidEventError


ROW_COLUMNS = (
    "event_id",
    "event_timestamp",
    "payload",
    "kafka_topic",
    "kafka_partition",
    "kafka_offset",
    "kafka_timestamp",
)
EventRow = tuple[str, datetime, str, str, int, int, datetime | None]
"""A row of a raw table, in the order of ROW_COLUMNS; `ingested_at` is the sink's to add."""


@dataclass
class Batch:
    """Messages of one assignment of partitions, in the order of each partition."""

    generation: int
    rows: dict[str, list[EventRow]] = field(default_factory=lambda: defaultdict(list))
    moves: dict[TopicPartition, OffsetMove] = field(default_factory=dict)
    rejected: dict[TopicPartition, list[Rejected]] = field(default_factory=lambda: defaultdict(list))
    kafka_timestamps: list[int] = field(default_factory=list)
    messages: int = 0
    bytes: int = 0
    began: float = field(default_factory=time.monotonic)

    @property
    def age_seconds(self) -> float:
        """Seconds since the batch was begun."""
        return time.monotonic() - self.began

    def add(self, partition: TopicPartition, records: Sequence[ConsumerRecord], max_event_bytes: int) -> None:
        """Take in messages of a partition: valid events become rows, the others dead letters."""
        topic, number = partition
        stream = STREAMS[topic]
        rows = self.rows[stream.table]
        for record in records:
            try:
                event_id, event_timestamp, payload = parse_event(stream, record.value, max_event_bytes)
            except InvalidEventError as error:
                self.rejected[partition].append(Rejected(record, error))
                continue
            time_ms, offset = record.timestamp, record.offset
            rows.append((event_id, event_timestamp, payload, topic, number, offset, message_time(time_ms)))
            self.kafka_timestamps.append(time_ms)
        self.messages += len(records)
        self.bytes += sum(len(record.value or b"") for record in records)

    def move(self, partition: TopicPartition, expected: int, position: int) -> None:
        """Note that everything of the partition from `expected` to below `position` is in the batch."""
        first = self.moves[partition].expected if partition in self.moves else expected
        self.moves[partition] = OffsetMove(first, position)


@lru_cache(maxsize=256)  # in a backlog, many messages are of one millisecond
def message_time(timestamp_ms: int) -> datetime | None:
    """Return Kafka's milliseconds since 1970 as a time in UTC, or None where they are no such date."""
    if timestamp_ms < 0:
        return None
    try:
        return EPOCH + timedelta(milliseconds=timestamp_ms)
    except OverflowError:
        return None
