"""Two runs load the same file at once, as a backfill beside a scheduled run does: its rows are there once."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from include.ingestion.loader import LoadConflictError
from include.settings import PROJECT_ROOT, get_settings
from include.warehouse import get_warehouse
from tests.doubles.snowflake_double import start_double
from tests.ingestion.conftest import CUSTOMERS

pytestmark = pytest.mark.slow

# Loads a folder; given "halt", it waits in the middle of its transaction until told to go on.
RUN = """
import sys
from include.ingestion.loader import ingest
from include.warehouse import get_warehouse

warehouse = get_warehouse()
if sys.argv[2:] == ["halt"]:
    from include.warehouse import duckdb, snowflake
    for kind in (duckdb.DuckDBSession, snowflake.SnowflakeSession):
        def load(self, *arguments, original=kind.load_csv):
            print("loading", flush=True)
            sys.stdin.readline()
            return original(self, *arguments)
        kind.load_csv = load
[result] = ingest(warehouse, sys.argv[1], "customers")
print("loaded" if result.loaded else "unchanged", flush=True)
"""


@pytest.fixture(params=["duckdb", "snowflake"])
def environment(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, str]]:
    """Lead this process and those that it starts to an empty warehouse."""

    def lead_to(variables: dict[str, str]) -> dict[str, str]:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        get_settings.cache_clear()
        return {**os.environ}

    if request.param == "snowflake":
        with start_double() as double:
            yield lead_to(double.environment())
    else:
        yield lead_to({"WAREHOUSE": "duckdb", "DUCKDB_PATH": str(tmp_path / "shop.duckdb")})
    get_settings.cache_clear()


def start(folder: Path, environment: dict[str, str], *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(folder), *arguments],
        cwd=PROJECT_ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_second_run_does_not_load_what_the_first_is_loading(
    environment: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "inbox"
    folder.mkdir()
    (folder / "customers.csv").write_text(CUSTOMERS)
    with start(folder, environment, "halt") as first:
        assert first.stdout
        assert "loading\n" in first.stdout, "it ended without loading"  # among the lines of the log
        second = start(folder, environment)
        if environment["WAREHOUSE"] == "snowflake":
            # Snowflake would let it wait for the first one's lock, where the double refuses at once.
            _, said = second.communicate(timeout=500)
            assert second.returncode == 1
            assert "Conflict on" in said or LoadConflictError.__name__ in said, said
        output, said = first.communicate("go on\n", timeout=500)
        assert output.endswith("loaded\n"), said
    if environment["WAREHOUSE"] == "snowflake":
        second = start(folder, environment)  # as Airflow tries again
    output, said = second.communicate(timeout=500)
    assert output.endswith("unchanged\n"), said

    with get_warehouse().session() as session:
        assert session.execute("select count(*) from raw.customers") == [(2,)]
        assert session.execute("select count(*) from raw.ingestion_ledger") == [(1,)]
