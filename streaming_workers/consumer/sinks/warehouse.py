"""The sink that writes to the warehouse: one bulk insert a table and one update of the offsets."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any

import yaml
from aiokafka import TopicPartition
from typing_extensions import override

from include.settings import DBT_PROJECT_DIR
from include.warehouse import Session, Warehouse
from include.warehouse.dialect import Dialect
from streaming_workers.consumer.batches import Batch
from streaming_workers.consumer.sinks.base import OffsetConflictError, Sink, SinkError

SCHEMA = "streaming"
OFFSETS = "streaming.kafka_offsets"
SOURCE_FILE = DBT_PROJECT_DIR / "models" / "staging" / "streams" / "_streaming__sources.yml"


class WarehouseSink(Sink):
    """Events in `streaming.*_raw`, offsets in `streaming.kafka_offsets`."""

    def __init__(self, warehouse: Warehouse, dialect: Dialect) -> None:
        self._warehouse = warehouse
        self._dialect = dialect
        self._open_session: Session | None = None
        self._closing = ExitStack()

    @override
    def prepare(self) -> None:
        """Make the tables where dbt has not made them; whichever comes first makes the same."""
        with self._session() as session:
            session.create_schema(SCHEMA)
            for table, columns in self.table_columns().items():
                session.execute(f"create table if not exists {table} ({', '.join(columns)})")
            _add_missing_column(session)

    @override
    def stored_offsets(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        with self._session() as session:
            rows = session.execute(f"select kafka_topic, kafka_partition, next_offset from {OFFSETS}")  # noqa: S608
        stored: dict[TopicPartition, int] = {}
        for topic, partition, offset in rows:
            key = TopicPartition(topic, partition)
            if key in stored:
                raise SinkError(
                    f"{OFFSETS} has more than one row for partition {partition} of {topic}: keep the lowest"
                )
            stored[key] = offset
        return {partition: stored[partition] for partition in partitions if partition in stored}

    @override
    def register(self, offsets: Mapping[TopicPartition, int]) -> None:
        with self._session() as session, session.transaction():
            for (topic, partition), offset in offsets.items():
                session.execute(
                    f"insert into {OFFSETS} (kafka_topic, kafka_partition, next_offset, updated_at)"  # noqa: S608
                    f" select ?, ?, ?, ? where not exists"
                    f" (select 1 from {OFFSETS} where kafka_topic = ? and kafka_partition = ?)",
                    [topic, partition, offset, datetime.now(UTC), topic, partition],
                )

    @override
    def topic_ids(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, str]:
        with self._session() as session:
            rows = session.execute(
                f"select kafka_topic, kafka_partition, topic_id from {OFFSETS} where topic_id is not null"  # noqa: S608
            )
        known = {TopicPartition(topic, partition): topic_id for topic, partition, topic_id in rows}
        return {partition: known[partition] for partition in partitions if partition in known}

    @override
    def remember_topic_ids(self, ids: Mapping[TopicPartition, str]) -> None:
        with self._session() as session, session.transaction():
            for (topic, partition), topic_id in ids.items():
                session.execute(
                    f"update {OFFSETS} set topic_id = ?"  # noqa: S608 (our names)
                    " where kafka_topic = ? and kafka_partition = ?"
                    " and (topic_id is null or next_offset = 0)",
                    [topic_id, topic, partition],
                )

    @override
    def store(self, batch: Batch) -> None:
        """The offsets come last, so that their lock, which other consumers wait for, is held briefly."""
        with self._session() as session, session.transaction():
            now = datetime.now(UTC)
            for stream, rows in batch.rows.items():
                if rows:
                    constants = {"kafka_topic": stream.topic, "ingested_at": now}
                    session.insert_rows(
                        stream.table, rows.columns(), constants=constants, json_columns={"payload"}
                    )
            _move_offsets(session, batch, now)

    def table_columns(self) -> dict[str, list[str]]:
        """Return the definition of each column and of the key, by table, as dbt describes the source."""
        [source] = yaml.safe_load(SOURCE_FILE.read_text(encoding="utf-8"))["sources"]
        return {
            f"{SCHEMA}.{table['name']}": _definitions(table["columns"], self._dialect.json_type)
            for table in source["tables"]
        }

    @contextmanager
    def _session(self) -> Iterator[Session]:
        keep = False
        try:
            try:
                if self._open_session is None:
                    self._open_session = self._closing.enter_context(self._warehouse.session())
                yield self._open_session
                keep = self._dialect.keeps_session
            finally:
                if not keep:
                    self._open_session = None
                    self._closing.close()
        except self._dialect.errors as error:
            raise SinkError(f"{type(error).__name__}: {' '.join(str(error).split())}") from error


def _add_missing_column(session: Session) -> None:
    """Give the offsets of an earlier version the topic's id; Snowflake needs no DDL where it is there."""
    names = {str(name).lower() for name, *_ in session.execute(f"describe table {OFFSETS}")}
    if "topic_id" not in names:
        session.execute(f"alter table {OFFSETS} add column topic_id varchar")


def _definitions(columns: list[dict[str, Any]], json_type: str) -> list[str]:
    """Return a table's columns and primary key as SQL, from data_type and constraints of a dbt source."""
    definitions, key = [], []
    for column in columns:
        constraints = {one["type"] for one in column.get("constraints", [])}
        data_type = json_type if column["data_type"] == "json" else column["data_type"]
        definitions.append(f"{column['name']} {data_type}{' not null' if 'not_null' in constraints else ''}")
        if "primary_key" in constraints:
            key.append(column["name"])
    return [*definitions, f"primary key ({', '.join(key)})"] if key else definitions


def _move_offsets(session: Session, batch: Batch, now: datetime) -> None:
    """Move each stored offset from the expected to the next; an update is all that ever changes one.

    Raises OffsetConflictError, which leaves the transaction to be rolled back.
    """
    if not batch.moves:
        return
    moved = ", ".join("(?, ?, ?, ?)" for _ in batch.moves)
    values = [
        value
        for (topic, partition), move in batch.moves.items()
        for value in (topic, partition, move.expected, move.next)
    ]
    [(count, *_)] = session.execute(
        f"update {OFFSETS} set next_offset = moved.next_offset, updated_at = ?"  # noqa: S608 (our names)
        f" from (values {moved}) as moved (kafka_topic, kafka_partition, expected_offset, next_offset)"
        f" where {OFFSETS}.kafka_topic = moved.kafka_topic"
        f" and {OFFSETS}.kafka_partition = moved.kafka_partition"
        f" and {OFFSETS}.next_offset = moved.expected_offset",
        [now, *values],
    )
    if count != len(batch.moves):
        raise OffsetConflictError(
            f"{len(batch.moves) - count} of {len(batch.moves)} stored offsets are not the expected ones"
        )
