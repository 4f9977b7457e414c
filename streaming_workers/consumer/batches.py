"""Micro-batches: what is stored at once, with the offsets that move in the same transaction."""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from aiokafka import ConsumerRecord, TopicPartition

from streaming_workers.events import STREAMS, Stream
from streaming_workers.validation import InvalidEventError, Rejected, parse_event

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class OffsetMove:
    """A partition's stored offset before and after a batch."""

    expected: int
    next: int


@dataclass
class EventRows:
    """Rows of a stream's raw table, one list a column, all of one length.

    `kafka_topic` and `ingested_at`, which all rows of a batch share, are the sink's to add.
    """

    event_id: list[str] = field(default_factory=list)
    event_timestamp: list[datetime] = field(default_factory=list)
    payload: list[str] = field(default_factory=list)
    kafka_partition: list[int] = field(default_factory=list)
    kafka_offset: list[int] = field(default_factory=list)
    kafka_timestamp: list[datetime | None] = field(default_factory=list)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.event_id)


@dataclass
class Batch:
    """Messages of one assignment of partitions, in the order of each partition."""

    generation: int
    rows: dict[Stream, EventRows] = field(default_factory=lambda: defaultdict(EventRows))
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
        """Add messages of a partition: valid events as rows, the others as dead letters."""
        stream = STREAMS[partition.topic]
        rows = self.rows[stream]
        for record in records:
            try:
                event_id, event_timestamp, payload = parse_event(stream, record.value, max_event_bytes)
            except InvalidEventError as error:
                self.rejected[partition].append(Rejected(record, error))
                continue
            rows.event_id.append(event_id)
            rows.event_timestamp.append(event_timestamp)
            rows.payload.append(payload)
            rows.kafka_offset.append(record.offset)
            rows.kafka_timestamp.append(message_time(record.timestamp))
            self.kafka_timestamps.append(record.timestamp)
        rows.kafka_partition.extend([partition.partition] * (len(rows) - len(rows.kafka_partition)))
        self.messages += len(records)
        self.bytes += sum(len(record.value or b"") for record in records)

    def move(self, partition: TopicPartition, expected: int, position: int) -> None:
        """Record that the batch holds everything of the partition from `expected` to below `position`."""
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
