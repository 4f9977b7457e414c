"""Whoever stores all the time gets its turn at the DuckDB file while dbt builds."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.adapters.duckdb.credentials import DuckDBCredentials
from dbt.adapters.duckdb.environments.local import DuckDBConnectionWrapper, LocalEnvironment

from include import dbt_duckdb_plugin
from include.settings import PROJECT_ROOT
from include.warehouse.turns import Turn
from tests.machine import wait_until

STORES = """
import sys
from pathlib import Path
from include.warehouse.duckdb import {0}
with {0}(Path(sys.argv[1]), 60).session() as session:
    session.execute("insert into t values (1)")
"""
KEEPS_THE_TURN = """
import sys, time
from pathlib import Path
from include.warehouse.turns import Turn
assert Turn(Path(sys.argv[1])).take(5)
time.sleep(60)
"""


@pytest.fixture
def dbt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalEnvironment]:
    """Return what dbt-duckdb opens the file with, as profiles.yml sets it up; each handle is a node."""
    path = tmp_path / "w.duckdb"
    profile = {"path": str(path), "schema": "main", "plugins": [{"module": dbt_duckdb_plugin.__name__}]}
    environment = LocalEnvironment(DuckDBCredentials.from_dict(profile))
    monkeypatch.setattr(DuckDBConnectionManager, "_ENV", environment)
    monkeypatch.setattr(dbt_duckdb_plugin, "KEEP_SECONDS", 0)
    yield environment
    environment.close()


@contextmanager
def another(script: str, path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run the script in another process, which has taken its turn, and end it."""
    process = subprocess.Popen([sys.executable, "-c", script, str(path)], cwd=PROJECT_ROOT)
    try:
        wait_until(lambda: Turn(path).is_wanted() or process.poll() is not None, "its turn to be wanted")
        yield process
    finally:
        process.kill()
        process.wait()


def rows(node: DuckDBConnectionWrapper) -> object:
    return node.cursor().execute("select * from t").fetchall()


@pytest.mark.parametrize("waits", ["StreamDuckDBWarehouse", "DuckDBWarehouse"])
def test_who_waits_gets_the_file_between_two_nodes_of_dbt(
    dbt: LocalEnvironment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waits: str
) -> None:
    first, beside = dbt.handle(), dbt.handle()
    first.cursor().execute("create table t (n integer)")
    with another(STORES.format(waits), tmp_path / "w.duckdb") as consumer:
        monkeypatch.setattr(dbt_duckdb_plugin, "NODE_SECONDS", 0.05)
        third = dbt.handle()
        assert rows(third) == [], "a node was running all the time"
        assert consumer.poll() is None
        monkeypatch.setattr(dbt_duckdb_plugin, "TURN_SECONDS", 30)  # whatever the machine does
        for node in (first, beside, third):
            node.close()
        last = dbt.handle()
        assert rows(last) == [(1,)]
        last.close()
        assert consumer.wait(timeout=60) == 0


def test_where_nobody_waits_dbt_keeps_the_file_open(dbt: LocalEnvironment) -> None:
    dbt.handle().close()
    connection = dbt.conn
    assert connection is not None
    dbt.handle().close()
    assert dbt.conn is connection


def test_who_does_not_give_its_turn_back_delays_dbt_once(
    dbt: LocalEnvironment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dbt_duckdb_plugin, "TURN_SECONDS", 0.05)
    with another(KEEPS_THE_TURN, tmp_path / "w.duckdb"):
        dbt.handle().close()
        connection = dbt.conn
        assert connection is not None
        dbt.handle().close()
        assert dbt.conn is connection
