"""The models of the streams on a real DuckDB file, fed as the consumer feeds them."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from include.settings import Settings
from include.warehouse.duckdb import DuckDBWarehouse
from streaming_workers.consumer.sinks import get_sink
from streaming_workers.events import NEWS_TOPIC, PRICES_TOPIC, STREAMS, BitcoinPrice, Event, NewsEvent
from tests.dbt.dbt_project import WAREHOUSE, Outcome, Project, Rows, make_project

STREAMING = ("--select", "tag:streaming")
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose warehouse no consumer has touched, built once with no variable set."""
    project = make_project(tmp_path_factory.mktemp("streams"))
    project.folder.mkdir()
    project.warehouse.parent.mkdir(parents=True)
    assert project.dbt_as_typed("build", *STREAMING).success
    return project


@pytest.fixture(scope="module")
def manifest(untouched: Project) -> Any:
    """The parsed project."""
    return untouched.dbt_as_typed("parse").raw.result


@pytest.fixture
def project(untouched: Project, manifest: Any, tmp_path: Path) -> Project:
    """A copy of it to change at will."""
    copy = untouched.copy(tmp_path)
    return Project(copy.tree, copy.folder, tmp_path / WAREHOUSE, manifest)


def test_dbt_and_the_consumer_make_the_same_tables(untouched: Project, tmp_path: Path) -> None:
    """Whichever comes first makes them; the other one must find what it would have made."""
    path = tmp_path / WAREHOUSE
    get_sink(Settings(warehouse="duckdb", duckdb_path=path)).prepare()
    definition = (
        "select table_name, column_name, ordinal_position, data_type, is_nullable"
        " from information_schema.columns where table_schema = 'streaming'"
        " and table_name in ('bitcoin_prices_raw', 'news_events_raw', 'kafka_offsets') order by all"
    )
    keys = (
        "select table_name, constraint_column_names from duckdb_constraints()"
        " where schema_name = 'streaming' and constraint_type = 'PRIMARY KEY'"
    )
    with DuckDBWarehouse(path).session() as session:
        by_the_consumer = session.execute(definition)
        assert session.execute(keys) == [("kafka_offsets", ["kafka_topic", "kafka_partition"])]
    assert len(by_the_consumer) == 21
    assert untouched.query(definition) == by_the_consumer
    assert untouched.query(keys) == [("kafka_offsets", ["kafka_topic", "kafka_partition"])]


def run(project: Project, *arguments: str, **variables: str) -> None:
    """Run the models of the streams."""
    outcome = project.dbt("run", *STREAMING, *arguments, **variables)
    assert outcome.success, outcome.output[-3000:]


def build(project: Project, **variables: str) -> Outcome:
    """Run the models of the streams and their data tests."""
    return project.dbt("build", *STREAMING, "--exclude-resource-type", "unit_test", **variables)


def price(minutes: float, usd: str, coin: str = "bitcoin") -> BitcoinPrice:
    """Return the price of a coin, this many minutes after noon."""
    moment = NOON + timedelta(minutes=minutes)
    return BitcoinPrice(
        event_id=f"{coin}:{moment.isoformat()}",
        coin=coin,
        price_usd=Decimal(usd),
        change_24h_pct=None,
        observed_at=moment,
        fetched_at=moment,
    )


def article(
    minutes: float, headline: str, source: str = "Reuters", description: str | None = None
) -> NewsEvent:
    """Return an article, published this many minutes after noon."""
    moment = NOON + timedelta(minutes=minutes)
    return NewsEvent(
        event_id=f"{headline}|{moment.isoformat()}",
        source_name=source,
        headline=headline,
        description=description,
        url="https://example.com",
        author=None,
        category="business",
        published_at=moment,
        fetched_at=moment,
    )


def store(project: Project, arrived: float, *events: Event, partition: int = 0) -> None:
    """Store events as the consumer does, this many minutes after noon, in one transaction with the offset."""
    ingested_at = NOON + timedelta(minutes=arrived)
    with DuckDBWarehouse(project.warehouse).session() as session, session.transaction():
        for event in events:
            topic = PRICES_TOPIC if isinstance(event, BitcoinPrice) else NEWS_TOPIC
            where = "kafka_topic = ? and kafka_partition = ?"
            known = session.execute(
                f"select next_offset from streaming.kafka_offsets where {where}", [topic, partition]
            )
            offset = known[0][0] if known else 0
            session.execute(
                f"insert into {STREAMS[topic].table} values (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    event.event_id,
                    event.event_timestamp,
                    event.to_json().decode(),
                    topic,
                    partition,
                    offset,
                    ingested_at,
                    ingested_at,
                ],
            )
            session.execute(f"delete from streaming.kafka_offsets where {where}", [topic, partition])
            session.execute(
                "insert into streaming.kafka_offsets (kafka_topic, kafka_partition, next_offset, updated_at)"
                " values (?, ?, ?, ?)",
                [topic, partition, offset + 1, ingested_at],
            )


def staged(project: Project) -> dict[str, Decimal]:
    return dict(project.query("select event_id, price_usd from streaming.stg_bitcoin"))


def hours(project: Project) -> Rows:
    """Return coin, hour after noon, open, high, low, close and number of prices."""
    return project.query(
        "select coin, datediff('hour', timestamptz '2026-01-05 12:00:00+00', event_hour), open_price_usd,"
        " high_price_usd, low_price_usd, close_price_usd, observation_count"
        " from analytics.fct_bitcoin_prices_hourly order by all"
    )


def expected_hours(*events: BitcoinPrice) -> Rows:
    """Recompute `hours` from the first message of each event."""
    found: dict[tuple[str, int], dict[datetime, Decimal]] = defaultdict(dict)
    for event in events:
        hour = (event.observed_at - NOON) // timedelta(hours=1)
        found[event.coin, hour].setdefault(event.observed_at, event.price_usd)
    rows = []
    for (coin, hour), by_time in sorted(found.items()):
        prices = [by_time[moment] for moment in sorted(by_time)]
        rows.append((coin, hour, prices[0], max(prices), min(prices), prices[-1], len(prices)))
    return rows


def test_a_warehouse_that_no_consumer_touched_has_the_streams_tables(untouched: Project) -> None:
    types: dict[str, str] = dict(
        untouched.query(
            "select column_name, data_type from information_schema.columns"
            " where table_schema = 'streaming' and table_name = 'news_events_raw'"
        )
    )

    assert types == {
        "event_id": "VARCHAR",
        "event_timestamp": "TIMESTAMP WITH TIME ZONE",
        "payload": "JSON",
        "kafka_topic": "VARCHAR",
        "kafka_partition": "INTEGER",
        "kafka_offset": "BIGINT",
        "kafka_timestamp": "TIMESTAMP WITH TIME ZONE",
        "ingested_at": "TIMESTAMP WITH TIME ZONE",
    }
    assert untouched.query("select count(*) from streaming.stg_bitcoin") == [(0,)]


def test_late_repeated_and_out_of_order_events(project: Project) -> None:
    """Four batches and a run after each: in the end the same as one run over all, and as Python says."""
    batches = [
        (1, [price(0, "100"), price(59, "103"), price(60, "50")]),
        (
            62,
            [price(30, "90"), price(61, "51"), price(0, "999"), price(1, "7", "ethereum")],
        ),  # repeated, late
        (70, [price(-2000, "42"), price(-1999, "43")]),  # late by more than a day
        (71, [price(-1999.5, "44"), price(59, "998"), price(69, "49"), price(68, "48")]),  # out of order
    ]
    for arrived, events in batches:
        store(project, arrived, *events, partition=arrived % 2)
        run(project)
    assert build(project).failed == set()

    everything = [event for _, events in batches for event in events]
    firsts: dict[str, Decimal] = {}
    for event in everything:
        firsts.setdefault(event.event_id, event.price_usd)
    assert staged(project) == firsts
    assert hours(project) == expected_hours(*everything)

    events_then, hours_then = staged(project), hours(project)
    project.query("drop table streaming.stg_bitcoin cascade")
    project.query("drop table analytics.fct_bitcoin_prices_hourly")
    run(project)
    assert (staged(project), hours(project)) == (events_then, hours_then)


def test_only_the_hours_with_new_events_are_built_again(project: Project) -> None:
    store(project, 200, price(0, "1"), price(60, "2"), price(120, "3"), article(0, "a"), article(60, "b"))
    run(project)
    before = datetime.now(UTC)

    store(project, 201, price(61, "4"), price(120, "5"), article(1, "Bitcoin"))
    run(project)

    rebuilt = "select event_hour from {} where processed_at > '" + str(before) + "'"
    assert project.query(rebuilt.format("analytics.fct_bitcoin_prices_hourly")) == [
        (NOON + timedelta(hours=1),)
    ]
    assert project.query(rebuilt.format("analytics.fct_news_hourly")) == [(NOON,)]
    assert project.query(
        "select article_count, source_count, crypto_mention_count, crypto_mention_share"
        " from analytics.fct_news_hourly order by event_hour"
    ) == [(2, 1, 1, Decimal("0.5")), (1, 1, 0, Decimal(0))]


def test_the_row_count_grows_by_what_arrived(project: Project) -> None:
    """The commands of the README."""

    def count() -> str:
        outcome = project.dbt("run-operation", "get_row_count", "--args", "{table_name: stg_bitcoin}")
        assert outcome.success
        return outcome.output

    store(project, 1, price(0, "1"), price(1, "2"))
    run(project)
    assert "stg_bitcoin: 2 rows" in count()

    store(project, 3, price(2, "3"))
    run(project)
    assert "stg_bitcoin: 3 rows" in count()


def test_the_live_views_do_not_wait_for_dbt(project: Project) -> None:
    store(project, 1, price(0, "1"), article(0, "old"))
    run(project)

    store(project, 2, price(0, "9"), price(1, "2"), price(1, "8"), article(1, "new"))

    assert project.query(
        "select event_timestamp, price_usd, is_processed from streaming.bitcoin_prices_live order by 1"
    ) == [(NOON, 1, True), (NOON + timedelta(minutes=1), 2, False)]
    assert project.query("select headline, is_processed from streaming.news_live order by 1") == [
        ("new", False),
        ("old", True),
    ]


def test_no_build_loses_what_retention_took_from_the_raw_tables(project: Project) -> None:
    store(project, 1, price(0, "1"), price(1, "2"))
    run(project)
    project.query("delete from streaming.bitcoin_prices_raw")
    store(project, 5, price(0, "9"), price(4, "3"))

    run(project, "--full-refresh")
    assert build(project, start_date="2026-01-05", end_date="2026-01-06").failed == set()

    assert sorted(staged(project).values()) == [1, 2, 3]
    assert hours(project) == expected_hours(price(0, "1"), price(1, "2"), price(4, "3"))


def test_a_range_is_typed_again_and_adds_what_the_look_back_missed(project: Project) -> None:
    store(project, 600, price(0, "1"), price(600, "2"))
    run(project)
    store(project, 60, price(30, "3"))  # stored with a clock that is nine hours slow
    store(project, 601, price(601, "4"))

    assert build(project).failed == {"streaming_events_are_staged_once"}
    assert sorted(staged(project).values()) == [1, 2, 4]

    project.query("update streaming.stg_bitcoin set price_usd = 77 where price_usd = 1")
    hour = {"start_date": "2026-01-05T12:00:00+00:00", "end_date": "2026-01-05T13:00:00+00:00"}
    assert build(project, **hour).failed == set()
    assert sorted(staged(project).values()) == [1, 2, 3, 4]
    assert [row[2:] for row in hours(project)] == [(1, 3, 1, 3, 2), (2, 4, 2, 4, 2)]


def test_stale_prices_are_found_and_empty_tables_are_not(project: Project) -> None:
    assert project.dbt("source", "freshness", "--select", "source:streaming").success

    store(project, 1, price(0, "1"))  # long ago

    outcome = project.dbt("source", "freshness", "--select", "source:streaming")
    assert not outcome.success
    assert "ERROR STALE freshness of streaming.bitcoin_prices_raw" in outcome.output
    assert "PASS freshness of streaming.news_events_raw" in outcome.output


FACT = "analytics.fct_bitcoin_prices_hourly"


@pytest.mark.parametrize(
    ("mutation", "test"),
    [
        ("delete from streaming.stg_bitcoin where price_usd = 1", "streaming_events_are_staged_once"),
        (
            "insert into streaming.stg_bitcoin from streaming.stg_bitcoin limit 1",
            "unique_stg_bitcoin_event_id",
        ),
        (f"update {FACT} set observation_count = 1", "hourly_prices_reconcile_with_staging"),
        (f"delete from {FACT}", "hourly_prices_reconcile_with_staging"),
        (f"update {FACT} set close_price_usd = 9", "hourly_prices_are_in_order"),
        (f"update {FACT} set volatility_class = 'Low'", "hourly_prices_are_in_order"),
        (
            "update analytics.fct_news_hourly set article_count = 2",
            "hourly_news_reconcile_with_staging",
        ),
        ("update streaming.kafka_offsets set next_offset = 1", "stored_messages_lie_below_the_offsets"),
        (
            "insert into streaming.bitcoin_prices_raw from streaming.bitcoin_prices_raw limit 1",
            "source_unique_combination_streaming_bitcoin_prices_raw_kafka_topic__kafka_partition__kafka_offset",
        ),
    ],
)
def test_a_broken_warehouse_fails_the_test_that_guards_it(built: Project, mutation: str, test: str) -> None:
    built.query(mutation)

    assert built.dbt("test", "--select", test).states == {test: "fail"}


@pytest.fixture(scope="module")
def built_once(untouched: Project, manifest: Any, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Two prices of an hour, the first lower, and an article; built."""
    folder = tmp_path_factory.mktemp("built")
    copy = untouched.copy(folder)
    project = Project(copy.tree, copy.folder, folder / WAREHOUSE, manifest)
    store(project, 2, price(0, "1"), price(1, "2"), article(0, "a"))
    assert build(project).failed == set()
    return project


@pytest.fixture
def built(built_once: Project, tmp_path: Path) -> Project:
    """A copy of it to break."""
    return built_once.copy(tmp_path)
