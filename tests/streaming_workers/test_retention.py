"""Retention deletes what staging holds, and nothing else."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from typer.testing import CliRunner

from include.settings import Settings, get_settings
from include.warehouse.duckdb import DuckDBWarehouse
from streaming_workers.consumer.sinks import get_sink
from streaming_workers.events import PRICES_TOPIC
from streaming_workers.retention import app
from tests.streaming_workers.consumer.sink_places import batch


@pytest.fixture
def warehouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DuckDBWarehouse]:
    """Four events: 0 and 1 are ten days old, 2 and 3 of today; all but 1 are staged."""
    path = tmp_path / "w.duckdb"
    monkeypatch.setenv("WAREHOUSE", "duckdb")
    monkeypatch.setenv("DUCKDB_PATH", str(path))
    get_settings.cache_clear()
    sink = get_sink(Settings())
    sink.prepare()
    sink.register({TopicPartition(PRICES_TOPIC, 0): 0})
    sink.store(batch(0, 1, 2, 3))
    one = DuckDBWarehouse(path)
    old = dt.datetime.now(dt.UTC) - dt.timedelta(days=10)
    with one.session() as session:
        session.execute(
            "update streaming.bitcoin_prices_raw set ingested_at = ? where kafka_offset < 2", [old]
        )
        session.execute(
            "create table streaming.stg_bitcoin as select 'event-' || n as event_id from range(4) t(n)"
        )
        session.execute("delete from streaming.stg_bitcoin where event_id = 'event-1'")
        session.execute("create table streaming.stg_news (event_id varchar)")
    yield one
    get_settings.cache_clear()


def query(warehouse: DuckDBWarehouse, sql: str) -> list[tuple[Any, ...]]:
    with warehouse.session() as session:
        return session.execute(sql)


def kept(warehouse: DuckDBWarehouse) -> list[int]:
    rows = query(warehouse, "select kafka_offset from streaming.bitcoin_prices_raw order by 1")
    return [offset for (offset,) in rows]


def test_only_old_events_that_are_staged_go(warehouse: DuckDBWarehouse) -> None:
    result = CliRunner().invoke(app, ["--days", "7"])

    assert result.exit_code == 0, result.output
    assert kept(warehouse) == [1, 2, 3]
    assert "bitcoin_prices_raw: 1 deleted, 1 old ones kept" in result.output
    assert query(warehouse, "select next_offset from streaming.kafka_offsets") == [(4,)]


def test_nothing_goes_that_is_younger(warehouse: DuckDBWarehouse) -> None:
    CliRunner().invoke(app, ["--days", "11"])

    assert kept(warehouse) == [0, 1, 2, 3]


def test_without_staging_nothing_goes_and_it_is_said(warehouse: DuckDBWarehouse) -> None:
    query(warehouse, "drop table streaming.stg_bitcoin")

    result = CliRunner().invoke(app, ["--days", "7"])

    assert result.exit_code == 0, result.output
    assert kept(warehouse) == [0, 1, 2, 3]
    assert "nothing deleted, since there is no streaming.stg_bitcoin" in result.output


@pytest.mark.parametrize("days", ["0", "-1", "many"])
def test_a_number_of_days_that_makes_no_sense_is_refused(warehouse: DuckDBWarehouse, days: str) -> None:
    result = CliRunner().invoke(app, ["--days", days])

    assert result.exit_code == 2
    assert kept(warehouse) == [0, 1, 2, 3]
