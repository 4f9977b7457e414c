"""Events and offsets are stored together or not at all, on both warehouses."""

import datetime as dt
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from aiokafka import ConsumerRecord, TopicPartition
from snowflake.connector.errors import Error as SnowflakeError

from include.settings import Settings
from include.warehouse import Warehouse, snowflake
from include.warehouse.duckdb import DuckDBWarehouse
from streaming_workers.batches import Batch
from streaming_workers.events import NEWS_TOPIC, PRICES_TOPIC
from streaming_workers.sinks import OffsetConflictError, Sink, SinkError, get_sink
from streaming_workers.sinks.warehouse import WarehouseSink
from tests.doubles.snowflake_double import start_double
from tests.streaming_workers.harness import Message, price
from tests.warehouse.locks import locked

FIRST, SECOND = TopicPartition(PRICES_TOPIC, 0), TopicPartition(PRICES_TOPIC, 1)
NEWS = TopicPartition(NEWS_TOPIC, 0)
TIME_MS = 1_750_000_000_123
TIME = dt.datetime(2025, 6, 15, 15, 6, 40, 123_000, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def snowflake_double() -> Iterator[None]:
    """Point every SNOWFLAKE_* variable at a double."""
    with start_double() as double, pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("SNOWFLAKE_")]:
            patch.delenv(name)
        for name in ("account", "user", "password", "host", "port", "protocol", "database"):
            patch.setenv(f"SNOWFLAKE_{name.upper()}", str(double.connect_arguments()[name]))
        yield


@pytest.fixture(params=["duckdb", "snowflake"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settings]:
    """Settings of either warehouse, with nothing in it."""
    one = Settings(warehouse=request.param, duckdb_path=tmp_path / "warehouse.duckdb")
    if request.param == "snowflake":
        request.getfixturevalue("snowflake_double")
    yield one
    if request.param == "snowflake":
        with snowflake.SnowflakeWarehouse().session() as session:
            session.execute("drop schema streaming")


@pytest.fixture
def warehouse(settings: Settings) -> Warehouse:
    return (
        snowflake.SnowflakeWarehouse()
        if settings.warehouse == "snowflake"
        else DuckDBWarehouse(settings.duckdb_path)
    )


@pytest.fixture
def sink(settings: Settings) -> Sink:
    one = get_sink(settings)
    one.prepare()
    return one


def query(warehouse: Warehouse, sql: str) -> list[tuple[Any, ...]]:
    with warehouse.session() as session:
        return session.execute(sql)


def record(
    message: Message, offset: int, partition: TopicPartition = FIRST, time_ms: int = TIME_MS
) -> ConsumerRecord:
    size = len(message.value or b"")
    return ConsumerRecord(*partition, offset, time_ms, 0, message.key, message.value, None, 0, size, ())


def batch(*numbers: int, partition: TopicPartition = FIRST, expected: int | None = None) -> Batch:
    """Return a batch of one event an offset, from the first offset (or `expected`) on."""
    one = Batch(generation=1)
    one.add(partition, [record(price(number), number, partition) for number in numbers], 10_000)
    one.move(partition, numbers[0] if expected is None else expected, numbers[-1] + 1)
    return one


def stored(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    return query(
        warehouse,
        "select kafka_topic, kafka_partition, kafka_offset, event_id from streaming.bitcoin_prices_raw"
        " order by 1, 2, 3",
    )


def test_rows_hold_the_message_as_it_came_and_its_place(sink: Sink, warehouse: Warehouse) -> None:
    observed = "2025-06-15T17:06:39.5+02:00"
    message = price(7, observed_at=observed, note='é "quoted" \\ \n 日本', exact=12345678901234567890.5)
    one = Batch(generation=1)
    one.add(FIRST, [record(message, 41), record(price(8), 43, time_ms=-1)], 10_000)
    one.move(FIRST, 40, 44)
    sink.register({FIRST: 40})

    before = dt.datetime.now(dt.UTC)
    sink.store(one)

    first, second = query(
        warehouse,
        "select event_id, event_timestamp, kafka_topic, kafka_partition, kafka_offset, kafka_timestamp,"
        " ingested_at from streaming.bitcoin_prices_raw order by kafka_offset",
    )
    assert first[:5] == (
        "event-7",
        dt.datetime(2025, 6, 15, 15, 6, 39, 500_000, tzinfo=dt.UTC),
        PRICES_TOPIC,
        0,
        41,
    )
    assert first[5] == TIME
    assert before <= first[6] <= dt.datetime.now(dt.UTC)
    assert (second[4], second[5]) == (43, None)
    [(payload,), _] = query(
        warehouse, "select payload from streaming.bitcoin_prices_raw order by kafka_offset"
    )
    assert json.loads(payload) == json.loads(message.value or b"")
    assert sink.stored_offsets([FIRST, SECOND]) == {FIRST: 44}


def test_a_batch_of_several_partitions_and_topics_moves_all_their_offsets(
    sink: Sink, warehouse: Warehouse
) -> None:
    both = batch(0, 1)
    both.add(SECOND, [record(price(5), 5, SECOND)], 10_000)
    both.move(SECOND, 5, 6)
    both.move(NEWS, 0, 3)  # nothing but markers of transactions
    sink.register({FIRST: 0, SECOND: 5, NEWS: 0})

    sink.store(both)

    assert [row[1:] for row in stored(warehouse)] == [(0, 0, "event-0"), (0, 1, "event-1"), (1, 5, "event-5")]
    assert sink.stored_offsets([FIRST, SECOND, NEWS]) == {FIRST: 2, SECOND: 6, NEWS: 3}


@pytest.mark.parametrize("expected", [1, 3], ids=["behind", "ahead"])
def test_an_unexpected_offset_stores_nothing(sink: Sink, warehouse: Warehouse, expected: int) -> None:
    sink.register({FIRST: 0, SECOND: 0})
    sink.store(batch(0, 1))
    late = batch(2, 3, expected=expected)
    late.add(SECOND, [record(price(9), 0, SECOND)], 10_000)
    late.move(SECOND, 0, 1)

    with pytest.raises(OffsetConflictError, match="1 of 2"):
        sink.store(late)

    assert [row[2] for row in stored(warehouse)] == [0, 1]
    assert sink.stored_offsets([FIRST, SECOND]) == {FIRST: 2, SECOND: 0}


def test_a_partition_that_nobody_registered_is_a_conflict(sink: Sink, warehouse: Warehouse) -> None:
    with pytest.raises(OffsetConflictError):
        sink.store(batch(0))

    assert stored(warehouse) == []


def test_registering_leaves_a_known_partition_alone(sink: Sink) -> None:
    sink.register({FIRST: 4})
    sink.register({FIRST: 0, SECOND: 1})

    assert sink.stored_offsets([FIRST, SECOND, NEWS]) == {FIRST: 4, SECOND: 1}


def test_two_rows_for_a_partition_are_said_and_not_written_to(sink: Sink, warehouse: Warehouse) -> None:
    """On Snowflake two first consumers could make one each; DuckDB's primary key refuses the second."""
    sink.register({FIRST: 0})
    row = "insert into streaming.kafka_offsets select * from streaming.kafka_offsets"
    if isinstance(warehouse, DuckDBWarehouse):
        with pytest.raises(duckdb.ConstraintException):
            query(warehouse, row)
        return
    try:
        query(warehouse, row)
    except SnowflakeError:
        pytest.skip("the double enforces primary keys, which Snowflake does not")

    with pytest.raises(SinkError, match="more than one row"):
        sink.stored_offsets([FIRST])
    with pytest.raises(OffsetConflictError):
        sink.store(batch(0))


def test_preparing_again_changes_nothing(sink: Sink, warehouse: Warehouse) -> None:
    sink.register({FIRST: 0})
    sink.store(batch(0, 1))

    sink.prepare()

    assert len(stored(warehouse)) == 2
    assert sink.stored_offsets([FIRST]) == {FIRST: 2}


def test_a_large_batch_is_stored_whole(
    sink: Sink, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snowflake, "MAX_BOUND_BYTES", 20_000)  # several statements on Snowflake
    sink.register({FIRST: 0})

    sink.store(batch(*range(300)))

    assert [row[2] for row in stored(warehouse)] == list(range(300))


# Valid to pydantic, and hard for parsers of JSON.
ODD_JSON = {
    "a name that repeats": b'1, "odd": 2',
    "a character of two halves": b'"\\ud83d\\ude00"',
    "the character 0": b'"a\\u0000b"',
    "a huge number": b"1e999",
    "a long number": b"1" * 400,
    "deep nesting": b"[" * 150 + b"]" * 150,
    "a slash that is escaped": b'"\\/"',
    "a line separator": '"\u2028"'.encode(),
}


@pytest.mark.parametrize("value", ODD_JSON.values(), ids=ODD_JSON.keys())
def test_whatever_is_valid_can_be_stored(sink: Sink, warehouse: Warehouse, value: bytes) -> None:
    message = price(1, odd="here")
    odd = Message((message.value or b"").replace(b'"here"', value))
    one = Batch(generation=1)
    one.add(FIRST, [record(odd, 0)], 10_000)
    one.move(FIRST, 0, 1)
    sink.register({FIRST: 0})

    sink.store(one)

    assert [row[3] for row in stored(warehouse)] == ["event-1"]


def test_a_session_is_kept_only_where_it_keeps_nobody_out(
    settings: Settings, sink: Sink, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    original = type(warehouse).session

    def counted(self: Warehouse) -> Any:
        opened.append(self)
        return original(self)

    monkeypatch.setattr(type(warehouse), "session", counted)
    sink.register({FIRST: 0})
    for offset in range(3):
        sink.store(batch(offset))
    before_the_conflict = len(opened)
    with pytest.raises(OffsetConflictError):
        sink.store(batch(0))
    sink.store(batch(3))

    assert before_the_conflict == (0 if settings.warehouse == "snowflake" else 4)
    assert len(opened) == (1 if settings.warehouse == "snowflake" else 6)  # a new one after an error
    monkeypatch.undo()
    assert [row[2] for row in stored(warehouse)] == [0, 1, 2, 3]


def test_a_locked_file_is_an_error_soon(tmp_path: Path) -> None:
    settings = Settings(warehouse="duckdb", duckdb_path=tmp_path / "w.duckdb")
    sink = get_sink(settings)
    sink.prepare()
    sink.register({FIRST: 0})
    start = time.monotonic()

    with locked(settings.duckdb_path), pytest.raises(SinkError, match="lock"):
        sink.store(batch(0))

    assert time.monotonic() - start < 5
    sink.store(batch(0))
    assert sink.stored_offsets([FIRST]) == {FIRST: 1}


def test_a_table_of_another_shape_is_named_and_kept(tmp_path: Path) -> None:
    settings = Settings(warehouse="duckdb", duckdb_path=tmp_path / "w.duckdb")
    warehouse = DuckDBWarehouse(settings.duckdb_path)
    query(warehouse, "create schema streaming")
    query(warehouse, "create table streaming.bitcoin_prices_raw (event_id varchar)")
    sink = get_sink(settings)
    sink.prepare()
    sink.register({FIRST: 0})

    with pytest.raises(SinkError, match="does not have a column with name"):
        sink.store(batch(0))

    assert sink.stored_offsets([FIRST]) == {FIRST: 0}
    assert query(warehouse, "select * from streaming.bitcoin_prices_raw") == []


def test_the_tables_are_those_that_dbt_makes(sink: Sink, warehouse: Warehouse) -> None:
    """Both are read: the macro as text, since dbt takes seconds to start."""
    macro = (Path("include/dbt/macros/streaming/streaming_tables.sql")).read_text(encoding="utf-8")
    assert isinstance(sink, WarehouseSink)

    for columns in sink.table_columns().values():
        for column in columns:
            text = f"'{column}'"
            if column.startswith("payload"):
                text = "'payload ' ~ json_type() ~ ' not null'"
            assert text.replace("timestamp_tz", "timestamp with time zone") in macro
