"""The stack as a user meets it: refusals in plain words, a real start, a real stop."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from rich.console import Console

from include.orchestration.scheduler import PRELOADED
from include.settings import PROJECT_ROOT, Settings
from standalone import stack as stack_module
from standalone.airflow_api import AirflowApi, AirflowApiError, RunState
from standalone.environment import ADMIN_USER, airflow_environment
from standalone.processes import Command
from standalone.stack import Stack, StackError
from standalone.up import LIVE_VIEWS, ensure_live_views, run_all
from tests.machine import free_port, left_behind

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("LOCAL_DIR", str(tmp_path / "local"))
    monkeypatch.setenv("AIRFLOW_PORT", str(free_port()))
    monkeypatch.setenv("FEEDS", "none")
    monkeypatch.delenv("DUCKDB_PATH", raising=False)
    return Settings()


@pytest.fixture
def stack(settings: Settings) -> Iterator[Stack]:
    one = Stack(settings)
    yield one
    one.processes.stop(timeout=0)


@pytest.fixture
def no_migration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stack, "_migrate_database", lambda self: None)


def test_a_taken_port_is_named_with_the_way_out(stack: Stack) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", stack.settings.airflow_port))
        other.listen()

        with pytest.raises(StackError, match=rf"Port {stack.settings.airflow_port} .*AIRFLOW_PORT="):
            stack.start()


def test_a_second_start_is_refused_and_harms_nothing(stack: Stack) -> None:
    stack.processes.start([Command("api-server", SLEEP)], dict(os.environ), PROJECT_ROOT)

    with pytest.raises(StackError, match=r"already running.*make down"):
        Stack(stack.settings).start()

    assert stack.processes.running() == ["api-server"]


@pytest.mark.usefixtures("no_migration")
def test_made_up_feeds_do_not_write_to_snowflake(settings: Settings) -> None:
    made_up = settings.model_copy(update={"warehouse": "snowflake", "feeds": "simulator"})
    with pytest.raises(
        StackError, match="made-up prices and news to Snowflake: set FEEDS=live or FEEDS=none"
    ):
        Stack(made_up).start()


def test_a_process_that_dies_at_start_is_named_with_its_log(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Command("scheduler", [sys.executable, "-c", "raise SystemExit('no such option: --speed')"])
    monkeypatch.setattr(stack_module, "CORE", (Command("api-server", SLEEP), broken))

    with pytest.raises(StackError) as caught:
        stack.start()

    assert "scheduler ended too early" in str(caught.value)
    assert str(stack.log_dir / "scheduler.log") in str(caught.value)
    assert "no such option: --speed" in str(caught.value)
    assert left_behind(stack.settings.local_dir) == []


@pytest.mark.usefixtures("no_migration")
def test_a_start_that_never_gets_healthy_is_given_up_and_cleaned(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack_module, "CORE", (Command("api-server", SLEEP),))

    with pytest.raises(StackError, match="not healthy after 1 s"):
        stack.start(timeout=1)

    assert left_behind(stack.settings.local_dir) == []


def test_up_serves_the_ui_with_a_login_and_down_leaves_nothing(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "dags").mkdir()
    env = {**os.environ, "AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path / "dags")}

    up = run_cli("up", "--data-dir", str(tmp_path), env=env)
    try:
        assert up.returncode == 0, up.stderr
        shown = dict(
            line.split(maxsplit=1) for line in up.stdout.replace("Airflow UI", "UI").splitlines() if line
        )
        assert shown["UI"] == f"http://localhost:{settings.airflow_port}"
        assert shown["Next"].startswith("make up RUN=1  (every DAG is paused")
        elsewhere = env | {"AIRFLOW_PORT": "1"}  # a shell without the settings of the start
        again = run_cli("up", "--data-dir", str(tmp_path), env=elsewhere)
        assert (again.returncode, again.stderr) == (0, "")
        assert f"Password    {shown['Password']}" in again.stdout
        other = run_cli("up", "--data-dir", str(tmp_path / "dags"), env=env)
        assert other.returncode == 1
        assert (
            f"already running at {shown['UI']} (Files: {tmp_path}, not {tmp_path / 'dags'})" in other.stderr
        )
        status = run_cli("status", env=elsewhere)
        assert status.returncode == 0, status.stderr
        for said in (
            f"{settings.airflow_port} (AIRFLOW_PORT)",
            "triggerer",
            str(tmp_path),
            "Feeds       none",
        ):
            assert said in status.stdout

        api = AirflowApi(shown["UI"], ADMIN_USER, shown["Password"])
        assert api.import_errors() == []
        with pytest.raises(AirflowApiError, match="401"):
            AirflowApi(shown["UI"], ADMIN_USER, "guess").import_errors()
        assert shown["Password"] not in logs_of(settings)
    finally:
        down = run_cli("down", env=env)

    assert (down.returncode, down.stdout.strip()) == (0, "The stack has stopped.")
    assert left_behind(settings.local_dir) == []
    idle = run_cli("down", env=env)
    assert (idle.returncode, idle.stdout.strip()) == (0, "Nothing is running.")


def test_ctrl_c_says_that_nothing_is_left(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "dags").mkdir()
    env = {**os.environ, "AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path / "dags")}
    command = [sys.executable, "-m", "standalone", "up", "--data-dir", str(tmp_path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=PROJECT_ROOT, env=env, stdout=pipe, stderr=pipe, text=True) as up:
        assert up.stdout is not None
        assert up.stdout.readline().startswith("Starting Airflow")
        up.send_signal(signal.SIGINT)
        _, said = up.communicate(timeout=120)
    assert up.returncode == 130
    assert said.split("\n")[1:3] == ["Interrupted (SIGINT), stopping …", "Nothing is left running."]
    assert left_behind(settings.local_dir) == []


def test_the_live_views_are_there_before_a_dag_ran(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    fed = settings.model_copy(update={"feeds": "simulator"})
    fed.duckdb_path.parent.mkdir(parents=True)
    ensure_live_views(fed, Console(quiet=True))
    with duckdb.connect(str(fed.duckdb_path), read_only=True) as connection:
        for view in LIVE_VIEWS:
            assert connection.execute(f"select count(*) from streaming.{view}").fetchall() == [(0,)]
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("dbt ran again"))
    ensure_live_views(fed, Console(quiet=True))


class Api:
    """Airflow's API as far as the first run needs it; notes what is asked of it."""

    def __init__(self, own: set[str]) -> None:
        self.own = own
        self.asked: list[str] = []

    def set_paused(self, dag_id: str, *, paused: bool) -> None:
        assert not paused
        self.asked.append(f"unpause {dag_id}")

    def latest_runs(self, dag_id: str) -> list[RunState]:
        return [RunState("own", "queued", None, None)] if dag_id in self.own else []

    def trigger(self, dag_id: str) -> RunState:
        self.asked.append(f"trigger {dag_id}")
        return RunState("by hand", "queued", None, None)


@pytest.mark.parametrize("feeds", ["simulator", "none"])
def test_the_first_run_goes_through_the_dags_in_order(
    settings: Settings, feeds: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unpaused before its facts are there, a DAG would fail; one that starts by itself is not triggered."""
    api = Api(own={"segment_retraining", "marketing_insights"})
    monkeypatch.setattr("standalone.up.OWN_RUN_SECONDS", 0.01)
    monkeypatch.setattr(Stack, "api", lambda self: api)
    monkeypatch.setattr(Stack, "wait_for_dag", lambda *_, **__: None)
    monkeypatch.setattr(
        "standalone.up.follow", lambda stack, dag_id, run, console: api.asked.append(f"{run.run_id} {dag_id}")
    )
    run_all(Stack(settings.model_copy(update={"feeds": feeds})), Console(quiet=True))
    streams = ["unpause streaming_marts", "trigger streaming_marts", "by hand streaming_marts"]
    assert api.asked == [
        "unpause marketing_insights",
        "unpause marketing_pipeline",
        "trigger marketing_pipeline",
        "by hand marketing_pipeline",
        "unpause segment_retraining",
        "own segment_retraining",
        *(streams if feeds == "simulator" else []),
        "unpause marketing_insights",
        "own marketing_insights",
    ]


def logs_of(settings: Settings) -> str:
    return "".join(log.read_text(errors="replace") for log in (settings.local_dir / "logs").glob("*.log"))


def run_cli(*arguments: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "standalone", *arguments]
    return subprocess.run(command, cwd=PROJECT_ROOT, env=env, capture_output=True, text=True, check=False)


def test_the_sourced_environment_reaches_the_same_airflow(settings: Settings) -> None:
    """`source .local/env.sh` gives what the stack's own processes get."""
    printed = run_cli("env", env=dict(os.environ)).stdout

    home = airflow_environment(settings)["AIRFLOW_HOME"]
    assert f"export AIRFLOW_HOME={home}" in printed.splitlines()


def test_the_scheduler_preloads_no_code_of_this_project() -> None:
    """A task must run the file as it is on disk, not as it was when the stack started."""
    assert not [name for name in PRELOADED if name.split(".")[0] in ("include", "dags", "ml", "plugins")]
