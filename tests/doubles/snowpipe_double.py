"""A test double of Snowpipe Streaming: Snowflake's side in memory, and the SDK's client and channel on it.

It does what the SDK's documentation and Snowflake's own Kafka connector say of the service: rows are
committed later, in order, with the offset token of their call; reopening a channel drops what an older
opening has not committed and shuts it out, which that one learns when it next sends; a row that a pipe cannot
load is counted and skipped; counts and tokens outlive an opening. Errors and statuses are the SDK's own.

Time passes by being asked: each look at a status commits what was sent before, and sends what is buffered.
"""

import json
import re
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
from snowflake.ingest.streaming import ChannelStatus, StreamingIngestError, StreamingIngestErrorCode

Row = dict[str, Any]
Land = Callable[[str, Mapping[str, Sequence[Any]]], None]
"""Appends columns to a table."""


@dataclass
class Pipe:
    """What `create pipe` says: which field of a row goes to which column of the table."""

    table: str
    fields: dict[str, str]
    times: set[str]

    @classmethod
    def parse(cls, statement: str) -> tuple[str, "Pipe"]:
        """Return name and content of a pipe; raises ValueError where it makes none to stream to."""
        found = re.fullmatch(
            r"create pipe if not exists (\S+) as copy into (\S+) \(([^)]*)\)"
            r" from \(select (.*) from table\(data_source\(type => 'STREAMING'\)\)\)",
            statement,
        )
        if not found:
            raise ValueError(f"no pipe for streaming: {statement}")
        name, table, columns, values = found.groups()
        sources = [re.search(r"\$1:(\w+)", value) for value in values.split(", ")]
        fields = {
            column: source.group(1)
            for column, source in zip(columns.split(", "), sources, strict=True)
            if source
        }
        return name.upper(), cls(table, fields, set(re.findall(r"\$1:(\w+)::timestamp_tz", values)))

    def load(self, row: Row) -> Row:
        """Return the table's row."""
        values = {column: row.get(field) for column, field in self.fields.items()}
        return {
            name: datetime.fromisoformat(value) if name in self.times and value else value
            for name, value in values.items()
        }


@dataclass
class ServerChannel:
    """What Snowflake keeps of a channel."""

    opening: int = 0
    sent: deque[tuple[list[Row], str | None]] = field(default_factory=deque)
    committed: str | None = None
    inserted: int = 0
    errors: int = 0
    last_error: str | None = None


@dataclass
class SnowpipeService:
    """Snowflake's side; `statements` made its pipes, `land` puts rows into their tables.

    Faults: `holds` commits nothing; `saturated_after` is how many more calls are taken; `rejects` says which
    rows no pipe can load; `down` answers no question; `status` is what it says of every channel.
    `calls` counts the rows of every call.
    """

    statements: Sequence[str]
    land: Land
    holds: bool = False
    down: bool = False
    status: str = "SUCCESS"
    saturated_after: int | None = None
    rejects: Callable[[Row], bool] = lambda _: False
    channels: dict[tuple[str, str], ServerChannel] = field(default_factory=lambda: defaultdict(ServerChannel))
    clients: list["SnowpipeClient"] = field(default_factory=list)
    calls: list[int] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        self.pipes = dict(Pipe.parse(statement) for statement in self.statements)

    def client(self) -> type["SnowpipeClient"]:
        """Return what stands in for the SDK's class of clients."""
        return type("StreamingIngestClient", (SnowpipeClient,), {"service": self})

    def pending(self) -> int:
        """Return how many rows are sent and not committed."""
        return sum(len(rows) for channel in self.channels.values() for rows, _ in channel.sent)

    def commit(self, pipe: str, channel: ServerChannel) -> None:
        """Commit the oldest rows of a channel, with their token."""
        if self.holds or not channel.sent:
            return
        rows, token = channel.sent.popleft()
        good = [self.pipes[pipe].load(row) for row in rows if not self.rejects(row)]
        if good:
            self.land(self.pipes[pipe].table, {name: [row[name] for row in good] for name in good[0]})
        if len(good) < len(rows):
            channel.last_error = "a row could not be loaded"
        channel.errors += len(rows) - len(good)
        channel.inserted += len(good)
        channel.committed = token


def failure(code: StreamingIngestErrorCode) -> StreamingIngestError:
    """Return an error of the SDK."""
    return StreamingIngestError(code, "said by the double", 409, "Conflict")


class SnowpipeClient:
    """Stands in for StreamingIngestClient: the methods that the product calls, with their signatures."""

    service: SnowpipeService

    def __init__(  # noqa: PLR0917 (as the SDK has it)
        self,
        client_name: str,
        db_name: str,
        schema_name: str,
        pipe_name: str,
        profile_json: str | None = None,
        properties: dict[str, Any] | None = None,
        _is_table_mode: bool = False,
    ) -> None:
        self.name, self.database, self.properties = client_name, db_name, properties or {}
        self.pipe = f"{schema_name}.{pipe_name}"
        self.lost = False
        if self.pipe not in self.service.pipes:
            raise failure(StreamingIngestErrorCode.SF_API_NOT_FOUND_ERROR)
        self.service.clients.append(self)

    def open_channel(
        self, channel_name: str, offset_token: str | None = None
    ) -> tuple["SnowpipeChannel", ChannelStatus]:
        with self.service.lock:
            self.check()
            server = self.service.channels[self.pipe, channel_name]
            server.opening += 1
            server.sent.clear()
            return SnowpipeChannel(self, channel_name, server.opening), self.status(channel_name)

    def check(self) -> None:
        if self.lost:
            raise failure(StreamingIngestErrorCode.INVALID_CLIENT_ERROR)
        if self.service.down:
            raise failure(StreamingIngestErrorCode.HTTP_RETRIES_EXHAUSTED_ERROR)

    def status(self, channel_name: str) -> ChannelStatus:
        server = self.service.channels[self.pipe, channel_name]
        return ChannelStatus(
            database_name=self.database,
            schema_name=self.pipe.split(".")[0],
            pipe_name=self.pipe.split(".")[1],
            channel_name=channel_name,
            status_code=self.service.status,
            latest_committed_offset_token=server.committed,
            created_on_ms=0,
            rows_inserted=server.inserted,
            rows_parsed=server.inserted + server.errors,
            rows_error_count=server.errors,
            last_error_offset_upper_bound=server.committed if server.errors else None,
            last_error_message=server.last_error,
            last_error_timestamp_ms=0 if server.errors else None,
            snowflake_avg_processing_latency_ms=None,
            last_refreshed_on_ms=0,
        )


class SnowpipeChannel:
    """Stands in for StreamingIngestChannel, likewise."""

    def __init__(self, client: SnowpipeClient, name: str, opening: int) -> None:
        self._client = client
        self._service = client.service
        self._server = client.service.channels[client.pipe, name]
        self._name = name
        self._opening = opening
        self._buffer: list[tuple[list[Row], str | None]] = []
        self._shut_out = False
        self._closed = False

    def append_rows(
        self,
        rows: list[Row],
        start_offset_token: str | None = None,
        end_offset_token: str | None = None,
    ) -> None:
        self._check()
        if self._service.saturated_after == 0:
            raise failure(StreamingIngestErrorCode.RECEIVER_SATURATED)
        if self._service.saturated_after:
            self._service.saturated_after -= 1
        lines = msgspec.json.Encoder().encode_lines(rows)  # as the SDK does
        self._buffer.append(([json.loads(line) for line in lines.splitlines()], end_offset_token))
        self._service.calls.append(len(rows))

    def get_channel_status(self) -> ChannelStatus:
        with self._service.lock:
            self._check()
            if self._opening == self._server.opening:
                self._service.commit(self._client.pipe, self._server)
                self._server.sent.extend(self._buffer)
                self._buffer.clear()
            else:
                self._shut_out = bool(self._buffer)
                self._check()
            return self._client.status(self._name)

    def close(
        self, drop: bool = False, wait_for_flush: bool = True, timeout_seconds: int | None = None
    ) -> None:
        self._closed = True

    def _check(self) -> None:
        self._client.check()
        if self._closed:
            raise failure(StreamingIngestErrorCode.CLOSED_CHANNEL_ERROR)
        if self._shut_out:
            raise failure(StreamingIngestErrorCode.INVALID_CHANNEL_ERROR)
