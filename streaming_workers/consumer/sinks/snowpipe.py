"""The sink that streams rows into Snowflake (Snowpipe Streaming); the offsets move after the rows, by SQL.

Each partition has a channel `<topic>-<partition>` on the pipe of its table (diagram in docs/streaming.md):

1. Taking a partition over opens its channel, which invalidates an earlier opening. Then its stored offset is
   read, and which rows at or above it the table holds already: those of a consumer that crashed.
2. The rows of a batch that are not in the table are appended. Their offset token is
   `<next offset>-<opening>`, which no other opening uses: the last one appended is committed when Snowflake
   reports just that one.
3. When it is, the rows are counted. Those that Snowflake rejected go in by SQL, in the transaction that moves
   the offsets by compare-and-set; mostly there are none.

`streaming.kafka_offsets` alone says where to read on. Rows without their move, as a crash between 2 and 3
leaves them, are seen in step 1.
"""

import os
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

import structlog
from aiokafka import TopicPartition
from snowflake.connector.util_text import construct_hostname
from typing_extensions import override

from include.settings import SnowflakeSettings
from include.warehouse import Warehouse
from include.warehouse.base import aware
from include.warehouse.dialect import Dialect
from streaming_workers.consumer.batches import Batch, OffsetMove, message_times
from streaming_workers.consumer.progress import SNOWPIPE_REJECTED
from streaming_workers.consumer.sinks.base import OffsetConflictError, SinkError
from streaming_workers.consumer.sinks.warehouse import WarehouseSink
from streaming_workers.events import STREAMS

# Read when the SDK is imported; by default its lines would mix with ours on stdout.
os.environ.setdefault("SS_LOG_LEVEL", "warn")
os.environ.setdefault("SS_LOG_TARGET", "stderr")

from snowflake.ingest.streaming import (
    ChannelStatus,
    StreamingIngestClient,
    StreamingIngestError,
    StreamingIngestErrorCode,
)

COMMIT_SECONDS = 60  # Snowflake documents 5 to 10; after this the channel is reopened
POLL_SECONDS = 0.25
APPEND_BYTES = 4 * 1024 * 1024  # of payload in one call

VALID = "SUCCESS"

# The rows of the call were not accepted; a later call may be.
BACKPRESSURE = {
    StreamingIngestErrorCode.RECEIVER_SATURATED,
    StreamingIngestErrorCode.MEMORY_THRESHOLD_EXCEEDED,
    StreamingIngestErrorCode.MEMORY_THRESHOLD_EXCEEDED_IN_CONTAINER,
}
# Snowflake did not answer; what was appended may still be committed.
UNREACHABLE = {
    StreamingIngestErrorCode.HTTP_RETRIES_EXHAUSTED_ERROR,
    StreamingIngestErrorCode.HTTP_RETRYABLE_CLIENT_ERROR,
    StreamingIngestErrorCode.SF_API_INTERNAL_SERVER_ERROR,
}
# Another consumer has opened the channel, or Snowflake has closed it.
CHANNEL_LOST = {
    StreamingIngestErrorCode.INVALID_CHANNEL_ERROR,
    StreamingIngestErrorCode.CLOSED_CHANNEL_ERROR,
    StreamingIngestErrorCode.CHANNEL_NOT_FOUND,
}

Place = tuple[int, str]
"""Offset and event id: the id tells a recreated topic from the one that had the same offsets."""

log = structlog.get_logger(__name__)


class EventRow(NamedTuple):
    """A row of a raw table; `ingested_at` comes with the append, and Kafka's time in place of its number."""

    kafka_topic: str
    event_id: str
    event_timestamp: datetime
    payload: bytes
    kafka_partition: int
    kafka_offset: int
    kafka_timestamp: int

    @property
    def place(self) -> Place:
        """What identifies it within its partition."""
        return self.kafka_offset, self.event_id


@dataclass
class Channel:
    """A partition's open channel, and what is known of the partition since it was opened."""

    handle: Any
    next_offset: int | None
    found: set[Place]  # rows at or above next_offset that the table held
    errors_before: int  # rows rejected in the channel's whole life, up to the last batch stored
    errors: int = 0  # the same, up to now
    appended: int = 0  # rows below this offset were handed over
    token: str | None = None  # of the last of them, while it is not committed
    opening: str = field(default_factory=lambda: uuid.uuid4().hex[:8])


class SnowpipeSink(WarehouseSink):
    """Events in `streaming.*_raw` through Snowpipe Streaming, offsets in `streaming.kafka_offsets` by SQL."""

    def __init__(
        self, warehouse: Warehouse, dialect: Dialect, connect: Callable[[str], StreamingIngestClient]
    ) -> None:
        """`connect` makes a client of the SDK for a pipe of the schema."""
        super().__init__(warehouse, dialect)
        self._connect = connect
        self._clients: dict[str, Any] = {}
        self._channels: dict[TopicPartition, Channel] = {}

    @override
    def prepare(self) -> None:
        """Creates the pipes, too."""
        super().prepare()
        with self._session() as session:
            for stream in STREAMS.values():
                session.execute(pipe_definition(stream.table))

    @override
    def stored_offsets(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """From here on no other consumer can append to these partitions."""
        self._take_over(partitions)
        offsets = {partition: self._channels[partition].next_offset for partition in partitions}
        return {partition: offset for partition, offset in offsets.items() if offset is not None}

    @override
    def register(self, offsets: Mapping[TopicPartition, int]) -> None:
        super().register(offsets)
        self._forget(offsets)

    @override
    def store(self, batch: Batch) -> None:
        """Rows that a failed try has appended are not appended again."""
        self._take_over(batch.moves.keys() - self._channels.keys())
        self._check(batch.moves)
        rows = rows_of(batch)
        for partition, new in rows.items():
            self._append(partition, new, batch.moves[partition].next)
        rejected = self._committed(rows, batch.moves)
        super().store(batch_of(rejected, batch))
        SNOWPIPE_REJECTED.inc(len(rejected))
        for partition, move in batch.moves.items():
            channel = self._channels[partition]
            channel.next_offset, channel.errors_before = move.next, max(channel.errors, channel.errors_before)
            channel.found = {place for place in channel.found if place[0] >= move.next}

    def _take_over(self, partitions: Collection[TopicPartition]) -> None:
        """Open the channels first, then read what is stored: no other consumer changes it any more."""
        if not partitions:
            return
        opened = {partition: self._open(partition) for partition in partitions}
        stored = super().stored_offsets(partitions)
        for partition, (handle, status) in opened.items():
            offset = stored.get(partition)
            found = set() if offset is None else self._places(partition, offset)
            if found:
                log.info(
                    "rows above the stored offset are there", channel=channel_name(partition), rows=len(found)
                )
            self._channels[partition] = Channel(handle, offset, found, status.rows_error_count)

    def _open(self, partition: TopicPartition) -> tuple[Any, ChannelStatus]:
        """Open the partition's channel, which invalidates any earlier opening."""
        self._forget([partition])
        with self._sdk(partition.topic):
            handle, status = self._client(partition.topic).open_channel(channel_name(partition))
        if status.status_code != VALID:
            raise SinkError(f"channel {status.channel_name} cannot be opened: {status.status_code}")
        return handle, status

    def _check(self, moves: Mapping[TopicPartition, OffsetMove]) -> None:
        """Raise OffsetConflictError before anything is appended: an append cannot be rolled back."""
        wrong = [one for one, move in moves.items() if self._channels[one].next_offset != move.expected]
        if wrong:
            raise OffsetConflictError(
                f"{len(wrong)} of {len(moves)} stored offsets are not the expected ones"
            )

    def _append(self, partition: TopicPartition, rows: Sequence[EventRow], next_offset: int) -> None:
        """Hand over the rows that neither the table holds nor an earlier try has handed over."""
        channel = self._channels[partition]
        new = [row for row in rows if row.kafka_offset >= channel.appended and row.place not in channel.found]
        now = datetime.now(UTC)
        for chunk in _chunks(new):
            end = next_offset if chunk[-1] is new[-1] else chunk[-1].kafka_offset + 1
            token = f"{end}-{channel.opening}"
            with self._sdk(partition.topic, partition, harmless=BACKPRESSURE):
                channel.handle.append_rows(
                    _fields(chunk, now), f"{chunk[0].kafka_offset}-{channel.opening}", token
                )
            channel.appended, channel.token = end, token

    def _committed(
        self, rows: Mapping[TopicPartition, Sequence[EventRow]], moves: Mapping[TopicPartition, OffsetMove]
    ) -> list[EventRow]:
        """Wait until the rows are in their tables, and return those that Snowflake rejected.

        Raises SinkError after COMMIT_SECONDS; the next try then reopens the channels.
        """
        deadline = time.monotonic() + COMMIT_SECONDS
        waiting, rejected = dict(rows), []
        while True:
            for partition, new in list(waiting.items()):
                missing = self._missing(partition, new, moves[partition])
                if missing is not None:
                    rejected += missing
                    del waiting[partition]
            if not waiting:
                return rejected
            if time.monotonic() > deadline:
                names = ", ".join(map(channel_name, waiting))
                self._forget(waiting)
                raise SinkError(f"Snowpipe Streaming has not committed on {names} within {COMMIT_SECONDS} s")
            time.sleep(POLL_SECONDS)

    def _missing(
        self, partition: TopicPartition, rows: Sequence[EventRow], move: OffsetMove
    ) -> list[EventRow] | None:
        """Return the rows that were rejected, or None while some are neither in the table nor rejected."""
        channel = self._channels[partition]
        with self._sdk(partition.topic, partition, harmless=UNREACHABLE):
            status = channel.handle.get_channel_status()
        if channel.token not in (None, status.latest_committed_offset_token):
            if status.status_code == VALID:
                return None
            self._forget([partition])
            raise OffsetConflictError(f"channel {status.channel_name} was lost: {status.status_code}")
        channel.token, channel.errors = None, status.rows_error_count
        failed = max(0, channel.errors - channel.errors_before)
        if not failed and self._count(partition, move) >= len(rows):
            return []
        there = self._places(partition, move.expected)
        missing = [row for row in rows if row.place not in there]
        if len(missing) > failed:  # the table or the count of errors lags behind
            return None
        log.error(
            "Snowpipe Streaming rejected rows, they are stored by SQL",
            channel=status.channel_name,
            errors=failed,
            rows=len(missing),
            reason=status.last_error_message,
        )
        return missing

    def _count(self, partition: TopicPartition, move: OffsetMove) -> int:
        """Return how many rows the table holds from the expected to below the next offset."""
        with self._session() as session:
            [(count,)] = session.execute(
                f"select count(*) from {STREAMS[partition.topic].table}"  # noqa: S608 (our names)
                " where kafka_topic = ? and kafka_partition = ? and kafka_offset >= ? and kafka_offset < ?",
                [*partition, move.expected, move.next],
            )
        return int(count)

    def _places(self, partition: TopicPartition, offset: int) -> set[Place]:
        """Return which rows at or above the offset the table holds."""
        with self._session() as session:
            found = session.execute(
                f"select kafka_offset, event_id from {STREAMS[partition.topic].table}"  # noqa: S608 (our names)
                " where kafka_topic = ? and kafka_partition = ? and kafka_offset >= ?",
                [*partition, offset],
            )
        return {(int(offset), event_id) for offset, event_id in found}

    def _client(self, topic: str) -> Any:
        if topic not in self._clients:
            self._clients[topic] = self._connect(pipe_name(STREAMS[topic].table))
        return self._clients[topic]

    def _forget(self, partitions: Collection[TopicPartition]) -> None:
        """Close the channels, to be reopened; the table then shows which of their rows were committed."""
        for partition in partitions:
            if channel := self._channels.pop(partition, None):
                with suppress(StreamingIngestError, RuntimeError):  # it may be lost already
                    channel.handle.close(wait_for_flush=False)

    @contextmanager
    def _sdk(
        self,
        topic: str,
        partition: TopicPartition | None = None,
        harmless: Collection[StreamingIngestErrorCode] = (),
    ) -> Iterator[None]:
        """Translate the SDK's errors; after one that is not harmless the client is replaced."""
        try:
            yield
        except (StreamingIngestError, RuntimeError, ValueError, TimeoutError, OSError) as error:
            code = error.error_code if isinstance(error, StreamingIngestError) else None
            text = f"{type(error).__name__}: {' '.join(str(error).split())}"
            if partition and code in CHANNEL_LOST:
                self._forget([partition])
                raise OffsetConflictError(f"channel {channel_name(partition)} was lost: {text}") from error
            if code not in harmless:
                self._forget([one for one in self._channels if one.topic == topic])
                self._clients.pop(topic, None)
            raise SinkError(text) from error


def snowpipe_client(settings: SnowflakeSettings, pipe: str) -> StreamingIngestClient:
    """Return the SDK's client of a pipe, `schema.name`, which logs in with the key pair of SNOWFLAKE_*."""
    schema, name = pipe.upper().split(".")
    account = settings.account or ""
    passphrase = settings.private_key_passphrase
    properties = {
        "account": account,
        "user": settings.user,
        "role": settings.streamer_role,
        "url": f"https://{settings.host or construct_hostname(None, account)}:{settings.port or 443}",
        "private_key_file": settings.private_key_path,
        "private_key_passphrase": passphrase.get_secret_value() if passphrase else None,
    }
    return StreamingIngestClient(
        client_name=f"marketing-insights-{uuid.uuid4().hex[:12]}",
        db_name=settings.database.upper(),
        schema_name=schema,
        pipe_name=name,
        properties={key: str(value) for key, value in properties.items() if value is not None},
    )


def channel_name(partition: TopicPartition) -> str:
    """Return the name of the partition's channel, the same for every consumer."""
    return f"{partition.topic}-{partition.partition}"


def pipe_name(table: str) -> str:
    """Return the name of the pipe that fills a raw table."""
    return f"{table.removesuffix('_raw')}_pipe"


def pipe_definition(table: str) -> str:
    """Return the statement that makes a raw table's pipe; JSON that Snowflake refuses is kept as text.

    Snowflake knows few functions here: no COALESCE, no TRY_PARSE_JSON, which the SQL sink uses.
    """
    text = "$1:payload::varchar"
    types = {
        "event_timestamp": "timestamp_tz",
        "kafka_partition": "integer",
        "kafka_offset": "bigint",
        "kafka_timestamp": "timestamp_tz",
        "ingested_at": "timestamp_tz",
    }
    values = {name: f"$1:{name}::{types.get(name, 'varchar')}" for name in (*EventRow._fields, "ingested_at")}
    values["payload"] = (
        f"case when check_json({text}) is null then parse_json({text}) else {text}::variant end"
    )
    return (
        f"create pipe if not exists {pipe_name(table)} as copy into {table} ({', '.join(values)})"  # noqa: S608
        f" from (select {', '.join(values.values())} from table(data_source(type => 'STREAMING')))"
    )


def rows_of(batch: Batch) -> dict[TopicPartition, list[EventRow]]:
    """Return the rows of each partition, in its order."""
    rows: dict[TopicPartition, list[EventRow]] = defaultdict(list)
    for stream, columns in batch.rows.items():
        for values in zip(*vars(columns).values(), strict=True):
            row = EventRow(stream.topic, *values)
            rows[TopicPartition(stream.topic, row.kafka_partition)].append(row)
    return rows


def batch_of(rows: Sequence[EventRow], batch: Batch) -> Batch:
    """Return a batch of these rows alone, with the moves of another."""
    few = Batch(batch.generation, moves=batch.moves)
    for row in rows:
        for column, values in vars(few.rows[STREAMS[row.kafka_topic]]).items():
            values.append(getattr(row, column))
    return few


def _fields(rows: Sequence[EventRow], now: datetime) -> list[dict[str, Any]]:
    """Return the rows as the SDK takes them, by the names of the pipe's columns."""
    times = aware(message_times([row.kafka_timestamp for row in rows]))
    return [
        {**row._asdict(), "payload": row.payload.decode(), "kafka_timestamp": time, "ingested_at": now}
        for row, time in zip(rows, times, strict=True)
    ]


def _chunks(rows: Sequence[EventRow]) -> Iterator[list[EventRow]]:
    """Yield the rows in chunks of at most APPEND_BYTES of payload, or of one longer row."""
    chunk: list[EventRow] = []
    size = 0
    for row in rows:
        if chunk and size + len(row.payload) > APPEND_BYTES:
            yield chunk
            chunk, size = [], 0
        chunk.append(row)
        size += len(row.payload)
    if chunk:
        yield chunk
