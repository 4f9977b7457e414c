"""Airflow's way to write (savepoint, read, write) beside another writer to the same SQLite file."""

import sqlite3
import threading
from pathlib import Path

from sqlalchemy import create_engine, event, text
from sqlalchemy.engine import Engine
from sqlalchemy.exc import OperationalError

from standalone.sqlite_savepoints import write_lock_first


def read_then_write_beside_another_writer(path: Path) -> int:
    """Return the number of rows in the end: one of a reader that becomes a writer, one of somebody else."""
    with sqlite3.connect(path) as setup:
        setup.execute("pragma journal_mode=wal")
        setup.execute("create table run (id integer)")

    def write() -> None:
        with sqlite3.connect(path) as other:
            other.execute("insert into run values (2)")

    other = threading.Thread(target=write)
    engine = create_engine(f"sqlite:///{path}")
    try:
        with engine.begin() as connection, connection.begin_nested():
            connection.execute(text("select count(*) from run"))
            other.start()
            other.join(timeout=0.5)  # it has written by now, or it waits for us
            connection.execute(text("insert into run values (1)"))
    finally:
        engine.dispose()
        other.join()
    with sqlite3.connect(path) as check:
        return int(check.execute("select count(*) from run").fetchone()[0])


def test_a_reader_that_becomes_a_writer_is_not_refused(tmp_path: Path) -> None:
    assert read_then_write_beside_another_writer(tmp_path / "with.db") == 2


def test_it_would_be_refused_without_the_lock(tmp_path: Path) -> None:
    """So the fault is still there; when it is not, the module can go."""
    event.remove(Engine, "savepoint", write_lock_first)
    try:
        refused = ""
        try:
            read_then_write_beside_another_writer(tmp_path / "without.db")
        except OperationalError as error:
            refused = str(error)
        assert "database is locked" in refused
    finally:
        event.listen(Engine, "savepoint", write_lock_first)
