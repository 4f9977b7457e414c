"""Micro-batches: what is stored at once, with the offsets that move in the same transaction."""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from aiokafka import ConsumerRecord, TopicPartition

from include.warehouse.base import Times
from streaming_workers.events import END_OF_TIME, STREAMS, Stream
from streaming_workers.validation import InvalidEventError, Rejected, ValidEvents, parse_event, parse_events

END_OF_TIME_MS = int(END_OF_TIME.timestamp() * 1000)


@dataclass(frozen=True)
class OffsetMove:
    """A partition's stored offset before and after a batch."""

    expected: int
    next: int


@dataclass
class EventRows:
    """Rows of a stream's raw table, one list a column, all of one length.

    `kafka_topic` and `ingested_at`, which all rows of a batch share, are the sink's to add. `kafka_timestamp`
    is in milliseconds since 1970, as Kafka has it: objects for these times would be a seventh of an insert.
    """

    event_id: list[str] = field(default_factory=list)
    event_timestamp: list[datetime] = field(default_factory=list)
    payload: list[bytes] = field(default_factory=list)
    kafka_partition: list[int] = field(default_factory=list)
    kafka_offset: list[int] = field(default_factory=list)
    kafka_timestamp: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.event_id)

    def columns(self) -> dict[str, Any]:
        """Return the columns as `Session.insert_rows` takes them."""
        return vars(self) | {"kafka_timestamp": message_times(self.kafka_timestamp)}


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
        values = [record.value for record in records]
        self.messages += len(records)
        self.bytes += sum(len(value or b"") for value in values)
        events = parse_events(stream, values, max_event_bytes)
        if events is None:
            records, events = self._sort_out(partition, records, max_event_bytes)
        rows = self.rows[stream]
        rows.event_id += events.event_id
        rows.event_timestamp += events.event_timestamp
        rows.payload += events.payload
        rows.kafka_partition += [partition.partition] * len(records)
        rows.kafka_offset += [record.offset for record in records]
        times = [record.timestamp for record in records]
        rows.kafka_timestamp += times
        self.kafka_timestamps += times

    def _sort_out(
        self, partition: TopicPartition, records: Sequence[ConsumerRecord], max_event_bytes: int
    ) -> tuple[list[ConsumerRecord], ValidEvents]:
        """Return the records that are events, and these; the others become dead letters."""
        stream, valid, events = STREAMS[partition.topic], [], ValidEvents([], [], [])
        for record in records:
            try:
                event = parse_event(stream, record.value, max_event_bytes)
            except InvalidEventError as error:
                self.rejected[partition].append(Rejected(record, error))
                continue
            valid.append(record)
            events.event_id.append(event.event_id)
            events.event_timestamp.append(event.event_timestamp)
            events.payload.append(event.payload)
        return valid, events

    def move(self, partition: TopicPartition, expected: int, position: int) -> None:
        """Record that the batch holds everything of the partition from `expected` to below `position`."""
        first = self.moves[partition].expected if partition in self.moves else expected
        self.moves[partition] = OffsetMove(first, position)


def message_times(timestamps_ms: Sequence[int]) -> Times:
    """Return Kafka's milliseconds since 1970 as times, NaT where they are no such date."""
    times = np.array(timestamps_ms, np.int64)
    times[(times < 0) | (times >= END_OF_TIME_MS)] = np.iinfo(np.int64).min
    return times.view("datetime64[ms]")
