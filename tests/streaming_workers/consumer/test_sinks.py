"""The contract of a sink: each event once, in order, below the stored offset, by one consumer at a time."""

import datetime as dt
import json
import time
from pathlib import Path
from typing import Any

import duckdb
import pytest
from snowflake.connector.errors import Error as SnowflakeError

from include.settings import Settings
from include.warehouse import Warehouse, snowflake
from include.warehouse.duckdb import DuckDBWarehouse
from streaming_workers.consumer.batches import Batch
from streaming_workers.consumer.sinks import OffsetConflictError, Sink, SinkError, get_sink, snowpipe
from streaming_workers.consumer.sinks.warehouse import OFFSETS, WarehouseSink
from streaming_workers.events import PRICES_TOPIC, STREAMS
from tests.streaming_workers.consumer.sink_places import FIRST, NEWS, SECOND, TIME, Place, batch, record
from tests.streaming_workers.harness import Message, price
from tests.warehouse.locks import locked


@pytest.fixture
def sink(place: Place) -> Sink:
    one = place.new_sink()
    one.prepare()
    return one


def test_rows_hold_the_message_as_it_came_and_its_place(sink: Sink, place: Place) -> None:
    observed = "2025-06-15T17:06:39.5+02:00"
    message = price(7, observed_at=observed, note='é "quoted" \\ \n 日本', exact=12345678901234567890.5)
    one = Batch(generation=1)
    odd = [record(price(8), 43, time_ms=-1), record(price(9), 44, time_ms=2**62)]
    one.add(FIRST, [record(message, 41), *odd], 10_000)
    one.move(FIRST, 40, 45)
    sink.register({FIRST: 40})

    before = dt.datetime.now(dt.UTC)
    sink.store(one)

    first, second, third = place.query(
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
    assert (third[4], third[5]) == (44, None)
    [(payload,), *_] = place.query("select payload from streaming.bitcoin_prices_raw order by kafka_offset")
    assert json.loads(payload) == json.loads(message.value or b"")
    assert sink.stored_offsets([FIRST, SECOND]) == {FIRST: 45}


def test_a_batch_of_several_partitions_and_topics_moves_all_their_offsets(sink: Sink, place: Place) -> None:
    both = batch(0, 1)
    both.add(SECOND, [record(price(5), 5, SECOND)], 10_000)
    both.move(SECOND, 5, 6)
    both.move(NEWS, 0, 3)  # nothing but markers of transactions
    sink.register({FIRST: 0, SECOND: 5, NEWS: 0})

    sink.store(both)

    assert [row[1:] for row in place.stored()] == [(0, 0, "event-0"), (0, 1, "event-1"), (1, 5, "event-5")]
    assert sink.stored_offsets([FIRST, SECOND, NEWS]) == {FIRST: 2, SECOND: 6, NEWS: 3}


def test_events_are_stored_in_the_order_of_their_partition(
    sink: Sink, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is stored at any moment is everything up to some offset."""
    monkeypatch.setattr(snowpipe, "APPEND_BYTES", 500)  # several calls a batch
    sink.register({FIRST: 0, SECOND: 0})
    for start in (0, 8):
        sink.store(batch(*range(start, start + 8)))
        sink.store(batch(start // 4, start // 4 + 1, partition=SECOND))

        assert place.offsets() == [*range(start + 8), *range(start // 4 + 2)]

    inserted = place.query(
        "select kafka_partition, kafka_offset, ingested_at from streaming.bitcoin_prices_raw order by 1, 2"
    )
    times = [row[2] for row in inserted if row[0] == 0]
    assert times == sorted(times)


def test_the_next_consumer_goes_on_where_the_last_one_stopped(sink: Sink, place: Place) -> None:
    sink.register({FIRST: 0, SECOND: 7})
    sink.store(batch(0, 1, 2))

    successor = place.new_sink()
    successor.prepare()
    assert successor.stored_offsets([FIRST, SECOND, NEWS]) == {FIRST: 3, SECOND: 7}
    successor.store(batch(3, 4))
    successor.store(batch(7, partition=SECOND))

    assert place.offsets() == [0, 1, 2, 3, 4, 7]
    assert successor.stored_offsets([FIRST, SECOND]) == {FIRST: 5, SECOND: 8}


def test_a_partition_registered_and_never_stored_to_survives_a_restart(sink: Sink, place: Place) -> None:
    sink.register({FIRST: 12})

    assert place.new_sink().stored_offsets([FIRST, SECOND]) == {FIRST: 12}


def test_a_consumer_that_was_replaced_stores_nothing(sink: Sink, place: Place) -> None:
    sink.register({FIRST: 0, SECOND: 0})
    sink.store(batch(0, 1))
    successor = place.new_sink()
    assert successor.stored_offsets([FIRST]) == {FIRST: 2}
    successor.store(batch(2, 3, 4))

    both = batch(2, 3)
    both.add(SECOND, [record(price(9), 0, SECOND)], 10_000)
    both.move(SECOND, 0, 1)
    with pytest.raises(OffsetConflictError):
        sink.store(both)

    assert [row[1:3] for row in place.stored()] == [(0, offset) for offset in range(5)]
    assert sink.stored_offsets([FIRST, SECOND]) == {FIRST: 5, SECOND: 0}


def test_of_two_that_store_the_same_messages_one_does(sink: Sink, place: Place) -> None:
    """The old one is about to store when the new one has just taken over."""
    sink.register({FIRST: 0})
    sink.store(batch(0))
    successor = place.new_sink()
    successor.stored_offsets([FIRST])

    done = []
    for one in (sink, successor):
        try:
            one.store(batch(1, 2))
            done.append(one)
        except OffsetConflictError:
            continue

    assert len(done) == 1
    assert place.offsets() == [0, 1, 2]


def test_a_batch_that_comes_again_is_a_conflict(sink: Sink, place: Place) -> None:
    sink.register({FIRST: 0})
    sink.store(batch(0, 1))

    with pytest.raises(OffsetConflictError):
        sink.store(batch(0, 1))

    assert place.offsets() == [0, 1]
    sink.store(batch(2))
    assert place.offsets() == [0, 1, 2]


def test_a_batch_without_a_row_moves_the_offset(sink: Sink, place: Place) -> None:
    """Dead letters and markers of transactions leave no row."""
    nothing = Batch(generation=1)
    nothing.add(FIRST, [record(Message(b"no event"), 0)], 10_000)
    nothing.move(FIRST, 0, 5)
    sink.register({FIRST: 0})

    sink.store(nothing)

    assert place.stored() == []
    assert place.new_sink().stored_offsets([FIRST]) == {FIRST: 5}
    sink_again = place.new_sink()
    sink_again.store(batch(6, 8, expected=5, end=11))
    assert place.offsets() == [6, 8]
    assert sink_again.stored_offsets([FIRST]) == {FIRST: 11}


@pytest.mark.parametrize(
    ("statement", "who"),
    [("update streaming.kafka_offsets", "the next consumer"), ("commit", "the same consumer")],
)
def test_after_an_error_the_same_messages_are_stored_once(
    sink: Sink, place: Place, monkeypatch: pytest.MonkeyPatch, statement: str, who: str
) -> None:
    sink.register({FIRST: 0})
    sink.store(batch(0))
    kind = place.session_type
    original = kind.execute

    def broken(self: Any, sql: str, parameters: Any = ()) -> Any:
        if sql.startswith(statement):
            raise place.error
        return original(self, sql, parameters)

    with monkeypatch.context() as broken_warehouse:
        broken_warehouse.setattr(kind, "execute", broken)
        for _ in range(2):
            with pytest.raises(SinkError, match=str(place.error)):
                sink.store(batch(1, 2))
    if who == "the next consumer":
        sink = place.new_sink()
        assert sink.stored_offsets([FIRST]) == {FIRST: 1}
    sink.store(batch(1, 2))

    assert place.offsets() == [0, 1, 2]
    assert sink.stored_offsets([FIRST]) == {FIRST: 3}


@pytest.mark.parametrize("expected", [1, 3], ids=["behind", "ahead"])
def test_an_unexpected_offset_stores_nothing(sink: Sink, place: Place, expected: int) -> None:
    sink.register({FIRST: 0, SECOND: 0})
    sink.store(batch(0, 1))
    late = batch(2, 3, expected=expected)
    late.add(SECOND, [record(price(9), 0, SECOND)], 10_000)
    late.move(SECOND, 0, 1)

    with pytest.raises(OffsetConflictError, match="1 of 2"):
        sink.store(late)

    assert place.offsets() == [0, 1]
    assert sink.stored_offsets([FIRST, SECOND]) == {FIRST: 2, SECOND: 0}


def test_a_partition_that_nobody_registered_is_a_conflict(sink: Sink, place: Place) -> None:
    with pytest.raises(OffsetConflictError):
        sink.store(batch(0))

    assert place.stored() == []


def test_a_new_partition_is_asked_for_then_registered_then_stored_to(sink: Sink, place: Place) -> None:
    assert sink.stored_offsets([FIRST]) == {}
    sink.register({FIRST: 3})
    sink.store(batch(3, 4))

    assert place.offsets() == [3, 4]


def test_registering_leaves_a_known_partition_alone(sink: Sink) -> None:
    sink.register({FIRST: 4})
    sink.register({FIRST: 0, SECOND: 1})

    assert sink.stored_offsets([FIRST, SECOND, NEWS]) == {FIRST: 4, SECOND: 1}


def test_a_topics_id_is_kept_once_and_offsets_move_beside_it(sink: Sink, place: Place) -> None:
    sink.register({FIRST: 0, SECOND: 0})
    assert sink.topic_ids([FIRST, SECOND]) == {}
    sink.remember_topic_ids({FIRST: "created again before anything was read"})
    sink.remember_topic_ids({FIRST: "first"})
    sink.stored_offsets([FIRST])
    sink.store(batch(0, 1))
    sink.remember_topic_ids({FIRST: "another", NEWS: "not registered"})

    assert place.new_sink().topic_ids([FIRST, SECOND, NEWS]) == {FIRST: "first"}
    assert sink.stored_offsets([FIRST]) == {FIRST: 2}


def test_offsets_of_an_earlier_version_get_the_column(sink: Sink, place: Place) -> None:
    sink.register({FIRST: 4})
    place.query("alter table streaming.kafka_offsets drop column topic_id")

    sink.prepare()
    sink.prepare()

    sink.remember_topic_ids({FIRST: "first"})
    assert sink.topic_ids([FIRST]) == {FIRST: "first"}
    assert sink.stored_offsets([FIRST]) == {FIRST: 4}


def test_two_rows_for_a_partition_are_said_and_not_written_to(sink: Sink, place: Place) -> None:
    """On Snowflake two first consumers could make one each; DuckDB's primary key refuses the second."""
    sink.register({FIRST: 0})
    row = "insert into streaming.kafka_offsets select * from streaming.kafka_offsets"
    if isinstance(place.warehouse, DuckDBWarehouse):
        with pytest.raises(duckdb.ConstraintException):
            place.query(row)
        return
    try:
        place.query(row)
    except SnowflakeError:
        pytest.skip("the double enforces primary keys, which Snowflake does not")

    with pytest.raises(SinkError, match="more than one row"):
        sink.stored_offsets([FIRST])
    with pytest.raises((OffsetConflictError, SinkError)):
        sink.store(batch(0))


def test_preparing_again_changes_nothing(sink: Sink, place: Place) -> None:
    sink.register({FIRST: 0})
    sink.store(batch(0, 1))

    sink.prepare()

    assert len(place.stored()) == 2
    assert sink.stored_offsets([FIRST]) == {FIRST: 2}


def test_a_large_batch_is_stored_whole(sink: Sink, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snowflake, "MAX_BOUND_BYTES", 20_000)  # several statements, or calls, on Snowflake
    monkeypatch.setattr(snowpipe, "APPEND_BYTES", 20_000)
    sink.register({FIRST: 0})

    sink.store(batch(*range(300)))

    assert place.offsets() == list(range(300))


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


def test_whatever_is_valid_can_be_stored(sink: Sink, place: Place) -> None:
    one = Batch(generation=1)
    for number, value in enumerate(ODD_JSON.values()):
        odd = Message((price(number, odd="here").value or b"").replace(b'"here"', value))
        one.add(FIRST, [record(odd, number)], 10_000)
    one.move(FIRST, 0, len(ODD_JSON))
    assert not one.rejected
    sink.register({FIRST: 0})

    sink.store(one)

    assert dict(zip(ODD_JSON, (row[3] for row in place.stored()), strict=True)) == {
        name: f"event-{number}" for number, name in enumerate(ODD_JSON)
    }


def test_a_session_is_kept_only_where_it_keeps_nobody_out(
    sink: Sink, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    assert isinstance(sink, WarehouseSink)
    kind = type(sink._warehouse)
    original = kind.session

    def counted(self: Warehouse) -> Any:
        opened.append(self)
        return original(self)

    sink.register({FIRST: 0})
    monkeypatch.setattr(kind, "session", counted)
    for offset in range(3):
        sink.store(batch(offset))

    assert len(opened) == (0 if place.session else 3)


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
    with DuckDBWarehouse(settings.duckdb_path).session() as session:
        session.execute("create schema streaming")
        session.execute("create table streaming.bitcoin_prices_raw (event_id varchar)")
    sink = get_sink(settings)
    sink.prepare()
    sink.register({FIRST: 0})

    with pytest.raises(SinkError, match="does not have a column with name"):
        sink.store(batch(0))

    assert sink.stored_offsets([FIRST]) == {FIRST: 0}
    with DuckDBWarehouse(settings.duckdb_path).session() as session:
        assert session.execute("select * from streaming.bitcoin_prices_raw") == []


def test_the_source_file_of_dbt_defines_all_tables(sink: Sink) -> None:
    assert isinstance(sink, WarehouseSink)
    assert set(sink.table_columns()) == {*(stream.table for stream in STREAMS.values()), OFFSETS}
