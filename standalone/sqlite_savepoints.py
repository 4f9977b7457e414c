"""Keeps `airflow backfill create` and a running scheduler from failing on each other's SQLite locks.

Airflow opens a savepoint, reads and then writes. SQLite starts such a transaction as a reader; where anyone
else has written meanwhile, it cannot become a writer: "database is locked", at once, whatever the time-out.
So a savepoint that opens a transaction takes the write lock first, and waits for it. Postgres needs none of
this.

Airflow imports it through `airflow_local_settings.py` in the configuration folder of its home.
"""

import sqlite3

from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine

LOCAL_SETTINGS = """import standalone.sqlite_savepoints
from include.garbage import collect_less

collect_less()
"""


@event.listens_for(Engine, "savepoint")
def write_lock_first(connection: Connection, _name: str) -> None:
    """Begin an immediate transaction before a savepoint that would begin a deferred one."""
    raw = connection.connection.dbapi_connection
    if isinstance(raw, sqlite3.Connection) and not raw.in_transaction:
        raw.execute("begin immediate")
