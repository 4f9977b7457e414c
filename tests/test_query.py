"""`make query`: all rows of one query, in three forms, and a sentence where there is no answer."""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from include.settings import PROJECT_ROOT
from include.warehouse.duckdb import DuckDBWarehouse
from tests.warehouse.locks import locked

MAKEFILE = PROJECT_ROOT / "Makefile"
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("query") / "marketing_insights.duckdb"
    with DuckDBWarehouse(path).session() as session:
        session.execute("create schema analytics")
        session.execute(
            "create table analytics.sales as select n::integer as customer_id,"
            " (n / 4)::decimal(18, 2) as net_sales_amount, timestamptz '2019-01-31 12:00:00+00' as sold_at,"
            " case when n = 3 then 'a | \u00e4' when n = 4 then '=1+1' end as note, n > 2 as is_late"
            " from range(3, 5003) as t(n)"
        )
        session.execute("create view analytics.all_sales as select * from marketing_insights.analytics.sales")
    return path


@pytest.fixture
def run(warehouse: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return what runs `make query` or another target with these variables."""
    for name in ("SQL", "FORMAT", "WAREHOUSE", "MAKEFLAGS", "MAKELEVEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DUCKDB_PATH", str(warehouse))

    def start(*variables: str, target: str = "query", stdin: str = "") -> "subprocess.CompletedProcess[str]":
        installed = f"--old-file={PROJECT_ROOT / '.local/venv/.installed'}"
        argv = ["make", "--silent", installed, target, f"BIN={Path(sys.executable).parent}", *variables]
        return subprocess.run(
            argv, cwd=PROJECT_ROOT, capture_output=True, text=True, input=stdin, check=False, timeout=120
        )

    return start


def test_a_table_can_be_read_and_pasted_into_a_page(run: Run) -> None:
    done = run("SQL=select * from analytics.all_sales\norder by customer_id limit 2;")
    assert done.stdout == (
        "| customer_id | net_sales_amount | sold_at                 | note   | is_late |\n"
        "| ----------: | ---------------: | ----------------------- | ------ | ------- |\n"
        "|           3 |             0.75 | 2019-01-31 12:00:00 UTC | a \\| \u00e4 | yes     |\n"
        "|           4 |             1.00 | 2019-01-31 12:00:00 UTC | =1+1   | yes     |\n"
    )


def test_csv_and_json_have_all_rows(run: Run, warehouse: Path) -> None:
    sql = "select customer_id, net_sales_amount, sold_at, note, is_late from analytics.sales order by 1"
    rows = list(csv.DictReader(io.StringIO(run(f"SQL={sql}", "FORMAT=csv").stdout)))
    assert len(rows) == 5000
    assert rows[1] == {
        "customer_id": "4",
        "net_sales_amount": "1.00",
        "sold_at": "2019-01-31T12:00:00+00:00",
        "note": "'=1+1",  # no spreadsheet runs it
        "is_late": "true",
    }
    found = json.loads(run("FORMAT=json", stdin=sql).stdout)
    assert len(found) == 5000
    assert found[1] == {
        "customer_id": 4,
        "net_sales_amount": 1.0,
        "sold_at": "2019-01-31T12:00:00+00:00",
        "note": "=1+1",
        "is_late": True,
    }


def test_json_rounds_no_amount(run: Run) -> None:
    """What JSON's readers keep as numbers are numbers; a longer amount is text, with all its digits."""
    sql = (
        "select 4360009.81::decimal(18, 2) as net, 1234567890123456.78::decimal(18, 2) as more,"
        " 7::hugeint as whole"
    )
    [row] = json.loads(run("FORMAT=json", stdin=sql).stdout)
    assert row == {"net": 4360009.81, "more": "1234567890123456.78", "whole": 7}


def test_a_dollar_reaches_the_warehouse_as_it_was_typed(run: Run) -> None:
    done = run("SQL=select $$5 $(x)$$ as price", "FORMAT=csv")
    assert done.stdout.splitlines() == ["price", "5 $(x)"]


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("delete from analytics.sales", "Only a query is answered"),
        ("-- harmless\ndrop table analytics.sales", "Only a query is answered"),
        ("select 1; delete from analytics.sales", "syntax error"),
        ("select 1) as x; delete from analytics.sales where (true", "syntax error"),
        ("select * from read_csv('/etc/passwd')", "disabled by configuration"),
        ("select nothing from analytics.sales", '"nothing" not found'),
        ("", "There is no query"),
    ],
    ids=["delete", "drop", "two", "closed", "file", "column", "none"],
)
def test_nothing_but_a_query_is_answered(run: Run, warehouse: Path, sql: str, message: str) -> None:
    done = run(f"SQL={sql}")
    assert message in done.stderr
    assert "Error 1" in done.stderr
    assert "Traceback" not in done.stderr
    with duckdb.connect(warehouse) as connection:
        assert connection.execute("select count(*) from analytics.sales").fetchall() == [(5000,)]


def test_a_file_that_another_process_holds_is_named_with_a_way_out(run: Run, warehouse: Path) -> None:
    with locked(warehouse):
        done = run("SQL=select 1")
    message, make = done.stderr.splitlines()
    assert message.startswith(f"{warehouse} is in use by ")
    assert "(PID " in message
    assert "`make copy`" in message
    assert make.endswith("Error 2")


def test_a_file_that_is_not_there_is_not_made(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DUCKDB_PATH", str(tmp_path / "none.duckdb"))
    assert "`make build` makes one" in run("SQL=select 1").stderr
    assert list(tmp_path.iterdir()) == []


def test_a_copy_answers_while_the_warehouse_is_in_use(
    run: Run, warehouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy" / warehouse.name
    assert str(copy) in run(f"TO={copy}", target="copy").stdout
    monkeypatch.setenv("DUCKDB_PATH", str(copy))
    with locked(warehouse):
        assert run("SQL=select count(*) as n from analytics.all_sales", "FORMAT=csv").stdout == "n\n5000\n"
    assert [path.name for path in copy.parent.iterdir()] == [copy.name]


def test_a_copy_keeps_the_name_that_its_views_have(run: Run, tmp_path: Path) -> None:
    done = run(f"TO={tmp_path / 'other.duckdb'}", target="copy")
    assert "a copy is called marketing_insights.duckdb" in done.stderr
    assert list(tmp_path.iterdir()) == []
