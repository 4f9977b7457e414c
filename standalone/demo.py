"""One run of the whole product: start the stack, trigger the DAGs as a user would, stop, sum up."""

import json
import re
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import requests
from rich.console import Console
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_fixed

from include.settings import Settings
from standalone.airflow_api import UNFINISHED_RUNS, AirflowApi, RunState, TaskState
from standalone.environment import airflow_environment, airflow_home, sample_data_dir
from standalone.errors import StandaloneError
from standalone.progress import IDLE, progress, waiting
from standalone.sample_data.generator import generate
from standalone.stack import Stack
from standalone.summary import Stage, Summary, read_warehouse
from standalone.workers import count_dead_letters

BATCH_DAG, SEGMENTS_DAG, STREAMING_DAG = "marketing_pipeline", "segment_retraining", "streaming_marts"
INSIGHTS_DAG = "marketing_insights"
PRODUCER = "dbt_producer_watcher"  # the task that runs dbt in a Cosmos task group
POLL_SECONDS = 0.5
# What dbt says of each node, twice: `12 of 159 START …`, then `12 of 159 OK …` or another outcome.
_DBT_NODE = re.compile(r"\b\d+ of (\d+) ([A-Z-]+) (?!hook:)")
# The text of an error in dbt's JSON log.
_DBT_ERROR = re.compile(r'"level": "error", "msg": ("(?:[^"\\]|\\.)*")')


class DemoError(StandaloneError):
    """The run failed; the message names the failed tasks and the logs to read."""


def run_demo(settings: Settings, console: Console) -> Summary:
    """Run every DAG once, the batch one on settings.source_location, and return what they made.

    Raises StackError if Airflow does not start and DemoError if the run fails; nothing is left running.
    """
    if settings.warehouse != "duckdb":
        raise DemoError("make demo runs on the embedded DuckDB: unset WAREHOUSE. For Snowflake use make up.")
    # A scheduled run must not start beside the one that is triggered here.
    names = ("PIPELINE_SCHEDULE", "RETRAINING_SCHEDULE", "STREAMING_SCHEDULE")
    schedules = dict.fromkeys(names, "none")
    env = {**airflow_environment(settings), **schedules, "SOURCE_LOCATION": settings.source_location}
    stack = Stack(settings, env)
    began = datetime.now(UTC)
    console.print(f"Files: {settings.source_location}\nAirflow: {stack.url}")
    with waiting(console, "Starting Airflow"):
        # Outside what stops it: a stack that `make up` runs is refused here.
        stack.start(to_stay=False)
    with stopped_afterwards(stack) as stop_seconds:
        stack.wait_for_dag(BATCH_DAG, since=began)
        start = Stage("start the stack", (datetime.now(UTC) - began).total_seconds())
        # Side by side: neither reads what the other writes, and the pool lets one at a time into DuckDB.
        beside = [SEGMENTS_DAG, STREAMING_DAG] if settings.feeds != "none" else [SEGMENTS_DAG]
        for dag_id in (*beside, INSIGHTS_DAG):
            stack.wait_for_dag(dag_id, since=began)
        batch = _run_dags(stack, [BATCH_DAG], {"source_location": settings.source_location}, console)
        stack.wait_for_feeds()
        stages = [start, *batch, *_run_dags(stack, beside, {}, console)]
        if settings.feeds != "none":
            dead_letters = count_dead_letters(stack.env)
        stages += _run_dags(stack, [INSIGHTS_DAG], {}, console)  # last: its snapshot has the prices, too
    stages.append(Stage("stop the stack", stop_seconds[0]))
    summary = read_warehouse(settings.duckdb_path, since=began, stages=stages)
    return summary if settings.feeds == "none" else replace(summary, dead_letters=dead_letters)


def source_for(settings: Settings, location: str, scale: int) -> str:
    """Return the absolute folder or the URI of the files; with no location, make sample files first.

    Raises StandaloneError if the folder is missing.
    """
    if "://" in location:
        return location
    if location:
        folder = Path(location).expanduser().resolve()
        if not folder.is_dir():
            raise StandaloneError(f"DATA_DIR is not a folder: {folder}")
        return str(folder)
    folder = sample_data_dir(settings, scale)
    generate(folder, scale)
    return str(folder)


@contextmanager
def stopped_afterwards(stack: Stack) -> Iterator[list[float]]:
    """Stop the stack whatever happens inside; the list that is given gets the seconds it took."""
    seconds: list[float] = []
    try:
        yield seconds
    finally:
        # A second Ctrl-C would leave processes behind; the stop itself takes seconds at most.
        before = {one: signal.signal(one, signal.SIG_IGN) for one in (signal.SIGINT, signal.SIGTERM)}
        began = time.monotonic()
        try:
            stack.stop()
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)
        seconds.append(time.monotonic() - began)


def stages_of(tasks: list[TaskState]) -> tuple[Stage, ...]:
    """Return each top-level group (or task) that ran, with its time from first start to last end, ordered."""
    spans: dict[str, tuple[datetime, datetime]] = {}
    for task in tasks:
        if task.start and task.end and task.state != "skipped":
            first, last = spans.get(task.stage, (task.start, task.end))
            spans[task.stage] = min(first, task.start), max(last, task.end)
    ordered = sorted(spans.items(), key=lambda item: item[1])
    return tuple(Stage(name, (last - first).total_seconds()) for name, (first, last) in ordered)


def describe_failure(dag_id: str, run: RunState, tasks: list[TaskState], logs: Path) -> str:
    """Return which tasks failed, the log of each and its last error.

    Where a dbt build failed, the tasks that show its single nodes only repeat it, and stay out.
    """
    failed = [task for task in tasks if task.state == "failed"]
    builds = {task.stage for task in failed if task.task_id.endswith(PRODUCER)}
    failed = [task for task in failed if task.stage not in builds or task.task_id.endswith(PRODUCER)]
    lines = [f"The run {run.run_id} of {dag_id} ended as {run.state}."]
    for task in failed:
        log = task_log(logs, dag_id, run.run_id, task)
        lines += [f"Failed task: {task.label}", f"  log:   {log}", f"  error: {last_error(log)}"]
    return "\n".join(lines if failed else [*lines, f"No task failed; read the logs in {logs}"])


def now_running(tasks: list[TaskState]) -> str:
    """Return the stages that have a task at work, for a reader."""
    active = (task.stage for task in tasks if task.state in ("running", "deferred", "up_for_retry"))
    return ", ".join(dict.fromkeys(active)) or IDLE


def build_progress(logs: Path, dag_id: str, run_id: str, tasks: list[TaskState]) -> str:
    """Return how many nodes the dbt builds at work have done, from the logs of the tasks that run dbt."""
    running = (task for task in tasks if task.state == "running" and task.task_id.endswith(PRODUCER))
    counts = (_nodes_done(task_log(logs, dag_id, run_id, task)) for task in running)
    return ", ".join(f"{done} of {total} dbt nodes" for done, total in counts if total)


def _nodes_done(log: Path) -> tuple[int, int]:
    """Return the number of nodes that a dbt build has done, and of all it will run (0 while it parses)."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    found = _DBT_NODE.findall(text)
    return sum(word != "START" for _, word in found), int(found[-1][0]) if found else 0


def task_log(logs: Path, dag_id: str, run_id: str, task: TaskState) -> Path:
    """Return the log file of a task's last attempt."""
    folder = logs / f"dag_id={dag_id}" / f"run_id={run_id}" / f"task_id={task.task_id}"
    if task.map_index >= 0:
        folder /= f"map_index={task.map_index}"
    return folder / f"attempt={task.try_number}.log"


def last_error(log: Path) -> str:
    """Return the last error that a task's log (one JSON object a line) holds, in one line."""
    if not log.exists():
        return "the task wrote no log"
    errors = list(_errors(log))
    # That dbt failed is said last; before it, dbt has said why.
    causes = [error for error in errors if "dbt command failed" not in error] or errors
    return causes[-1] if causes else "the log holds no error line"


def _errors(log: Path) -> Iterator[str]:
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:  # a line that a program wrote past the logger
            continue
        if isinstance(entry, dict) and entry.get("level") in ("error", "critical"):
            yield " ".join(_error_text(entry).split())


def log_root(settings: Settings, env: dict[str, str]) -> Path:
    """Return the folder of Airflow's task logs."""
    return Path(env.get("AIRFLOW__LOGGING__BASE_LOG_FOLDER", airflow_home(settings) / "logs"))


def _error_text(entry: dict[str, object]) -> str:
    details = entry.get("error_detail")
    text = str(entry.get("event"))
    if isinstance(details, list) and details:
        text = f"{details[0].get('exc_type')}: {details[0].get('exc_value')}"
    # Cosmos may log all that dbt has printed as one error; what went wrong is the last error in it.
    said_by_dbt = _DBT_ERROR.findall(text)
    return str(json.loads(said_by_dbt[-1])) if said_by_dbt else text


def _run_dags(stack: Stack, dag_ids: list[str], conf: dict[str, str], console: Console) -> list[Stage]:
    """Run DAGs side by side and return their stages, DAG by DAG. Raises DemoError if one fails."""
    api = stack.api()
    with ExitStack() as unpaused:
        runs = {}
        for dag_id in dag_ids:
            for left in api.unfinished_runs(dag_id):  # an interrupted demo's run would block ours
                api.fail_run(dag_id, left.run_id)
            unpaused.enter_context(_unpaused(api, dag_id))
            runs[dag_id] = api.trigger(dag_id, conf)
        return [
            stage for dag_id, run in runs.items() for stage in stages_of(follow(stack, dag_id, run, console))
        ]


def follow(stack: Stack, dag_id: str, run: RunState, console: Console) -> list[TaskState]:
    """Show a run's progress until it ends and return its tasks; raises DemoError if it fails."""
    console.print(f"Run {run.run_id} of DAG {dag_id}")
    run, tasks = _follow(stack, stack.api(), dag_id, run, console)
    if run.state != "success":
        raise DemoError(describe_failure(dag_id, run, tasks, log_root(stack.settings, stack.env)))
    return tasks


@contextmanager
def _unpaused(api: AirflowApi, dag_id: str) -> Iterator[None]:
    """Let the DAG run, then leave it as it was found: `make up` starts no run unasked."""
    dag = api.dag(dag_id)
    api.set_paused(dag_id, paused=False)
    try:
        yield
    finally:
        if dag is not None and dag.is_paused:
            with suppress(requests.RequestException):  # a dead api-server must not hide why it died
                api.set_paused(dag_id, paused=True)


def _follow(
    stack: Stack, api: AirflowApi, dag_id: str, run: RunState, console: Console
) -> tuple[RunState, list[TaskState]]:
    """Show the run's progress until it ends; a busy api-server gets three tries.

    Raises StackError if one of the stack's processes ends meanwhile.
    """
    retries = Retrying(
        retry=retry_if_exception_type(requests.RequestException),
        stop=stop_after_attempt(3),
        wait=wait_fixed(2),
        reraise=True,
    )
    with progress(console, "tasks") as show:
        while True:
            stack.refuse_if_one_ended()
            run = retries(api.run, dag_id, run.run_id)
            tasks = retries(api.tasks, dag_id, run.run_id)
            detail = build_progress(log_root(stack.settings, stack.env), dag_id, run.run_id, tasks)
            show(sum(task.finished for task in tasks), len(tasks), now_running(tasks), detail)
            if run.state not in UNFINISHED_RUNS:
                return run, tasks
            time.sleep(POLL_SECONDS)
