"""The pipeline on real Airflow processes, started in every way a user can."""

import csv
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pytest
import requests
from playwright.sync_api import FrameLocator, Page, expect

from include.settings import PROJECT_ROOT, Settings
from ml.registry import open_registry
from standalone.airflow_api import AirflowApi, TaskState
from standalone.demo import describe_failure, log_root
from standalone.environment import ADMIN_USER, admin_password
from standalone.sample_data.generator import generate
from standalone.stack import AIRFLOW, Stack
from tests import machine
from tests.browser import PAGE_TIMEOUT_MS, chromium
from tests.machine import free_port
from tests.web_hook import web_hook

pytestmark = pytest.mark.timeout(2400)

DAG, RETRAINING, INSIGHTS = "marketing_pipeline", "segment_retraining", "marketing_insights"
# Each look costs the stack more than it costs us.
wait_until = partial(machine.wait_until, seconds=1200, every=1.5)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    generate(folder)
    return folder


@pytest.fixture(scope="module")
def hook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Where the alerts go: the address, and what was posted to it."""
    with web_hook() as one:
        yield one


@pytest.fixture(scope="module")
def posted(hook: tuple[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    return hook[1]


def alert_of(posted: list[dict[str, Any]], run_id: str, *, late: bool = False) -> dict[str, Any]:
    """Wait for the one alert that says that a run failed or, if asked for, is late."""

    def found() -> list[dict[str, Any]]:
        # Any run may be late, too, on a machine that is busy.
        of_run = [alert for alert in posted if alert["run_id"] == run_id]
        return [alert for alert in of_run if (alert["kind"] == "deadline_missed") is late]

    wait_until(found, f"the alert of {run_id}", seconds=300)
    (alert,) = found()
    return alert


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory, data: Path, hook: tuple[str, list[dict[str, Any]]]
) -> Iterator[Stack]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOCAL_DIR", str(tmp_path_factory.mktemp("local")))
        patch.setenv("AIRFLOW_PORT", str(free_port()))
        patch.setenv("SOURCE_LOCATION", str(data))
        patch.setenv("SOURCE_LOCATIONS", str(tmp_path_factory.getbasetemp()))
        patch.setenv("ALERT_AFTER_MINUTES", "1")
        patch.setenv("ALERT_WEBHOOK_URL", hook[0])
        patch.setenv("ALERT_INCLUDE_REASON", "true")
        patch.setenv("FEEDS", "none")
        patch.setenv("RETRAINING_SCHEDULE", "none")
        for name in ("DUCKDB_PATH", "AIRFLOW_HOME", "PIPELINE_SCHEDULE"):
            patch.delenv(name, raising=False)
        one = Stack(Settings())
        started = datetime.now(UTC)
        one.start()
        try:
            one.wait_for_dag(DAG, started)
            yield one
        finally:
            one.stop()


@pytest.fixture(scope="module")
def api(stack: Stack) -> AirflowApi:
    return stack.api()


@pytest.fixture(scope="module")
def browser_page(stack: Stack) -> Iterator[Page]:
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(PAGE_TIMEOUT_MS)
        yield page


@pytest.fixture
def page(browser_page: Page) -> Iterator[Page]:
    """A page of the browser, which is emptied after each test: an open UI takes a quarter of a core."""
    yield browser_page
    browser_page.goto("about:blank")


def query(stack: Stack, sql: str) -> list[tuple[Any, ...]]:
    """Read the warehouse; it is free as soon as no run is under way."""
    with duckdb.connect(str(stack.settings.duckdb_path), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def sales_by_day(stack: Stack) -> dict[date, tuple[Any, ...]]:
    rows = query(
        stack,
        "select transaction_date, count(*), sum(total_amount), max(processed_at)"
        " from analytics.fct_sales group by 1",
    )
    return {row[0]: row[1:] for row in rows}


def alter_sales(stack: Stack, first: date, last: date) -> None:
    """Make the facts of these days differ from the files: a run writes no row that is as it should be."""
    with duckdb.connect(str(stack.settings.duckdb_path)) as connection:
        connection.execute(
            "update analytics.fct_sales set row_hash = 'altered ' || sales_line_id"
            " where transaction_date between ? and ?",
            [first, last],
        )


def ended(api: AirflowApi, run_id: str, dag_id: str = DAG) -> str:
    """Wait for the end of a run and return its state."""
    state = wait_until(lambda: (run := api.run(dag_id, run_id)).end and run.state, f"the end of {run_id}")
    return str(state)


def states(api: AirflowApi, run_id: str, dag_id: str = DAG) -> dict[str, set[str | None]]:
    found: dict[str, set[str | None]] = {}
    for task in api.tasks(dag_id, run_id):
        found.setdefault(task.task_id, set()).add(task.state)
    return found


def all_runs(api: AirflowApi, dag_id: str = DAG) -> dict[str, str]:
    runs = api._call("GET", f"/dags/{dag_id}/dagRuns", params={"limit": 100})["dag_runs"]
    return {run["dag_run_id"]: run["state"] for run in runs}


def airflow(
    stack: Stack, *arguments: str, timeout: float = 600, **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [AIRFLOW, *arguments],
        env={**stack.env, **variables},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def test_a_user_logs_in_fills_in_the_form_and_triggers(
    stack: Stack, api: AirflowApi, page: Page, data: Path
) -> None:
    page.goto(f"{stack.url}/dags/{DAG}")
    page.locator("input").nth(0).fill(ADMIN_USER)
    page.locator("input[type=password]").fill(admin_password(stack.env))
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Trigger").first.click()
    form = page.locator("#element_source_location")
    expect(form).to_have_value(str(data))
    for name in ("start_date", "end_date", "as_of_date"):
        expect(page.locator(f"#element_{name}")).to_be_visible()
    expect(page.get_by_text("Rebuild incremental tables from the start.")).to_be_visible()
    page.get_by_role("dialog").get_by_role("button", name="Trigger").click()
    run_id = wait_until(lambda: next((r for r in all_runs(api) if r.startswith("manual")), None), "the run")
    page.goto("about:blank")
    api.set_paused(DAG, paused=False)
    assert ended(api, run_id) == "success"
    for task, found in states(api, run_id).items():
        assert found == {"success"}, task
    assert warnings(stack, run_id) == []


def warnings(stack: Stack, run_id: str) -> list[str]:
    """Return the warnings in the logs of a run of the batch DAG: in a green one each would mean something."""
    folder = log_root(stack.settings, stack.env) / f"dag_id={DAG}" / f"run_id={run_id}"
    lines = [line for log in folder.rglob("*.log") for line in log.read_text(encoding="utf-8").splitlines()]
    assert len(lines) > 100
    return [line for line in lines if '"level":"warning"' in line]


def test_the_scheduled_run_finds_nothing_new(stack: Stack, api: AirflowApi) -> None:
    """Unpausing starts the run of the last interval; the files are the same, so the facts stay."""
    scheduled = wait_until(
        lambda: next((r for r in all_runs(api) if r.startswith("scheduled")), None), "the run"
    )
    assert ended(api, scheduled) == "success"
    (loads,) = query(stack, "select count(*) from raw.ingestion_ledger")
    assert loads == (5,)


def test_a_run_from_the_command_line_rebuilds_the_days_it_is_given(stack: Stack, api: AirflowApi) -> None:
    alter_sales(stack, date(2019, 2, 28), date(2019, 3, 3))
    before = sales_by_day(stack)
    conf = '{"start_date": "2019-03-01", "end_date": "2019-03-03"}'
    assert airflow(stack, "dags", "trigger", DAG, "--run-id", "by-hand", "--conf", conf).returncode == 0
    assert ended(api, "by-hand") == "success"
    after = sales_by_day(stack)
    rebuilt = {day for day in after if after[day][2] != before[day][2]}
    assert rebuilt == {date(2019, 3, 1), date(2019, 3, 2)}
    assert {day: amounts[:2] for day, amounts in after.items()} == {day: a[:2] for day, a in before.items()}


def clear(api: AirflowApi, run_id: str, task_id: str) -> str:
    """Clear a task with all that follows, as in the UI; wait for the rerun's end and return its state."""
    cleared = {
        "dry_run": False,
        "dag_run_id": run_id,
        "task_ids": [task_id],
        "include_downstream": True,
        "only_failed": False,
        "reset_dag_runs": True,
    }
    api._call("POST", f"/dags/{DAG}/clearTaskInstances", json=cleared)
    wait_until(lambda: api.run(DAG, run_id).state in ("queued", "running"), "the rerun", seconds=300)
    return ended(api, run_id)


def tries(api: AirflowApi, run_id: str) -> dict[str, int]:
    return {task.task_id: task.try_number for task in api.tasks(DAG, run_id)}


def test_a_run_is_cleared_and_goes_on_from_a_task_in_the_middle(stack: Stack, api: AirflowApi) -> None:
    assert clear(api, "by-hand", "transform.fct_marketing_performance_daily") == "success"
    after = tries(api, "by-hand")
    assert after["transform.fct_marketing_performance_daily"] == 2
    assert after["publish"] == 2
    assert after["transform.fct_sales"] == 1


def test_a_run_is_cleared_from_its_start_and_builds_everything_again(stack: Stack, api: AirflowApi) -> None:
    """One `dbt build` again, not a dbt process a node, and no node that only seems to have run."""
    alter_sales(stack, date(2019, 2, 28), date(2019, 3, 3))
    before = sales_by_day(stack)
    (builds,) = query(stack, "select count(distinct invocation_id) from raw.dbt_run_results")
    assert clear(api, "by-hand", "ingest") == "success"
    for task, found in states(api, "by-hand").items():
        assert found == {"success"}, task
    assert min(tries(api, "by-hand").values()) == 2
    assert query(stack, "select count(distinct invocation_id) from raw.dbt_run_results") == [(builds[0] + 1,)]
    after = sales_by_day(stack)
    rebuilt = {day for day in after if after[day][2] != before[day][2]}
    assert rebuilt == {date(2019, 3, 1), date(2019, 3, 2)}


def test_a_backfill_rebuilds_each_of_its_days_by_itself(stack: Stack, api: AirflowApi) -> None:
    """Two runs over the end of a month, each of its own day; together they hold what the full load held."""
    days = [date(2019, 1, 31) + timedelta(days=n) for n in range(2)]
    alter_sales(stack, days[0] - timedelta(days=1), days[-1] + timedelta(days=1))
    before = sales_by_day(stack)
    window = ["--from-date", days[0].isoformat(), "--to-date", days[-1].isoformat()]
    created = airflow(stack, "backfill", "create", "--dag-id", DAG, *window, "--max-active-runs", "2")
    assert created.returncode == 0, created.stderr
    runs = wait_until(
        lambda: (r := [r for r in all_runs(api) if r.startswith("backfill")]) and len(r) == 2 and r, "2"
    )
    assert {ended(api, run) for run in runs} == {"success"}
    after = sales_by_day(stack)
    assert {day for day in after if after[day][2] != before[day][2]} == set(days)
    assert len({after[day][2] for day in days}) == 2, "every day was built by a run of its own"
    assert {day: amounts[:2] for day, amounts in after.items()} == {day: a[:2] for day, a in before.items()}


def segments(stack: Stack) -> list[tuple[Any, ...]]:
    return query(
        stack,
        "select segment_name, count(*), min(model_version) from analytics.fct_customer_segments"
        " group by 1 order by 1",
    )


def test_new_sales_retrain_the_segments(stack: Stack, api: AirflowApi) -> None:
    """The asset alone starts the run, since its schedule is off here."""
    api.set_paused(RETRAINING, paused=False)
    assert clear(api, "by-hand", "publish") == "success"
    run_id = wait_until(lambda: next(iter(all_runs(api, RETRAINING)), None), "the run that the asset starts")
    assert run_id.startswith("asset_triggered")
    assert ended(api, run_id, RETRAINING) == "success"
    for task, found in states(api, run_id, RETRAINING).items():
        assert found == ({"skipped"} if task == "ask" else {"success"}), task
    marketed = segments(stack)
    assert len(marketed) == 5
    [(customers,)] = query(stack, "select count(distinct customer_id) from analytics.fct_orders")
    assert sum(count for _, count, _ in marketed) == customers


@pytest.fixture(scope="module")
def insights(stack: Stack, api: AirflowApi) -> dict[str, Any]:
    """What a run by hand has made: the pointer to its snapshot."""
    api.set_paused(INSIGHTS, paused=False)
    run_id = api.trigger(INSIGHTS, {"dry_run": True, "from_day": "2019-12-01"}).run_id
    assert ended(api, run_id, INSIGHTS) == "success"
    api.set_paused(INSIGHTS, paused=True)
    for task, found in states(api, run_id, INSIGHTS).items():
        assert found == {"success"}, task
    pointer: dict[str, Any] = json.loads((stack.settings.local_dir / "insights" / "latest.json").read_text())
    return pointer


def open_insights(stack: Stack, page: Page, theme: str = "light") -> FrameLocator:
    """Open the page from the navigation of Airflow's UI, where the test before has logged in."""
    page.goto(stack.url)
    page.evaluate(f"localStorage.setItem('theme', '{theme}')")
    page.reload()
    page.get_by_role("link", name="Insights", exact=True).click()
    frame = page.frame_locator("iframe")
    expect(frame.locator("[data-chart] svg").first).to_be_visible()
    return frame


def test_insights_lead_the_navigation_and_keep_their_period(
    stack: Stack, page: Page, insights: dict[str, Any]
) -> None:
    frame = open_insights(stack, page)
    expect(frame.locator(".about")).to_contain_text("of the generated shop")
    expect(frame.locator(".claims li").first).to_be_visible()
    assert 3 <= frame.locator(".claims li").count() <= 5
    take_picture(page)
    frame.get_by_role("link", name="Last 30 days").click()
    expect(frame.locator("#kpis .sentence")).to_contain_text("compared with the 30 days before")
    orders = frame.locator("#kpi-order_count .value").inner_text()
    expect(page).to_have_url(re.compile("period=30d"))
    page.reload()
    expect(page.frame_locator("iframe").locator("#kpi-order_count .value")).to_have_text(orders)
    assert insights["last_day"] == "2019-12-31"


def take_picture(page: Page) -> None:
    """Take README's picture; with README_PICTURE=1 it becomes the one in the repository."""
    content = page.screenshot()
    assert len(content) < 300_000
    if os.environ.get("README_PICTURE") == "1":
        (PROJECT_ROOT / "docs" / "images" / "insights.png").write_bytes(content)


@pytest.mark.usefixtures("insights")
def test_insights_are_downloaded_in_airflows_frame(stack: Stack, page: Page) -> None:
    frame = open_insights(stack, page)
    with page.expect_download() as waiting:
        frame.locator("#categories a.csv").click()
    rows = list(csv.DictReader(Path(waiting.value.path()).read_text(encoding="utf-8-sig").splitlines()))
    [(known,)] = query(
        stack,
        "select sum(net_sales_amount) from analytics.fct_sales where transaction_date >= '2019-10-01'",
    )
    assert sum(Decimal(row["net_sales_amount"]) for row in rows) == known
    with page.expect_download() as waiting:
        frame.get_by_role("button", name="Download CSV").click()
    assert "customer-ids-only" in waiting.value.suggested_filename
    api_log = stack.api()._call("GET", "/eventLogs", params={"event": "insights export"})["event_logs"]
    assert {one["owner"] for one in api_log} == {ADMIN_USER}
    assert any("audience at-risk for generic" in one["extra"] for one in api_log)


@pytest.mark.usefixtures("insights")
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_insights_have_airflows_theme_and_fit_a_narrow_screen(stack: Stack, page: Page, theme: str) -> None:
    frame = open_insights(stack, page, theme)
    expect(frame.locator("html")).to_have_attribute("data-theme", theme)
    page.set_viewport_size({"width": 390, "height": 900})
    try:
        # Airflow's navigation takes a part of the narrow screen; what is left must do.
        width = frame.locator("html").evaluate("(page) => [page.scrollWidth, page.clientWidth]")
        assert width[0] <= width[1]
    finally:
        page.set_viewport_size({"width": 1400, "height": 1000})


@pytest.mark.usefixtures("insights")
def test_insights_open_in_a_tab_and_nobody_else_reads_them(stack: Stack, page: Page) -> None:
    page.goto(f"{stack.url}/insights/?period=7d&compare=1")
    expect(page.get_by_role("link", name="Last 7 days")).to_have_attribute("aria-current", "page")
    for path in ("", "csv/segments", "static/page.js", "live", "audience?audience=at-risk"):
        assert requests.get(f"{stack.url}/insights/{path}", timeout=60).status_code == 401


def test_the_report_of_the_run_is_of_its_days(stack: Stack, insights: dict[str, Any]) -> None:
    report = (stack.settings.local_dir / "insights" / "report.html").read_text(encoding="utf-8")
    assert "<h1>Insights, 1 Dec to 31 Dec 2019</h1>" in report
    [(known,)] = query(
        stack, "select sum(net_sales_amount) from analytics.fct_sales where transaction_date >= '2019-12-01'"
    )
    assert f'<dd class="value">{known:,.0f}</dd>' in report
    assert insights["tables"]["segments"]["rows"] == len(segments(stack))


@pytest.fixture(scope="module")
def late_run(api: AirflowApi) -> str:
    """A run that waits, since its DAG is paused; it is late after a minute."""
    api.set_paused(DAG, paused=True)
    return api.trigger(DAG).run_id


@pytest.mark.usefixtures("late_run")  # its minute passes meanwhile
def test_a_model_that_the_gate_rejects_changes_nothing(
    stack: Stack, api: AirflowApi, posted: list[dict[str, Any]]
) -> None:
    """Two segments instead of five move most customers: the run says so and the old segments stay."""
    before = segments(stack)
    run_id = api.trigger(RETRAINING, {"k": 2}).run_id
    assert ended(api, run_id, RETRAINING) == "failed"
    tasks = api.tasks(RETRAINING, run_id)
    (failed,) = (task for task in tasks if task.state == "failed")
    assert (failed.task_id, failed.try_number) == ("gate", 1)
    assert {task.state for task in tasks if task.task_id in {"register", "reseed", "outcome"}} == {
        "upstream_failed"
    }
    said = log_of(stack, run_id, failed, RETRAINING)
    assert "puts elsewhere by the same features is" in said
    assert "must be at most 0.05" in said
    assert segments(stack) == before
    alert = alert_of(posted, run_id)
    assert (alert["kind"], alert["task_id"]) == ("gate_failed", "gate")
    assert "puts elsewhere by the same features is" in alert["reason"]
    versions = stack.settings.local_dir / "segments" / "versions"
    assert len(list(versions.glob("*/model_card.md"))) == 2, "the rejected version is there to look at"


def test_a_dry_run_changes_no_shared_table(stack: Stack, api: AirflowApi) -> None:
    """As of another day, too: features that others read stay those of the newest sale."""
    shared = (
        "select max(as_of_date), max(updated_at) from analytics.fct_customer_segments",
        "select max(as_of_date), sum(recency_days) from staging.int_customer_features",
        "select max(predicted_at) from analytics.fct_customer_outlook",
    )
    before = [query(stack, sql) for sql in shared]
    day = (before[0][0][0] - timedelta(days=60)).isoformat()
    run_id = api.trigger(
        RETRAINING, {"dry_run": True, "as_of_date": day, "override": ["disagreement"]}
    ).run_id
    assert ended(api, run_id, RETRAINING) == "success", states(api, run_id, RETRAINING)
    assert [query(stack, sql) for sql in shared] == before
    registry = open_registry(str(stack.settings.local_dir / "segments"))
    newest = registry.versions()[-1]
    assert newest.dry_run
    assert str(registry.features(newest.version).as_of_date) == day
    found = states(api, run_id, RETRAINING)
    assert {task for task, state in found.items() if state == {"success"}} >= {"fit", "gate"}
    assert found["reseed"] == found["outlook"] == found["publish"] == {"skipped"}


def test_a_person_says_yes_to_what_the_gate_rejects(stack: Stack, api: AirflowApi) -> None:
    """The run waits in Airflow's own UI; who said it is recorded, with the checks that failed."""
    registry = open_registry(str(stack.settings.local_dir / "segments"))
    before = registry.current()
    assert before is not None
    run_id = api.trigger(RETRAINING, {"k": 2, "ask": True}).run_id
    waiting = {"awaiting_input"}
    wait_until(lambda: states(api, run_id, RETRAINING)["ask"] == waiting, "the question")
    asked = f"/dags/{RETRAINING}/dagRuns/{run_id}/taskInstances/ask/-1/hitlDetails"
    assert "puts elsewhere by the same features is" in api._call("GET", asked)["body"]
    assert registry.current() == before, "nothing changes before the answer"

    def answered() -> bool:
        # Airflow asks again if the answer comes while the task's process is still ending.
        if (
            states(api, run_id, RETRAINING)["ask"] == waiting
            and not api._call("GET", asked)["response_received"]
        ):
            api._call("PATCH", asked, json={"chosen_options": ["Approve"]})
        return api.run(RETRAINING, run_id).state in ("success", "failed")

    wait_until(answered, "the end of the run that waited for a person")
    assert api.run(RETRAINING, run_id).state == "success", states(api, run_id, RETRAINING)
    after = registry.current()
    assert after is not None
    assert after.earlier[0] == before.version
    assert "disagreement" in after.override
    assert after.by == ADMIN_USER
    assert len(segments(stack)) == 2
    api.set_paused(RETRAINING, paused=True)  # the tests that follow publish new sales, too


def test_a_late_run_raises_a_deadline_alert(
    stack: Stack, api: AirflowApi, late_run: str, posted: list[dict[str, Any]]
) -> None:
    """It is reported while it still waits."""
    alert = alert_of(posted, late_run, late=True)
    assert (alert["kind"], alert["dag_id"]) == ("deadline_missed", DAG)
    wait_until(
        lambda: alert["text"] in logs_below(stack, "logs") + logs_below(stack, "airflow/logs"), "its log line"
    )
    api.fail_run(DAG, late_run)
    api.set_paused(DAG, paused=False)


def test_a_missing_file_fails_the_run_with_one_sentence(
    stack: Stack, api: AirflowApi, tmp_path: Path, posted: list[dict[str, Any]]
) -> None:
    """No retry, no dbt, no change: and the run ends instead of waiting for what cannot come."""
    before = sales_by_day(stack)
    run_id = api.trigger(DAG, {"source_location": str(tmp_path)}).run_id
    assert ended(api, run_id) == "failed"
    tasks = api.tasks(DAG, run_id)
    failed = [task for task in tasks if task.state == "failed"]
    assert {task.task_id for task in failed} == {"ingest"}
    assert {task.try_number for task in failed} == {1}
    assert {task.state for task in tasks if task.task_id.startswith("transform.")} == {"upstream_failed"}
    assert "No file for customers in" in log_of(stack, run_id, failed[0])
    assert sales_by_day(stack) == before
    alert = alert_of(posted, run_id)
    assert (alert["kind"], alert["task_id"], alert["failed_tasks"]) == ("run_failed", "ingest", 5)
    assert re.match("No file for [a-z_]+ in ", alert["reason"])
    assert alert["url"].startswith(f"{stack.url}/dags/{DAG}/runs/")
    wait_until(
        lambda: f"run {run_id}, task ingest: No file for " in logs_below(stack, "airflow/logs"),
        "the failure callback's line in a log",
        seconds=300,
    )


def test_too_many_bad_rows_fail_the_run_before_the_facts_change(
    stack: Stack, api: AirflowApi, data: Path, tmp_path: Path, posted: list[dict[str, Any]]
) -> None:
    """One order line in eight has a negative quantity; what a person reads says so in one sentence."""
    before = sales_by_day(stack)
    dirty = tmp_path / "dirty"
    shutil.copytree(data, dirty)
    lines = (dirty / "Online_Sales.csv").read_text(encoding="utf-8").splitlines()
    lines[1::8] = [re.sub(r",(\d+)(,[^,]*,[^,]*,[^,]*)$", r",-\1\2", line) for line in lines[1::8]]
    (dirty / "Online_Sales.csv").write_text("\n".join(lines), encoding="utf-8")
    run_id = api.trigger(DAG, {"source_location": str(dirty)}).run_id
    assert ended(api, run_id) == "failed"
    logs = log_root(stack.settings, stack.env)
    said = describe_failure(DAG, api.run(DAG, run_id), api.tasks(DAG, run_id), logs)
    assert "Failed task: transform.dbt_producer_watcher" in said
    assert "are rejected, more than max_rejected_share = 0.05 allows; for example quantity" in said
    (log,) = re.findall(r"log: +(\S+)", said)
    assert Path(log).is_file()
    assert sales_by_day(stack) == before
    shown = states(api, run_id)
    assert {task for task, found in shown.items() if found == {"failed"}} == {
        "transform.dbt_producer_watcher",
        "transform.base_online_sales",
    }
    assert shown["transform.base_customers"] == {"success"}
    assert shown["transform.fct_sales"] == {"skipped"}
    (red,) = (task for task in api.tasks(DAG, run_id) if task.task_id == "transform.base_online_sales")
    assert "are rejected, more than max_rejected_share = 0.05 allows" in log_of(stack, run_id, red)
    alert = alert_of(posted, run_id)
    assert alert["kind"] == "quarantine_share"
    assert "are rejected, more than max_rejected_share = 0.05 allows" in alert["reason"]


def log_of(stack: Stack, run_id: str, task: TaskState, dag_id: str = DAG) -> str:
    folder = stack.settings.local_dir / "airflow" / "logs" / f"dag_id={dag_id}" / f"run_id={run_id}"
    return "".join(path.read_text() for path in sorted(folder.glob(f"task_id={task.task_id}/**/*.log")))


def logs_below(stack: Stack, folder: str) -> str:
    return "".join(path.read_text() for path in (stack.settings.local_dir / folder).rglob("*.log"))


def test_dags_test_runs_the_dag_and_ends_and_its_lineage_is_told(
    stack: Stack, api: AirflowApi, tmp_path: Path
) -> None:
    """Paused, since a scheduler that is up would run the same tasks beside it."""
    api.set_paused(DAG, paused=True)
    to_file = json.dumps({"type": "file", "log_file_path": str(tmp_path / "lineage"), "append": True})
    done = airflow(
        stack, "dags", "test", DAG, "2019-02-01", AIRFLOW__OPENLINEAGE__TRANSPORT=to_file, timeout=1200
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "Completed successfully" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    events = [json.loads(line) for line in (tmp_path / "lineage").read_text().splitlines()]
    (build,) = (
        event
        for event in events
        if event["job"]["name"] == f"{DAG}.transform.dbt_producer_watcher"
        and event["eventType"] == "COMPLETE"
    )
    read, written = ({one["name"] for one in build[side]} for side in ("inputs", "outputs"))
    assert {f"marketing_insights.raw.{name}" for name in ("customers", "online_sales", "tax_amount")} <= read
    assert {"marketing_insights.analytics.fct_sales", "marketing_insights.analytics.fct_orders"} <= written
