"""Backups of what this machine holds, taken while everything runs: `python -m include.backup --help`.

A backup is a folder of LOCAL_DIR/backups, named by its time in UTC:

    warehouse.duckdb   the DuckDB file with its write-ahead log merged, every row of it read
    segments/          the registry of the model, where it is a folder: complete versions and the promotions
    airflow.db         Airflow's database, where it is the SQLite file of this machine
    backup.json        written last, with each file's SHA-256; without it: no backup

The DuckDB file is copied under the lock that its writers take, SQLite's by its backup interface. What is on
Snowflake, in an object store or in PostgreSQL is not in it: docs/deployment.md.
"""

import fcntl
import hashlib
import json
import math
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import duckdb
import typer
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random

from include.settings import Settings, get_settings, run_command
from include.warehouse.duckdb import DuckDBWarehouse
from include.warehouse.duckdb_file import log_of

LOCK_TIMEOUT_SECONDS = 300
RETRY_SECONDS = 600
MANIFEST = "backup.json"
NAME = "%Y%m%dT%H%M%S%fZ"
WAREHOUSE, SEGMENTS, AIRFLOW = "warehouse.duckdb", "segments", "airflow.db"

app = typer.Typer(
    help="Backups of this machine's state.", no_args_is_help=True, pretty_exceptions_enable=False
)


class BackupError(Exception):
    """There is no backup, or none to restore; the message says why and what to do."""


@dataclass(frozen=True)
class Backup:
    """One complete backup; `files` maps each file's path in it to its SHA-256 (hex)."""

    folder: Path
    files: dict[str, str]

    @property
    def bytes(self) -> int:
        """Size of all its files."""
        return sum((self.folder / name).stat().st_size for name in self.files)


@dataclass(frozen=True)
class Places:
    """Where the parts of a backup come from; None where this machine does not hold one."""

    warehouse: Path | None
    segments: Path | None
    airflow: Path

    @classmethod
    def of(cls, settings: Settings) -> "Places":
        """Return the places that the settings name; ML_REGISTRY as the registry reads it."""
        registry = os.environ.get("ML_REGISTRY", "")
        own = Path(registry).absolute() if registry else settings.local_dir / "segments"
        return cls(
            settings.duckdb_path if settings.warehouse == "duckdb" else None,
            None if "://" in registry else own,
            settings.local_dir / "airflow" / "airflow.db",
        )


def create(settings: Settings) -> Backup:
    """Make a backup and remove those beyond the number of settings.backups, the oldest first.

    Raises BackupError, with no folder left, where there is nothing to back up, the warehouse stays locked for
    LOCK_TIMEOUT_SECONDS or cannot be read whole.
    """
    places, root = Places.of(settings), _root(settings)
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=root, prefix=".unfinished-") as name:
        folder = Path(name)
        if places.warehouse and places.warehouse.exists():
            _copy_warehouse(places.warehouse, folder / WAREHOUSE)
        if places.segments and places.segments.is_dir():  # after the warehouse, which names its versions
            _copy_registry(places.segments, folder / SEGMENTS)
        if places.airflow.exists():
            _copy_sqlite(places.airflow, folder / AIRFLOW)
        files = {str(path.relative_to(folder)): _digest(path) for path in _files(folder)}
        if not files:
            raise BackupError(f"There is nothing to back up below {settings.local_dir}.")
        (folder / MANIFEST).write_text(json.dumps({"files": files}, indent=1), encoding="utf-8")
        done = root / f"{datetime.now(UTC):{NAME}}"
        folder.rename(done)
        folder.mkdir()  # the context removes it
    for old in backups(settings)[settings.backups :]:
        shutil.rmtree(old.folder)
    return Backup(done, files)


def backups(settings: Settings) -> list[Backup]:
    """Return all complete backups, the newest first."""
    found = sorted(_root(settings).glob(f"[0-9]*Z/{MANIFEST}"), reverse=True)
    return [Backup(one.parent, json.loads(one.read_text(encoding="utf-8"))["files"]) for one in found]


def age(settings: Settings) -> float:
    """Return the seconds since the newest backup was made, infinite where there is none."""
    for one in backups(settings):
        made = datetime.strptime(one.folder.name, NAME).replace(tzinfo=UTC)
        return (datetime.now(UTC) - made).total_seconds()
    return math.inf


def restore(settings: Settings, name: str = "") -> tuple[Backup, Path]:
    """Put a backup (default: the newest) in place; return it and the folder with what was there before.

    Stop everything first. Raises BackupError, with nothing changed, where there is no such backup, one of its
    files has changed, or another process has the warehouse or Airflow's database open.
    """
    backup = _chosen(settings, name)
    for file, digest in backup.files.items():
        path = backup.folder / file
        if not path.exists() or _digest(path) != digest:
            raise BackupError(f"{path} is missing or not what was written: take another backup.")
    places = Places.of(settings)
    before = settings.local_dir / "before-restore" / f"{datetime.now(UTC):{NAME}}"
    with _nobody_at_work(places):
        before.mkdir(parents=True, mode=0o700)
        for part, place in (
            (WAREHOUSE, places.warehouse),
            (SEGMENTS, places.segments),
            (AIRFLOW, places.airflow),
        ):
            if place and (backup.folder / part).exists():
                _put_in_place(backup.folder / part, place, before)
    return backup, before


def _chosen(settings: Settings, name: str) -> Backup:
    found = backups(settings)
    if not found:
        raise BackupError(f"There is no backup in {_root(settings)}.")
    if not name:
        return found[0]
    for one in found:
        if one.folder.name == name:
            return one
    raise BackupError(f"There is no backup {name} in {_root(settings)}: {_names(found)}")


def _names(found: list[Backup]) -> str:
    return ", ".join(one.folder.name for one in found)


@contextmanager
def _nobody_at_work(places: Places) -> Iterator[None]:
    if places.airflow.exists():
        with closing(sqlite3.connect(places.airflow, timeout=1, isolation_level=None)) as database:
            try:
                database.execute("pragma locking_mode = exclusive")
                database.execute("begin exclusive")
            except sqlite3.OperationalError as error:
                raise BackupError(f"{places.airflow} is in use: stop Airflow first ({error}).") from error
    if places.warehouse and places.warehouse.exists():
        with _locked(places.warehouse, timeout=1):
            yield
    else:
        yield


def _put_in_place(source: Path, place: Path, before: Path) -> None:
    """Copy beside the place, keep what is there, then rename: a kill leaves the one or the other."""
    new = place.with_name(f".{place.name}.restored")
    place.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.rmtree(new, ignore_errors=True)
        shutil.copytree(source, new)
    else:
        shutil.copy2(source, new)
    for old in (place, log_of(place), *(place.with_name(f"{place.name}{end}") for end in ("-wal", "-shm"))):
        if old.exists():
            shutil.move(old, before / old.name)
    new.rename(place)


def _copy_warehouse(source: Path, target: Path) -> None:
    with _locked(source, LOCK_TIMEOUT_SECONDS) as descriptor:
        with open(descriptor, "rb", closefd=False) as file, target.open("wb") as copy:
            shutil.copyfileobj(file, copy, 1024 * 1024)
        if log_of(source).exists():
            shutil.copy2(log_of(source), log_of(target))
    try:
        with DuckDBWarehouse(target).session() as session:
            session.execute("checkpoint")
            for schema, table in session.execute("select schema_name, table_name from duckdb_tables()"):
                session.execute(f'select bit_xor(hash(one)) from "{schema}"."{table}" as one')  # noqa: S608
    except duckdb.Error as error:
        raise BackupError(f"{source} cannot be read whole, so there is no backup of it: {error}") from error


@contextmanager
def _locked(path: Path, timeout: float) -> Iterator[int]:
    """Hold DuckDB's lock on a file and yield its descriptor; this process must close no other one of it."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        tries = Retrying(
            retry=retry_if_exception_type(OSError),
            wait=wait_random(0.005, 0.1),
            stop=stop_after_delay(timeout),
            reraise=True,
        )
        try:
            tries(fcntl.lockf, descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise BackupError(f"{path} was in use by others for {timeout:.0f} s: {error}") from error
        yield descriptor
    finally:
        os.close(descriptor)


def _copy_registry(source: Path, target: Path) -> None:
    """Copy the promotions first: what they name is complete by then, and stays as it is."""
    target.mkdir()
    for pointer in (source / "current.json", *source.glob("promotions/*.json")):
        if pointer.exists():
            (target / pointer.relative_to(source)).parent.mkdir(exist_ok=True)
            shutil.copy2(pointer, target / pointer.relative_to(source))
    for complete in sorted(source.glob("versions/*/version.json")):
        shutil.copytree(complete.parent, target / "versions" / complete.parent.name)


def _copy_sqlite(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as live, closing(sqlite3.connect(target)) as copy:
        live.backup(copy)
        copy.execute("pragma journal_mode = delete")  # one file, without a log beside it
        [(verdict,)] = copy.execute("pragma quick_check(1)").fetchall()
    if verdict != "ok":
        raise BackupError(f"{source} cannot be read whole, so there is no backup of it: {verdict}")


def _root(settings: Settings) -> Path:
    return settings.local_dir / "backups"


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@app.command("create")
def create_command() -> None:
    """Make a backup; BACKUPS of them are kept."""
    with _errors_in_a_line():
        made = create(get_settings())
    typer.echo(f"{made.folder}: {', '.join(sorted(made.files))}; {made.bytes / 1e6:.1f} MB.")


@app.command("copy")
def copy_command(
    to: Annotated[Path | None, typer.Argument(help="File to write; default: copy/ in LOCAL_DIR.")] = None,
) -> None:
    """Copy the DuckDB file as it is at one instant, for a SQL tool that holds a file for hours."""
    settings = get_settings()
    # Views name their database, which is the file's name.
    target = to or settings.local_dir / "copy" / settings.duckdb_path.name
    with _errors_in_a_line():
        if not settings.duckdb_path.exists():
            raise BackupError(f"There is no DuckDB file {settings.duckdb_path} yet: `make build` makes one.")
        if target.stem != settings.duckdb_path.stem:
            raise BackupError(f"{target}: a copy is called {settings.duckdb_path.name}, or its views break.")
        target.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=target.parent) as folder:
            _copy_warehouse(settings.duckdb_path, Path(folder, target.name))
            Path(folder, target.name).replace(target)
    typer.echo(
        f"{target}: {target.stat().st_size / 1e6:.1f} MB, as of {datetime.now(UTC):%Y-%m-%d %H:%M} UTC."
    )


@app.command("every")
def every_command(
    hours: Annotated[float, typer.Argument(help="Hours from one backup to the next.")] = 24,
) -> None:
    """Make a backup whenever the newest is so old, until stopped: compose's profile `backups`.

    What goes wrong is printed, and tried again after RETRY_SECONDS.
    """
    while True:
        time.sleep(max(0.0, hours * 3600 - age(get_settings())))
        try:
            create_command()
        except typer.Exit:
            time.sleep(RETRY_SECONDS)


@app.command("check")
def check_command(
    hours: Annotated[float, typer.Argument(help="Most hours that it may be old.")] = 26,
) -> None:
    """End with 1 where the newest backup is older or there is none: a container's health."""
    if (seconds := age(get_settings())) > hours * 3600:
        when = (
            f"The newest backup is {seconds / 3600:.1f} hours old"
            if seconds < math.inf
            else "There is no backup"
        )
        typer.echo(f"{when} in {_root(get_settings())}.", err=True)
        raise typer.Exit(1)


@app.command("list")
def list_command() -> None:
    """List the backups, the newest first."""
    for one in backups(get_settings()):
        typer.echo(f"{one.folder.name}  {one.bytes / 1e6:10.1f} MB")


@app.command("restore")
def restore_command(
    name: Annotated[str, typer.Argument(help="Name of the backup; default: the newest.")] = "",
) -> None:
    """Put a backup in place; everything must be stopped. What was there is kept beside."""
    with _errors_in_a_line():
        backup, before = restore(get_settings(), name)
    typer.echo(f"{backup.folder.name} is restored. What was there before lies in {before}.")


@contextmanager
def _errors_in_a_line() -> Iterator[None]:
    try:
        yield
    except BackupError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error


if __name__ == "__main__":
    run_command(app)
