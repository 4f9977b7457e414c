"""Shows how far a run is: a bar on a terminal, plain lines in a log."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

PLAIN_LINE_SECONDS = 5.0
IDLE = "waiting"


class Show(Protocol):
    """Shows the number done, the number in all, what is at work, and how far that is by itself."""

    def __call__(self, done: int, total: int, now: str, detail: str = "") -> None:
        """Take any rate of calls."""


@contextmanager
def progress(console: Console, unit: str) -> Iterator[Show]:
    """Yield what shows how far a run is."""
    if not console.is_terminal:
        yield _plain(console, unit)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        row = bar.add_task(IDLE, total=None)

        def show(done: int, total: int, now: str, detail: str = "") -> None:
            bar.update(row, total=total, completed=done, description=_with(detail, now))

        yield show


@contextmanager
def waiting(console: Console, what: str) -> Iterator[None]:
    """Say what is waited for: a spinner on a terminal, a line every few seconds in a log."""
    if console.is_terminal:
        with console.status(what):
            yield
        return
    console.print(f"{what} …")
    done, began = threading.Event(), time.monotonic()

    def remind() -> None:
        while not done.wait(PLAIN_LINE_SECONDS):
            console.print(f"{what} … {time.monotonic() - began:.0f} s")

    reminder = threading.Thread(target=remind, daemon=True)
    reminder.start()
    try:
        yield
    finally:
        done.set()
        reminder.join()


def _plain(console: Console, unit: str) -> Show:
    """Print a line for whatever is at work for the first time, and every few seconds otherwise."""
    shown, printed_at = {IDLE}, 0.0

    def show(done: int, total: int, now: str, detail: str = "") -> None:
        nonlocal printed_at
        if total and (now not in shown or time.monotonic() - printed_at > PLAIN_LINE_SECONDS):
            console.print(f"{done:>4} of {total} {unit} done, now: {_with(detail, now)}")
            shown.add(now)
            printed_at = time.monotonic()

    return show


def _with(detail: str, now: str) -> str:
    return f"{now} ({detail})" if detail else now
