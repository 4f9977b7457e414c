"""The compose file as a user starts it, in a project of its own, and the faults a machine can do to it."""

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import requests

from include.container_secrets import filled_in
from standalone.airflow_api import UNFINISHED_RUNS, AirflowApi, AirflowApiError, RunState
from standalone.environment import ADMIN_USER
from tests.containers.engine import Engine
from tests.deployment.tools import ROOT
from tests.machine import free_port

TAG = "containers-test"
WORKERS = f"marketing-insight-pipeline/workers:{TAG}"
LOG_LINES = 60
PATIENCE_SECONDS = 900  # a machine may be busy; only a test that fails waits for so long
INSIDE = Path(__file__).with_name("inside.py").read_text(encoding="utf-8")
QUERY = """
import json, sys
from include.warehouse import get_warehouse
with get_warehouse().session() as session:
    print(json.dumps(session.execute(sys.argv[1]), default=str))
"""
PRODUCE = """
import asyncio, sys
from aiokafka import AIOKafkaProducer
from streaming_workers.settings import KafkaSettings

async def main():
    producer = AIOKafkaProducer(**KafkaSettings().client_arguments())
    try:
        await producer.start()
        await producer.send_and_wait(sys.argv[1], sys.argv[2].encode(), headers=[("poison", b"")])
    finally:
        await producer.stop()

asyncio.run(main())
"""
Found = TypeVar("Found")


@dataclass
class Stack:
    """A project of the compose file; `data` holds the shop's files, `folder` gets its .env."""

    engine: Engine
    file: Path
    folder: Path
    data: Path
    profiles: str = "simulator"
    extra: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.project = f"marketing-test-{os.getpid()}"
        self.port = free_port()
        self.env_file = self.folder / "stack.env"
        self.env_file.touch(mode=0o600)
        text = filled_in((ROOT / ".env.example").read_text(encoding="utf-8"))
        self._secrets = dict(line.split("=", 1) for line in text.splitlines() if line[:1].isupper())

    @property
    def api(self) -> AirflowApi:
        """Airflow's REST API, logged in as the user whose password is in .env."""
        return AirflowApi(
            f"http://127.0.0.1:{self.port}", ADMIN_USER, self._secrets["AIRFLOW_ADMIN_PASSWORD"]
        )

    def up(self) -> None:
        """Start what the profiles say and return when every service is healthy."""
        own = {
            "AIRFLOW_PORT": str(self.port),
            "DATA_DIR": str(self.data),
            "IMAGE_TAG": TAG,
            # By hand only: a scheduled run must not start beside the one that is looked at.
            "PIPELINE_SCHEDULE": "none",
            "STREAMING_SCHEDULE": "none",
            "RETRAINING_SCHEDULE": "none",
            "COMPOSE_PROFILES": self.profiles,
        }
        settings = {**self._secrets, **own, **self.extra}
        self.env_file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        try:
            self.compose("up", "--detach", "--wait", "--wait-timeout", str(PATIENCE_SECONDS))
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.logs()}") from error

    def down(self) -> None:
        """Remove containers, networks and volumes."""
        self.compose("down", "--volumes", "--remove-orphans")

    def logs(self) -> str:
        """Return the ends of the services' logs and the states of their containers."""
        return self.compose("ps", "--all") + self.compose("logs", "--no-color", "--tail", "30")[-20_000:]

    def compose(self, *arguments: str) -> str:
        """Return what a compose command prints."""
        place = ("--project-directory", ROOT, "--file", self.file)
        options = ("--project-name", self.project, "--env-file", self.env_file)
        return self.engine.run("docker-compose", *place, *options, *arguments)

    def inspect(self, container: str) -> dict[str, Any]:
        """Return what the engine knows of a container."""
        (found,) = json.loads(self.engine.docker("inspect", container))
        return dict(found)

    def containers(self, service: str) -> list[str]:
        """Return the ids of a service's containers, those that ended included."""
        return self.compose("ps", "--all", "--quiet", service).split()

    def processes(self, container: str) -> list[str]:
        """Return the command lines that run in a container."""
        lines = self.engine.docker("top", container, "-eo", "pid,args").splitlines()[1:]
        return [line.split(maxsplit=1)[1] for line in lines]

    def query(self, sql: str) -> list[list[Any]]:
        """Return the rows of a query in the warehouse, run in the consumer's container."""
        found = self.compose("exec", "-T", "consumer", "python", "-c", QUERY, sql)
        return list(json.loads(found))

    def streams(self) -> dict[str, Any]:
        """Return what inside.py finds, by topic."""
        return dict(json.loads(self.compose("exec", "-T", "consumer", "python", "-c", INSIDE)))

    def produce_as(self, user: str, topic: str, value: str, password: str | None = None) -> None:
        """Send a message as a user of the broker (default: with its own password); it is marked as poison."""
        password = password or self._secrets[f"KAFKA_{user.upper()}_PASSWORD"]
        login = {"KAFKA_SASL_USERNAME": user, "KAFKA_SASL_PASSWORD": password}
        options = [word for name, value in login.items() for word in ("--env", f"{name}={value}")]
        self.compose("exec", "-T", *options, "consumer", "python", "-c", PRODUCE, topic, value)

    def reaches(self, service: str, host: str, port: int) -> bool:
        """Return whether a service's container can connect to another's port."""
        code = f"import socket; socket.create_connection(({host!r}, {port}), 10)"
        return self.engine.answers("exec", self.containers(service)[0], "python", "-c", code)

    def kill(self, container: str) -> None:
        """End a container's first process with SIGKILL, as the kernel does where memory is short.

        `docker kill` would count as a stop by hand, after which nothing restarts.
        """
        pid = self.inspect(container)["State"]["Pid"]
        kill = f"import os; os.kill({pid}, 9)"
        self.engine.docker("run", "--rm", "--pid=host", "--user=0", WORKERS, "python", "-c", kill)

    def kill_service(self, service: str) -> None:
        """Kill a service's one container and return when it has been restarted and is healthy again."""
        (container,) = self.containers(service)
        before = self.inspect(container)["RestartCount"]
        self.kill(container)

        def back() -> bool:
            found = self.inspect(container)
            return found["RestartCount"] > before and found["State"]["Health"]["Status"] == "healthy"

        self.wait_until(back, f"{service} to come back")

    def run_dag(self, dag_id: str) -> str:
        """Unpause a DAG once Airflow knows it, trigger it and return the run's id."""
        self.wait_until(lambda: self.asked(lambda: self.api.dag(dag_id)), f"the DAG {dag_id}")
        self.api.set_paused(dag_id, paused=False)
        return self.api.trigger(dag_id).run_id

    def wait_for_run(self, dag_id: str, run_id: str) -> None:
        """Return when the run has succeeded; fails with the last lines of the failed tasks' logs."""

        def ended() -> RunState | None:
            run = self.asked(lambda: self.api.run(dag_id, run_id))
            return run if run and run.state not in UNFINISHED_RUNS else None

        run = self.wait_until(ended, f"{run_id} of {dag_id} to end")
        assert run.state == "success", "\n\n".join(self.failures(dag_id, run_id))

    def failures(self, dag_id: str, run_id: str) -> Iterator[str]:
        """Yield each failed task with the last lines of its log; what only waited for it is left out."""
        for task in self.api.tasks(dag_id, run_id):
            if task.state == "failed":
                path = f"{task.task_id}/logs/{task.try_number}"
                found = self.api._call("GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{path}")
                lines = [
                    f"{line['event']} {line.get('error_detail', '')}"
                    for line in found["content"]
                    if "event" in line
                ]
                yield "\n".join([f"{task.label}, try {task.try_number}:", *lines[-LOG_LINES:]])

    @staticmethod
    def asked(question: Callable[[], Found]) -> Found | None:
        """Return the api-server's answer, or None while it or its database is away."""
        try:
            return question()
        except (requests.RequestException, AirflowApiError):
            return None

    def wait_until(self, condition: Callable[[], Found | None], what: str) -> Found:
        """Return the first result that is true; fails with the services' logs."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (found := condition()):
            assert time.monotonic() < deadline, f"waited in vain for {what}\n{self.logs()}"
            time.sleep(1)
        return found
