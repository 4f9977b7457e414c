"""Shows a DAG run while it runs: a bar on a terminal, plain lines in a log."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from standalone.airflow_api import TaskState

Show = Callable[[list[TaskState]], None]
PLAIN_LINE_SECONDS = 10.0


@contextmanager
def progress(console: Console) -> Iterator[Show]:
    """Give a function that shows the tasks as they are now; call it as often as you like."""
    if not console.is_terminal:
        yield _plain(console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        row = bar.add_task("waiting", total=None)

        def show(tasks: list[TaskState]) -> None:
            bar.update(row, total=len(tasks), completed=_done(tasks), description=now_running(tasks))

        yield show


def now_running(tasks: list[TaskState]) -> str:
    """Return the stages that have a task at work, for a reader."""
    active = (task.stage for task in tasks if task.state in ("running", "deferred", "up_for_retry"))
    return ", ".join(dict.fromkeys(active)) or "waiting"


def _plain(console: Console) -> Show:
    """Print a line when another stage runs, and every ten seconds otherwise."""
    last, printed_at = "", 0.0

    def show(tasks: list[TaskState]) -> None:
        nonlocal last, printed_at
        stages, now = now_running(tasks), time.monotonic()
        if tasks and (stages not in (last, "waiting") or now - printed_at > PLAIN_LINE_SECONDS):
            console.print(f"{_done(tasks):>4} of {len(tasks)} tasks done, now: {stages}")
            last, printed_at = stages, now

    return show


def _done(tasks: list[TaskState]) -> int:
    return sum(task.finished for task in tasks)
