"""Turns at the DuckDB file, between a process that stores all the time and one that keeps the file for long.

Whoever is to open the file next holds the lock on `<file>.turn`, an empty file beside it that stays there.
Who has the DuckDB file sees by it that another waits, and who waits knows that no third comes first. It is a
courtesy: the lock that counts is DuckDB's own. The kernel ends both with their process.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

POLL_SECONDS = 0.005


class Turn:
    """The turn at one file, for one process at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.with_name(f"{path.name}.turn")
        self._descriptor: int | None = None

    @property
    def is_known(self) -> bool:
        """Whether any process has ever taken it."""
        return self._file.exists()

    def take(self, seconds: float) -> bool:
        """Wait for it, at most so long; returns whether it is ours."""
        self.release()
        descriptor = os.open(self._file, os.O_RDONLY | os.O_CREAT, 0o644)
        if within(seconds, lambda: _locks(descriptor)):
            self._descriptor = descriptor
            return True
        os.close(descriptor)
        return False

    def release(self) -> None:
        """Leave it to the next."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    @contextmanager
    def taken(self, seconds: float) -> Iterator[None]:
        """Hold it, or go on without it after so long."""
        self.take(seconds)
        try:
            yield
        finally:
            self.release()

    def is_wanted(self) -> bool:
        """Return whether another process has it, while this one has not."""
        try:
            descriptor = os.open(self._file, os.O_RDONLY)
        except FileNotFoundError:
            return False
        try:
            return not _locks(descriptor)
        finally:
            os.close(descriptor)

    def wait_until_free(self, seconds: float) -> bool:
        """Wait until no process has the DuckDB file, at most so long; returns whether that came to be.

        Only for a process that does not have it: closing any descriptor of a file ends the process's locks.
        """
        return within(seconds, lambda: not _is_held(self._path))


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    """Wait until the condition holds, at most so long; return whether it does."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _locks(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_held(path: Path) -> bool:
    try:
        with path.open("r+b") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # as DuckDB does
    except FileNotFoundError:
        return False
    except (BlockingIOError, PermissionError):  # as the system may call it; see fcntl(2)
        return True
    return False
