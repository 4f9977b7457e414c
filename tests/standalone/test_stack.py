"""The stack as a user meets it: refusals in plain words, a real start, a real stop."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from include.orchestration.scheduler import PRELOADED
from include.settings import PROJECT_ROOT, Settings
from standalone import stack as stack_module
from standalone.airflow_api import AirflowApi, AirflowApiError
from standalone.environment import ADMIN_USER, airflow_environment
from standalone.processes import Command
from standalone.stack import Stack, StackError
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
    monkeypatch.setattr(stack_module, "COMPONENTS", (Command("api-server", SLEEP), broken))

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
    monkeypatch.setattr(stack_module, "COMPONENTS", (Command("api-server", SLEEP),))

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
        again = run_cli("up", "--data-dir", str(tmp_path), env=env)
        assert again.returncode == 1
        assert "already running" in again.stderr

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
