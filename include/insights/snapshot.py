"""The snapshot that page and report read: Parquet files and a pointer, in a folder or an object store."""

import json
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import duckdb


class NoSnapshotError(Exception):
    """There is no snapshot; the message says where it was looked for and what makes one."""


NoSnapshot = NoSnapshotError


@dataclass(frozen=True)
class TableInfo:
    """Rows and file of a table."""

    rows: int
    file: str


class Snapshot:
    """One written state of all tables."""

    def __init__(self, folder: Path, pointer: dict[str, Any]) -> None:
        self.snapshot_id: str = pointer["snapshot_id"]
        self.written_at = datetime.fromisoformat(pointer["written_at"])
        self.as_of_date = date.fromisoformat(pointer["as_of_date"])
        self.first_day = date.fromisoformat(pointer["first_day"])
        self.last_day = date.fromisoformat(pointer["last_day"])
        self.sources: str = pointer["sources"]
        self.simulated_prices: bool = pointer["simulated_prices"]
        self.tables = {name: TableInfo(**info) for name, info in pointer["tables"].items()}
        self._connection = duckdb.connect()
        for name, info in self.tables.items():
            file = str(folder / self.snapshot_id / info.file).replace("'", "''")
            self._connection.execute(f"create view {name} as select * from read_parquet('{file}')")

    def has(self, name: str) -> bool:
        """Return whether the snapshot holds a table."""
        return name in self.tables

    def query(self, sql: str, parameters: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """Return the rows of a statement over the tables."""
        cursor = self._connection.cursor()
        cursor.execute("set timezone = 'UTC'")
        cursor.execute(sql, parameters or None)
        names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


@lru_cache(maxsize=2)
def _read(folder: str, text: str) -> Snapshot:
    return Snapshot(Path(folder), json.loads(text))


def latest(location: str) -> Snapshot:
    """Return the newest snapshot; raises NoSnapshotError."""
    try:
        text = (Path(location) / "latest.json").read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise NoSnapshotError(f"There is no snapshot in {location}: run the DAG marketing_insights.") from error
    return _read(location, text)
