"""How a DuckDB file comes to be: complete or not at all, whenever the process that makes it is killed.

DuckDB makes a new file under its own name in three writes of 4 KB; a process killed before the last of them
leaves a file that no DuckDB opens again.
"""

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import duckdb

log = logging.getLogger(__name__)

HEADER_BYTES = 12_288  # three headers of 4 KB; the first block, and with it any row, comes after them
MAGIC = slice(8, 12)


def ensure_file(path: Path) -> None:
    """Make an empty database where there is none, or where one was cut short while it was being made.

    It is made aside and linked into place by whoever comes first. Other content stays as it is: opening it
    then says what is wrong. Raises OSError where the folder cannot be written to or knows no hard links.
    """
    if _is_complete(path):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked_folder(path.parent):
        if _is_complete(path) or (path.exists() and not _is_leftover(path)):
            return
        _set_log_aside(path)
        aside = path.with_name(f".{path.name}.new")
        aside.unlink(missing_ok=True)  # a killed process left it
        try:
            duckdb.connect(str(aside)).close()
            _flush(aside)
            if path.exists():
                log.warning("%s was cut short while it was being made and held no row: made again", path)
                aside.replace(path)
            else:
                _link(aside, path)
            _flush(path.parent)
        finally:
            aside.unlink(missing_ok=True)


def log_of(path: Path) -> Path:
    """Return the place of a database file's write-ahead log."""
    return path.with_name(f"{path.name}.wal")


def _is_complete(path: Path) -> bool:
    try:
        return path.stat().st_size >= HEADER_BYTES
    except FileNotFoundError:
        return False


def _is_leftover(path: Path) -> bool:
    """Return whether the short file is the beginning of a database that no living process is making."""
    with path.open("r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # DuckDB's lock on a file that it has open
        except OSError:
            return False
        content = file.read(HEADER_BYTES)
    return not content or content[MAGIC] == b"DUCK"


def _link(aside: Path, path: Path) -> None:
    """Give the new file its name, unless a program without this module has just made one there."""
    try:
        path.hardlink_to(aside)
    except FileExistsError:
        log.info("%s has just been made by another program", path)


def _set_log_aside(path: Path) -> None:
    """Keep a write-ahead log without its database: beside a new one, DuckDB would delete or refuse it."""
    if log_of(path).exists():
        kept = path.with_name(f"{path.name}.{datetime.now(UTC):%Y%m%dT%H%M%S%f}.wal")
        log_of(path).rename(kept)
        log.warning("%s is gone or was cut short, its write-ahead log is kept as %s", path, kept)


@contextmanager
def _locked_folder(folder: Path) -> Iterator[None]:
    """Let one process at a time make a file in the folder; a killed process's lock ends with it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _flush(path: Path) -> None:
    """Bring a file's content, or a folder's names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
