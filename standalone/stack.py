"""The product's processes on this machine: start them, know that they are healthy, stop them."""

import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import requests

from include.settings import PROJECT_ROOT, Settings
from standalone.airflow_api import AirflowApi, AirflowApiError
from standalone.environment import (
    ADMIN_USER,
    VENV_BIN,
    admin_password,
    airflow_environment,
    airflow_home,
    ensure_secrets,
    write_env_file,
)
from standalone.errors import StandaloneError
from standalone.kafka import prepare_broker
from standalone.processes import Command, ProcessSet, tail
from standalone.upgrade import backup_before_upgrade
from standalone.workers import (
    BROKER,
    feeds_environment,
    streaming_commands,
    streaming_ports,
    unhealthy_workers,
)

AIRFLOW = str(VENV_BIN / "airflow")
AIRFLOW_VERSION = version("apache-airflow")
# The log servers only serve logs to other machines; here the api-server reads the files itself.
# What a run needs. Two cores are busy with its imports, so the rest starts after it, beside the first run.
CORE = (
    Command("api-server", [AIRFLOW, "api-server"], patience=3),
    Command("scheduler", [sys.executable, "-m", "include.orchestration.scheduler", "--skip-serve-logs"]),
    Command("dag-processor", [AIRFLOW, "dag-processor"], patience=3),
)
# It waits for what a person is asked.
REST = (
    # Asked to end, it waits ten seconds for its own child now and then. What it watched is in the database.
    Command("triggerer", [AIRFLOW, "triggerer", "--skip-serve-logs"], patience=2),
)
# The api-server reports these; its own answer is the proof that it lives.
REPORTED_CORE, REPORTED_REST = ("scheduler", "dag_processor"), ("triggerer",)
POOL, POOL_SLOTS = "warehouse", 1
AS_STARTED = {"source_location", "feeds", "warehouse", "airflow_port", "simulator_port", "kafka_port"}


class StackError(StandaloneError):
    """The stack cannot start; the message says why and which log to read."""


class Stack:
    """The stack of one local_dir; at most one runs at a time."""

    def __init__(self, settings: Settings, env: dict[str, str] | None = None) -> None:
        self.settings = settings
        self.env = airflow_environment(settings) if env is None else env
        self.log_dir = settings.local_dir / "logs"
        self.processes = ProcessSet(settings.local_dir / "run" / "stack.json", self.log_dir)
        self.url = f"http://localhost:{settings.airflow_port}"

    def api(self) -> AirflowApi:
        """Return a client that logs in as the stack's admin."""
        address = f"http://127.0.0.1:{self.settings.airflow_port}"
        return AirflowApi(address, ADMIN_USER, admin_password(self.env))

    def as_started(self) -> "Stack":
        """Return the stack that runs, with the settings it was started with: this shell may have others."""
        return Stack(self.settings.model_copy(update=self.processes.about().get("settings", {})))

    def ports(self) -> list[tuple[int, str]]:
        """Return each port of this machine that the stack opens, with the setting that moves it."""
        return [(self.settings.airflow_port, "AIRFLOW_PORT"), *streaming_ports(self.settings, self.env)]

    def start(self, timeout: float = 180, *, to_stay: bool = True) -> None:
        """Start everything and return when every component is healthy.

        One that is not to stay has no triggerer, since nobody is asked, and is left as soon as a run can
        start: call wait_for_feeds() before what reads them.

        Raises StackError if it runs already, the port is taken, a process ends early or timeout
        (seconds) passes; in the last two cases whatever was started has been stopped again.
        """
        self._refuse_if_running()
        self._refuse_made_up_feeds()
        self._refuse_if_port_busy()
        streaming = self._prepared_streaming()
        self.settings.duckdb_path.parent.mkdir(parents=True, exist_ok=True)
        backup_before_upgrade(self.settings)
        ensure_secrets(self.settings, self.env)
        write_env_file(self.settings)
        self._migrate_database()
        started_at = datetime.now(UTC)
        try:
            env = {**self.env, **feeds_environment(self.settings, self.env)}
            self.processes.start(CORE, env, PROJECT_ROOT, self._about())
            healthy = partial(self._is_healthy, started_at, REPORTED_CORE)
            self._wait(healthy, "Airflow is not healthy", timeout)
            self.processes.add((*(REST if to_stay else ()), *streaming), env, PROJECT_ROOT)
            self.api().set_pool(POOL, POOL_SLOTS, "Tasks that write to the warehouse: DuckDB has one writer.")
            if to_stay:
                healthy = partial(self._is_healthy, started_at, REPORTED_REST)
                self._wait(healthy, "Airflow's triggerer is not healthy", timeout)
                self.wait_for_feeds(timeout)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> bool:
        """Stop everything; returns whether anything was running."""
        return self.processes.stop()

    def wait_for_feeds(self, timeout: float = 180) -> None:
        """Return once broker, producer and consumer work. Raises as `start` does."""
        self._wait(lambda: not unhealthy_workers(self.settings), "The Kafka workers are not healthy", timeout)

    def wait_for_dag(self, dag_id: str, since: datetime, timeout: float = 120) -> None:
        """Return once the DAG was parsed after since, so that a run uses the code as it is now.

        Raises StackError with Airflow's own message if a DAG file does not import, or after timeout seconds.
        """
        api = self.api()
        self._wait(lambda: _is_parsed(api, dag_id, since), f"Airflow does not show DAG {dag_id}", timeout)

    def refuse_if_one_ended(self) -> None:
        """Raise StackError with its log's last lines if one of the processes ended by itself."""
        for name in self.processes.ended():
            raise StackError(_ended_early(name, self.processes.log_file(name)))

    def _about(self) -> dict[str, Any]:
        return {
            "settings": self.settings.model_dump(include=AS_STARTED, mode="json"),
            "ports": self.ports(),
        }

    def _refuse_if_running(self) -> None:
        if self.processes.running():
            raise StackError(f"The stack is already running at {self.url}. Stop it first: make down")
        self.stop()  # what a crash left: a dead component's children, a stale record

    def _refuse_made_up_feeds(self) -> None:
        if self.settings.warehouse == "snowflake" and self.settings.feeds == "simulator":
            raise StackError(
                "FEEDS=simulator would write made-up prices and news to Snowflake:"
                " set FEEDS=live or FEEDS=none."
            )

    def _prepared_streaming(self) -> tuple[Command, ...]:
        """Return the commands of the streaming part, with all that the broker needs in place."""
        commands = streaming_commands(self.settings, self.env)
        if any(command.name == BROKER for command in commands):
            prepare_broker(self.settings)
        return commands

    def _refuse_if_port_busy(self) -> None:
        api_host = self.env.get("AIRFLOW__API__HOST", "127.0.0.1")
        _refuse_if_taken(api_host, self.settings.airflow_port, "AIRFLOW_PORT")
        for port, setting in streaming_ports(self.settings, self.env):
            _refuse_if_taken("127.0.0.1", port, setting)

    def _migrate_database(self) -> None:
        """Create or upgrade Airflow's database, unless this very version has done so before (saves 5 s)."""
        database, done = (
            airflow_home(self.settings) / "airflow.db",
            airflow_home(self.settings) / "migrated_to",
        )
        is_users_own = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN" in self.env
        if not is_users_own and database.exists() and done.exists() and done.read_text() == AIRFLOW_VERSION:
            return
        self.log_dir.mkdir(parents=True, exist_ok=True)
        log = self.log_dir / "db-migrate.log"
        with log.open("wb") as file:
            argv = [AIRFLOW, "db", "migrate"]
            result = subprocess.run(  # noqa: S603
                argv, env=self.env, cwd=PROJECT_ROOT, stdout=file, stderr=subprocess.STDOUT, check=False
            )
        if result.returncode != 0:
            raise StackError(_ended_early("airflow db migrate", log))
        if not is_users_own:
            _enable_wal(database)
            done.write_text(AIRFLOW_VERSION)

    def _is_healthy(self, started_at: datetime, reported: Sequence[str]) -> bool:
        """Return whether each of these sent a heartbeat since started_at; older is a crashed stack's."""
        try:
            health = self.api().health()
            self.api().warm_up()  # while the others still start
        except (requests.RequestException, AirflowApiError):
            return False
        beats = [health[name].get(f"latest_{name}_heartbeat") for name in reported]
        healthy = all(health[name]["status"] == "healthy" for name in ("metadatabase", *reported))
        return healthy and all(beat and datetime.fromisoformat(beat) >= started_at for beat in beats)

    def _wait(self, is_done: Callable[[], bool], complaint: str, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not is_done():
            self.refuse_if_one_ended()
            if time.monotonic() > deadline:
                raise StackError(f"{complaint} after {timeout:.0f} s. Read the logs in {self.log_dir}")
            time.sleep(0.3)


def _refuse_if_taken(host: str, port: int, setting: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise StackError(
                f"Port {port} of {host} is taken ({error.strerror}). "
                f"Choose another one, for example {setting}={port + 10}"
            ) from error


def _enable_wal(database: Path) -> None:
    """Switch SQLite permanently to its write-ahead log: by default a reader blocks every writer."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("pragma journal_mode=wal")


def _is_parsed(api: AirflowApi, dag_id: str, since: datetime) -> bool:
    for error in api.import_errors():
        if datetime.fromisoformat(error["timestamp"]) >= since:
            raise StackError(f"DAG file {error['filename']} does not import:\n{error['stack_trace']}")
    dag = api.dag(dag_id)
    return dag is not None and dag.last_parsed is not None and dag.last_parsed >= since


def _ended_early(name: str, log: Path) -> str:
    return f"{name} ended too early. Its log is {log}; the last lines:{os.linesep}{tail(log)}"
