"""A small client of Airflow's REST API, as a user's own script would call it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any

import requests
from tenacity import Retrying, retry_if_exception, stop_after_attempt

from standalone.errors import StandaloneError

TRIES = 5
PAGE = 100  # the largest page that the api-server gives by default
UNFINISHED_RUNS = ("queued", "running")
FINISHED_TASKS = ("success", "failed", "skipped", "upstream_failed", "removed")


class AirflowApiError(StandaloneError):
    """The api-server refused a request; the message holds the request and Airflow's reason."""

    def __init__(self, request: str, status: int, reason: str) -> None:
        super().__init__(f"{request}: {status} {reason}")
        self.status = status


@dataclass(frozen=True)
class DagState:
    """The DAG as the api-server reports it; last_parsed is None until the dag-processor has read it."""

    is_paused: bool
    last_parsed: datetime | None


@dataclass(frozen=True)
class RunState:
    """One DAG run; state is queued, running, success or failed."""

    run_id: str
    state: str
    start: datetime | None
    end: datetime | None


@dataclass(frozen=True)
class TaskState:
    """One task instance of a run; its stage is the top-level task group, or the task itself."""

    task_id: str
    state: str | None
    start: datetime | None
    end: datetime | None
    try_number: int
    map_index: int
    map_label: str | None

    @property
    def stage(self) -> str:
        """Return the part of the id before the first dot."""
        return self.task_id.split(".", 1)[0]

    @property
    def label(self) -> str:
        """Return the task's name for a reader, with what a mapped task instance works on."""
        return f"{self.task_id} [{self.map_label or self.map_index}]" if self.map_index >= 0 else self.task_id

    @property
    def finished(self) -> bool:
        """Return whether the task has ended, successfully or not."""
        return self.state in FINISHED_TASKS


class AirflowApi:
    """REST v2 with a login; every method raises AirflowApiError or requests.RequestException."""

    def __init__(self, url: str, user: str, password: str, timeout: float = 120) -> None:
        self.url = url
        self._login = {"username": user, "password": password}
        self._timeout = timeout
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy from the environment cannot reach this machine

    def health(self) -> dict[str, dict[str, str | None]]:
        """Return status and latest heartbeat of every component; needs no login."""
        return dict(self._send("GET", "/api/v2/monitor/health"))

    def warm_up(self) -> None:
        """Have Airflow make what tasks call: two seconds for which the first task would wait."""
        self._send("GET", "/execution/health")

    def dag(self, dag_id: str) -> DagState | None:
        """Return the DAG's state, or None while Airflow does not know it."""
        found = self._find(f"/dags/{dag_id}")
        if found is None:
            return None
        return DagState(bool(found["is_paused"]), _time(found.get("last_parsed_time")))

    def import_errors(self) -> list[dict[str, str]]:
        """Return the DAG files that do not import: filename, stack_trace, timestamp."""
        return list(self._call("GET", "/importErrors")["import_errors"])

    def set_paused(self, dag_id: str, *, paused: bool) -> None:
        """Pause or unpause the DAG."""
        self._call("PATCH", f"/dags/{dag_id}", json={"is_paused": paused})

    def trigger(self, dag_id: str, conf: dict[str, Any] | None = None) -> RunState:
        """Start a manual run, which has no logical date, with the DAG's parameters in conf."""
        body = {"logical_date": None, "conf": conf or {}}
        return _run(self._call("POST", f"/dags/{dag_id}/dagRuns", json=body))

    def run(self, dag_id: str, run_id: str) -> RunState:
        """Return the run's current state."""
        return _run(self._call("GET", f"/dags/{dag_id}/dagRuns/{run_id}"))

    def unfinished_runs(self, dag_id: str) -> list[RunState]:
        """Return the runs that are queued or running."""
        found = self._call("GET", f"/dags/{dag_id}/dagRuns", params={"state": UNFINISHED_RUNS, "limit": PAGE})
        return [_run(one) for one in found["dag_runs"]]

    def latest_runs(self, dag_id: str) -> list[RunState]:
        """Return the newest runs, the newest first."""
        found = self._call("GET", f"/dags/{dag_id}/dagRuns", params={"order_by": "-run_after", "limit": 10})
        return [_run(one) for one in found["dag_runs"]]

    def fail_run(self, dag_id: str, run_id: str) -> None:
        """Mark a run as failed, which also terminates its tasks."""
        self._call("PATCH", f"/dags/{dag_id}/dagRuns/{run_id}", json={"state": "failed"})

    def tasks(self, dag_id: str, run_id: str) -> list[TaskState]:
        """Return every task instance of a run."""
        return [_task(one) for one in self._pages(f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances")]

    def set_pool(self, name: str, slots: int, description: str) -> None:
        """Create the pool, unless it exists: its size may have been set by the user."""
        if self._find(f"/pools/{name}") is None:
            self._call("POST", "/pools", json={"name": name, "slots": slots, "description": description})

    def _find(self, path: str) -> dict[str, Any] | None:
        try:
            return self._call("GET", path)
        except AirflowApiError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    def _pages(self, path: str) -> Iterator[dict[str, Any]]:
        offset = 0
        while True:
            page = self._call("GET", path, params={"limit": PAGE, "offset": offset})["task_instances"]
            yield from page
            if len(page) < PAGE:
                return
            offset += PAGE

    def _call(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        if "Authorization" not in self._session.headers:
            token = self._send("POST", "/auth/token", json=self._login)["access_token"]
            self._session.headers["Authorization"] = f"Bearer {token}"
        return self._send(method, f"/api/v2{path}", **request)

    def _send(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        tries = Retrying(
            retry=retry_if_exception(_is_rolled_back), stop=stop_after_attempt(TRIES), reraise=True
        )
        return dict(tries(self._send_once, method, path, **request))

    def _send_once(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        response = self._session.request(method, f"{self.url}{path}", timeout=self._timeout, **request)
        if not response.ok:
            raise AirflowApiError(f"{method} {path}", response.status_code, response.text[:500])
        return dict(response.json())


def _is_rolled_back(error: BaseException) -> bool:
    """Return whether Airflow's database refused the request, which then has changed nothing.

    On SQLite the api-server notes a request in its log on the thread that would end the write of a task's
    request: each waits for the other until one gives up after five seconds.
    """
    return isinstance(error, AirflowApiError) and error.status >= 500 and "Database error" in str(error)


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _run(found: dict[str, Any]) -> RunState:
    return RunState(
        found["dag_run_id"], found["state"], _time(found.get("start_date")), _time(found.get("end_date"))
    )


def _task(found: dict[str, Any]) -> TaskState:
    return TaskState(
        found["task_id"],
        found["state"],
        _time(found.get("start_date")),
        _time(found.get("end_date")),
        int(found["try_number"]),
        int(found["map_index"]),
        found.get("rendered_map_index"),
    )
