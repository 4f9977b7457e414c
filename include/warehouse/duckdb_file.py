"""How a DuckDB file comes to be, complete or not at all, and how it is opened while others write to it.

DuckDB makes a new file under its own name in three writes of 4 KB; a process killed before the last of them
leaves a file that no DuckDB opens again.

And since 2.0 DuckDB reads the headers, which say where all else lies, before it locks the file. What another
process wrote and checkpointed in between is not seen: it is lost with this process's next checkpoint.
"""

import fcntl
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import duckdb

T = TypeVar("T")

log = logging.getLogger(__name__)

HEADER_BYTES = 12_288  # three headers of 4 KB; the first block, and with it any row, comes after them
MAGIC = slice(8, 12)
_opening = threading.Lock()


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


def connected(path: Path, *, read_only: bool = False) -> duckdb.DuckDBPyConnection:
    """Open the file, as `opened` says."""
    return opened(
        path, lambda: duckdb.connect(str(path), read_only=read_only), duckdb.DuckDBPyConnection.close
    )


def opened(path: Path, connect: Callable[[], T], close: Callable[[T], object]) -> T:
    """Return what `connect` returns, which opens the file, with all that was written to it before.

    It is called again where the headers changed while DuckDB opened the file, after `close` of what it had
    returned: this writes nothing, as nothing was done. Raises what `connect` raises.
    """
    with _opening:
        while True:
            headers = Headers.of(path)
            try:
                connection = connect()
            except duckdb.Error:  # a write-ahead log that is newer than the headers, too
                if headers.are_current():
                    raise
            else:
                if headers.are_current():
                    return connection
                close(connection)
            log.info("%s was written to while it was being opened: opened again", path)


@dataclass(frozen=True)
class Headers:
    """The headers of a file, as they are before DuckDB opens it."""

    path: Path
    content: tuple[int, int, bytes] | None
    """Device, inode and bytes; None where there is no file, or this process has it open: DuckDB shares it."""

    @classmethod
    def of(cls, path: Path) -> "Headers":
        """Read them."""
        return cls(path, None if _descriptor(path) is not None else _headers(path))

    def are_current(self) -> bool:
        """Return whether they are still the same, which they stay as long as DuckDB has the file open."""
        return self.content is None or self.content == _headers(self.path)


def log_of(path: Path) -> Path:
    """Return the place of a database file's write-ahead log."""
    return path.with_name(f"{path.name}.wal")


def _headers(path: Path) -> tuple[int, int, bytes] | None:
    if (descriptor := _descriptor(path)) is not None:
        return _read(descriptor)
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        return _read(descriptor)
    finally:
        os.close(descriptor)


def _read(descriptor: int) -> tuple[int, int, bytes]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino, os.pread(descriptor, HEADER_BYTES, 0)


def _descriptor(path: Path) -> int | None:
    """Return this process's descriptor of the file, if it has it open: closing another would end its lock."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    for entry in Path("/dev/fd").iterdir():
        with suppress(OSError):  # that of the listing is closed by now
            if os.path.samestat(os.fstat(int(entry.name)), status):
                return int(entry.name)
    return None


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
