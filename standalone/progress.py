"""Shows how far a run is: a bar on a terminal, plain lines in a log."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

Show = Callable[[int, int, str], None]
PLAIN_LINE_SECONDS = 10.0
IDLE = "waiting"


@contextmanager
def progress(console: Console, unit: str) -> Iterator[Show]:
    """Yield a function of the number done, the number in all and what is at work; call it at any rate."""
    if not console.is_terminal:
        yield _plain(console, unit)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        row = bar.add_task(IDLE, total=None)
        yield lambda done, total, now: bar.update(row, total=total, completed=done, description=now)


def _plain(console: Console, unit: str) -> Show:
    """Print a line for whatever is at work for the first time, and every ten seconds otherwise."""
    shown, printed_at = {IDLE}, 0.0

    def show(done: int, total: int, now: str) -> None:
        nonlocal printed_at
        if total and (now not in shown or time.monotonic() - printed_at > PLAIN_LINE_SECONDS):
            console.print(f"{done:>4} of {total} {unit} done, now: {now}")
            shown.add(now)
            printed_at = time.monotonic()

    return show
