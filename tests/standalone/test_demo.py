"""What a person reads after a run: the summary, or which task failed and where its log lies."""

import io
import json
import os
import re
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from rich.console import Console

from include.settings import Settings
from standalone.airflow_api import RunState, TaskState
from standalone.demo import (
    DemoError,
    build_progress,
    describe_failure,
    last_error,
    now_running,
    run_demo,
    source_for,
    stages_of,
)
from standalone.errors import StandaloneError
from standalone.processes import Command
from standalone.progress import progress, waiting
from standalone.stack import Stack, StackError
from standalone.summary import Stage, read_warehouse, render

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def task(task_id: str, state: str | None = "success", start: int = 0, end: int = 0) -> TaskState:
    begin, finish = NOON + timedelta(seconds=start), NOON + timedelta(seconds=end)
    return TaskState(task_id, state, begin, finish, try_number=2, map_index=-1, map_label=None)


@pytest.fixture
def local_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("LOCAL_DIR", str(tmp_path / "local"))
    monkeypatch.setenv("WAREHOUSE", "duckdb")
    monkeypatch.setenv("FEEDS", "none")
    return Settings()


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    """Return a DuckDB file with two sales lines, a quarantine and two runs' test results."""
    path = tmp_path / "warehouse.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            """
            create schema raw; create schema staging; create schema analytics; create schema snapshots;
            create table raw.customers as from range(3);
            create table raw.load_ledger as from range(9);
            create table staging.stg_customers as from range(3);
            create view staging.quarantine as from range(4);
            create view staging.rejected_rows_by_rule as
            select * from (values
                ('discount_coupon', 'month is no month', 1, 0.00::decimal(38, 2), false, 0),
                ('online_sales', 'the same line', 2, 5000.00::decimal(38, 2), true, 0),
                ('online_sales', 'quantity is too large', 3, 1200.50::decimal(38, 2), false, 2)
            ) as t(dataset, reject_rule, row_count, gross_amount, is_repeated,
                row_count_of_unknown_amount);
            create table snapshots.customer_snapshot as from range(4);
            create table analytics.fct_orders as from range(1);
            create table analytics.fct_sales as
            select * from (values
                (7, 1000.10::decimal(18,2), 20.00::decimal(18,2), 100.01::decimal(18,2), 5.00::decimal(18,2),
                 1105.11::decimal(18,2)),
                (7, 234.46::decimal(18,2), 0.00::decimal(18,2), 0.00::decimal(18,2), 1.50::decimal(18,2),
                 235.96::decimal(18,2))
            ) as t(customer_id, net_sales_amount, discount_amount, gst_amount, delivery_amount, total_amount);
            create table raw.dbt_run_results as
            select * from (values
                ('test.shop.a.1', 'test', 'fail', timestamp '2026-01-01 11:00', 'Got 1 result'),
                ('test.shop.a.1', 'test', 'warn', timestamp '2026-01-01 12:01', 'Got 1 result'),
                ('test.shop.a.1', 'test', 'pass', timestamp '2026-01-01 12:02', ''),
                ('test.shop.usual_rows.2', 'test', 'warn', timestamp '2026-01-01 12:02', 'Got 2 results'),
                ('unit_test.shop.c.d', 'unit_test', 'pass', timestamp '2026-01-01 12:02', ''),
                ('model.shop.m', 'model', 'success', timestamp '2026-01-01 12:02', '')
            ) as t(node_id, resource_type, status, completed_at, message);
            """
        )
    return path


def test_the_summary_counts_rows_money_and_this_runs_tests(warehouse: Path) -> None:
    summary = read_warehouse(warehouse, since=NOON)

    assert summary.rows == {
        "raw.customers": 3,
        "staging.quarantine": 4,
        "analytics.fct_orders": 1,
        "analytics.fct_sales": 2,
        "snapshots.customer_snapshot": 4,
    }
    assert (summary.money.revenue, summary.money.total) == (Decimal("1234.56"), Decimal("1341.07"))
    assert (summary.orders, summary.customers) == (1, 1)
    assert (summary.tests.passed, summary.tests.warned, summary.tests.failed) == (2, 1, 0)


def test_money_is_shown_with_separators_and_two_decimals(warehouse: Path) -> None:
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(render(read_warehouse(warehouse, NOON, [Stage("ingest", 3.21)])))
    lines = [" ".join(line.split()) for line in console.export_text().splitlines()]

    assert "Revenue (net sales) 1,234.56" in lines
    assert "Discount 20.00" in lines
    assert [line for line in lines if "online_sales: " in line or "discount_coupon: " in line] == [
        "online_sales: quantity is too large 3 1,200.50 + 2 unknown",
        "discount_coupon: month is no month 1 0.00",
        "online_sales: the same line (nothing is lost) 2 5,000.00",
    ]
    assert "ingest 3.2" in lines
    assert lines[-2:] == ["Tests: 2 passed, 1 warned, 0 failed", "Warned: usual_rows: Got 2 results"]


def test_a_task_group_is_one_stage_from_first_start_to_last_end() -> None:
    tasks = [
        task("dbt.model_b", start=8, end=20),
        task("ingest", start=1, end=5),
        task("dbt.a", start=6, end=9),
    ]

    tasks.append(task("ask", "skipped", 15, 15))
    assert stages_of(tasks) == (Stage("ingest", 4.0), Stage("dbt", 14.0))


def test_a_failure_names_the_task_its_log_and_its_last_error(tmp_path: Path) -> None:
    log = tmp_path / "dag_id=marketing_pipeline/run_id=r1/task_id=ingest.load/attempt=2.log"
    log.parent.mkdir(parents=True)
    error = {
        "level": "error",
        "event": "Task failed with exception",
        "error_detail": [{"exc_type": "LoadError", "exc_value": "Online_Sales.csv has no column Quantity"}],
    }
    log.write_text(
        "not json\n" + json.dumps(error) + "\n" + json.dumps({"level": "info", "event": "bye"}) + "\n"
    )
    tasks = [task("ingest.load", "failed"), task("dbt.model", "upstream_failed")]

    message = describe_failure("marketing_pipeline", RunState("r1", "failed", NOON, NOON), tasks, tmp_path)

    assert "Failed task: ingest.load" in message
    assert str(log) in message
    assert "LoadError: Online_Sales.csv has no column Quantity" in message
    assert "dbt.model" not in message


def test_all_that_dbt_printed_becomes_its_last_error(tmp_path: Path) -> None:
    printed = [
        {"info": {"level": "info", "msg": "Running with dbt"}},
        {"info": {"level": "error", "msg": "1 of 1 ERROR some_test"}},
        {"info": {"level": "error", "msg": 'Catalog Error: no table "fct_sales"'}},
        {"info": {"level": "info", "msg": "Done."}},
    ]
    log = tmp_path / "attempt=1.log"
    event = "\n".join(json.dumps(line) for line in printed)
    log.write_text(json.dumps({"level": "error", "event": event}))

    assert last_error(log) == 'Catalog Error: no table "fct_sales"'


def test_a_failed_mapped_task_is_named_by_its_label(tmp_path: Path) -> None:
    failed = replace(task("ingest", "failed"), map_index=1, map_label="online_sales")

    message = describe_failure("marketing_pipeline", RunState("r1", "failed", NOON, NOON), [failed], tmp_path)

    assert "Failed task: ingest [online_sales]" in message
    assert (
        str(tmp_path / "dag_id=marketing_pipeline/run_id=r1/task_id=ingest/map_index=1/attempt=2.log")
        in message
    )


def test_progress_in_a_log_is_one_plain_line_for_each_new_stage(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(Console(force_terminal=False), "tasks") as show:
        show(0, 0, "waiting")
        show(0, 2, "ingest")
        show(0, 2, "ingest")
        show(1, 2, "transform")
        show(1, 2, "ingest")

    assert capsys.readouterr().out.splitlines() == [
        "   0 of 2 tasks done, now: ingest",
        "   1 of 2 tasks done, now: transform",
    ]


def test_who_waits_without_a_terminal_reads_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("standalone.progress.PLAIN_LINE_SECONDS", 0.01)
    printed = ""
    with waiting(Console(force_terminal=False), "Starting"):
        while printed.count("\n") < 3:
            printed += capsys.readouterr().out
    assert re.fullmatch(r"Starting …\n(Starting … \d+ s\n)+", printed)


def test_progress_counts_dbts_nodes_while_they_run(tmp_path: Path) -> None:
    build = replace(task("transform.dbt_producer_watcher", "running"), try_number=1)
    assert build_progress(tmp_path, "d", "r", [build]) == ""
    log = tmp_path / "dag_id=d/run_id=r/task_id=transform.dbt_producer_watcher/attempt=1.log"
    log.parent.mkdir(parents=True)
    said = [
        "09:00:00  1 of 3 START hook: marketing_insights.on-run-start.0 ... [RUN]",
        "09:00:00  1 of 3 OK hook: marketing_insights.on-run-start.0 ... [OK in 0.01s]",
        "09:00:01  1 of 212 START sql view model staging.base_customers ... [RUN]",
        "09:00:01  2 of 212 START test not_null_customers ... [RUN]",
        "09:00:02  1 of 212 OK created sql view model staging.base_customers ... [OK in 0.1s]",
        "09:00:02  2 of 212 PASS not_null_customers ... [PASS in 0.1s]",
        "09:00:02  3 of 212 START test unique_customers ... [RUN]",
    ]
    log.write_text("\n".join(json.dumps({"level": "info", "event": line}) for line in said))
    others = [task("transform.fct_sales", "running"), replace(build, state="success")]
    assert build_progress(tmp_path, "d", "r", [build, *others]) == "2 of 212 dbt nodes"


@pytest.mark.parametrize("state", [None, "queued", "deferred", "up_for_retry", "up_for_reschedule"])
def test_a_task_that_will_run_again_is_not_done(state: str | None) -> None:
    assert not task("ingest", state).finished
    assert task("ingest", "upstream_failed").finished


def test_the_stages_at_work_are_named_once_each() -> None:
    tasks = [
        task("ingest", "running"),
        task("dbt.a", "deferred"),
        task("dbt.b", "running"),
        task("publish", None),
    ]

    assert now_running(tasks) == "ingest, dbt"
    assert now_running([task("ingest", "scheduled")]) == "waiting"


def test_a_missing_folder_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(StandaloneError, match=r"DATA_DIR is not a folder: .*nowhere"):
        source_for(Settings(), str(tmp_path / "nowhere"), scale=1)


def test_an_object_store_uri_is_passed_on_as_it_is() -> None:
    assert source_for(Settings(), "s3://aws_default@shop/files", scale=1) == "s3://aws_default@shop/files"


@pytest.mark.parametrize("reason", [StackError("died"), KeyboardInterrupt(), SystemExit(143)])
def test_whatever_ends_the_run_the_stack_is_stopped(
    local_settings: Settings, monkeypatch: pytest.MonkeyPatch, reason: BaseException
) -> None:
    stopped: list[Stack] = []

    def fail(*_: object, **__: object) -> None:
        raise reason

    def record(self: Stack) -> None:
        stopped.append(self)

    monkeypatch.setattr(Stack, "start", lambda self, **_: None)
    monkeypatch.setattr(Stack, "wait_for_dag", fail)
    monkeypatch.setattr(Stack, "stop", record)

    with pytest.raises(type(reason)):
        run_demo(local_settings, Console(quiet=True))

    assert len(stopped) == 1


def test_a_demo_beside_a_running_stack_is_refused_and_leaves_it_alone(local_settings: Settings) -> None:
    running = Stack(local_settings).processes
    sleep = Command("api-server", [sys.executable, "-c", "import time; time.sleep(60)"])
    running.start([sleep], dict(os.environ), Path.cwd())
    try:
        with pytest.raises(StackError, match="already running"):
            run_demo(local_settings, Console(quiet=True))

        assert running.running() == ["api-server"]
    finally:
        running.stop()


def test_the_demo_does_not_write_to_snowflake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAREHOUSE", "snowflake")

    with pytest.raises(DemoError, match="embedded DuckDB"):
        run_demo(Settings(), Console(quiet=True))
