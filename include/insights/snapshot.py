"""Snapshots of the insights: what page and report read, so that nobody holds the warehouse open.

    LOCATION/<snapshot_id>/<table>.parquet   one file a table
    LOCATION/<snapshot_id>/snapshot.json     written last; without it: no snapshot
    LOCATION/latest.json                     the newest one's snapshot.json, replaced in one step

LOCATION is a folder or an object-store URI. A reader sees one whole snapshot. Its files never change, but
for an erasure, which takes a customer's rows out of all of them.

    python -m include.insights.snapshot write | list | erase CUSTOMER
"""

import json
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import typer

from include.ingestion.origin import held_by
from include.insights.tables import TABLES, RegistryUnreadableError, model_gate
from include.settings import get_settings, run_command
from include.storage import on_this_machine, open_folder, replace_file
from include.warehouse import Session, Warehouse, get_warehouse

POINTER, MANIFEST = "latest.json", "snapshot.json"
REPORT = "report.html"
CUSTOMER_ID = "customer_id"
ROWS_A_GROUP = 122_880  # DuckDB reads row groups in parallel
# In this order: the last one fixes the others.
CLOSED = ("autoload_known_extensions = false", "enable_external_access = false", "lock_configuration = true")

_RELATIONS = """
select lower(table_schema) || '.' || lower(table_name) from information_schema.tables
union
select lower(table_schema) || '.' || lower(table_name) from information_schema.views
"""
_DAYS = "select min(order_date), max(order_date) from analytics.fct_orders"
_AS_OF = "select max(as_of_date) from staging.int_customer_features"


class SnapshotError(Exception):
    """A snapshot cannot be written or read: one sentence that names what is missing or damaged."""


class NoSnapshotError(SnapshotError):
    """There is none yet; the message says how to make one."""


@dataclass(frozen=True)
class StoredTable:
    """A table's number of rows, and its file in the snapshot's folder."""

    rows: int
    file: str


@dataclass(frozen=True)
class Manifest:
    """What a snapshot holds; as JSON, snapshot.json.

    Times are ISO 8601 in UTC, days YYYY-MM-DD. `sources` is "files" or "generated"; `simulated_prices`: some
    of the stored prices are made up. A table whose source was never built is not in `tables`. `erased_at` is
    the time of the last erasure, "" without one.
    """

    snapshot_id: str
    written_at: str
    as_of_date: str
    first_day: str
    last_day: str
    sources: str
    simulated_prices: bool
    tables: Mapping[str, StoredTable]
    erased_at: str = ""

    def to_json(self) -> bytes:
        """Return the file's content."""
        return (json.dumps(asdict(self), indent=1) + "\n").encode()

    @classmethod
    def from_json(cls, content: bytes, place: object) -> "Manifest":
        """Read it; raises SnapshotError, which names the place, where it is none."""
        try:
            found = json.loads(content)
            tables = {name: StoredTable(**one) for name, one in found["tables"].items()}
            return cls(**{**found, "tables": tables})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise SnapshotError(f"{place} is no manifest of a snapshot: {error}.") from error


class Snapshot:
    """One snapshot, open for reading by any number of threads; it holds no warehouse and no lock."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.manifest = manifest
        self._folder = folder
        self._fetched: tempfile.TemporaryDirectory[str] | None = None
        self._fetching = threading.Lock()
        local = on_this_machine(folder)
        if local is None:
            self._fetched = tempfile.TemporaryDirectory(prefix="insights-")
            local = Path(self._fetched.name)
        self._local = local
        self._connection = duckdb.connect()
        self._connection.execute("set TimeZone = 'UTC'")
        self._connection.execute(f"set allowed_directories = [{_literal(f'{local}/')}]")
        for setting in CLOSED:
            self._connection.execute(f"set {setting}")
        self._viewed: set[str] = set()

    @property
    def as_of_date(self) -> date:
        """Day that recency counts from."""
        return date.fromisoformat(self.manifest.as_of_date)

    @property
    def first_day(self) -> date:
        """Day of the oldest order."""
        return date.fromisoformat(self.manifest.first_day)

    @property
    def last_day(self) -> date:
        """Day of the newest order."""
        return date.fromisoformat(self.manifest.last_day)

    @property
    def tables(self) -> frozenset[str]:
        """The names of its tables."""
        return frozenset(self.manifest.tables)

    def table(self, name: str) -> duckdb.DuckDBPyRelation:
        """Return a table, of which DuckDB reads only what is asked for; raises SnapshotError without it."""
        self._view(name)
        return self._connection.cursor().table(name)

    def query(self, sql: str, values: list[object] | dict[str, object] | None = None) -> list[dict[str, Any]]:
        """Return the rows of a query over its tables, by column; `?` stands for each of `values`, or `$name`.

        It may name any table of `tables`, and reads no other file.
        """
        for name in self.manifest.tables:
            self._view(name)
        cursor = self._connection.cursor().execute(sql, values or None)
        names = [one[0] for one in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def _view(self, name: str) -> None:
        """Make a table's file known to DuckDB; one of an object store is fetched, once."""
        with self._fetching:
            if name in self._viewed:
                return
            stored = self.manifest.tables.get(name)
            if stored is None:
                raise SnapshotError(f"Snapshot {self.manifest.snapshot_id} has no table {name}.")
            path = self._local / stored.file
            if self._fetched:
                path.write_bytes((self._folder / stored.file).read_bytes())
            if not path.exists():
                raise SnapshotError(f"{path} is missing: write a new snapshot.")
            self._connection.execute(f"create view {name} as from read_parquet({_literal(str(path))})")
            self._viewed.add(name)


def write(warehouse: Warehouse, location: str = "") -> Manifest:
    """Write what the warehouse holds now as the newest snapshot, and remove those beyond INSIGHTS_SNAPSHOTS.

    Raises SnapshotError where the star schema is empty, RegistryUnreadableError; then nothing is changed.
    """
    root, gate = _root(location), model_gate()
    files: dict[str, bytes] = {"model_gate": _parquet(gate)}
    with warehouse.session() as session:
        manifest = _read(session, files, {"model_gate": gate.num_rows})
    folder = root / manifest.snapshot_id
    folder.mkdir(parents=True, exist_ok=False)
    for name, content in files.items():
        replace_file(folder / manifest.tables[name].file, content)
    replace_file(folder / MANIFEST, manifest.to_json())
    replace_file(root / POINTER, manifest.to_json())
    prune(location, get_settings().insights_snapshots)
    return manifest


def latest(location: str = "") -> Snapshot:
    """Return the newest snapshot; the same object until there is a newer one.

    Raises NoSnapshotError before the first, SnapshotError where the pointer is damaged.
    """
    pointer = _root(location) / POINTER
    try:
        content = pointer.read_bytes()
    except FileNotFoundError as error:
        raise NoSnapshotError(
            f"There is no snapshot in {pointer.parent}: run the DAG marketing_insights."
        ) from error
    return _opened(location, content)


def snapshot(snapshot_id: str, location: str = "") -> Snapshot:
    """Return a snapshot by its id; raises NoSnapshotError where it is not kept (any more)."""
    folder = _root(location) / snapshot_id
    if snapshot_id.strip("0123456789TZ") or not (folder / MANIFEST).exists():
        raise NoSnapshotError(f"There is no snapshot {snapshot_id!r} in {folder.parent}.")
    return _opened(location, (folder / MANIFEST).read_bytes())


def snapshots(location: str = "") -> list[str]:
    """Return the ids of all complete snapshots, the oldest first."""
    return sorted(one.name for one in _folders(_root(location)) if (one / MANIFEST).exists())


def prune(location: str, keep: int) -> list[str]:
    """Delete all but the newest `keep` snapshots, and what an interrupted write left; return their ids.

    The one that the pointer names is always kept.
    """
    root = _root(location)
    kept = {_pointed(root), *snapshots(location)[-keep:]}
    newest = max(kept)
    # What is newer than all of them is being written.
    gone = sorted(one.name for one in _folders(root) if one.name not in kept and one.name < newest)
    for name in gone:
        _delete(root / name)
    return gone


def erase(customer_id: int, location: str = "") -> dict[str, int]:
    """Take a customer's rows out of every table of every snapshot; return their number by snapshot.

    Sums of other tables still hold the customer until the next run.
    """
    root, found = _root(location), {}
    pointed = _pointed(root)
    for name in snapshots(location):
        folder = root / name
        manifest = Manifest.from_json((folder / MANIFEST).read_bytes(), folder / MANIFEST)
        erased = _erased(folder, manifest, customer_id)
        found[name] = sum(one.rows for one in manifest.tables.values()) - sum(
            one.rows for one in erased.tables.values()
        )
        if found[name]:
            replace_file(folder / MANIFEST, erased.to_json())
            if name == pointed:
                replace_file(root / POINTER, erased.to_json())
    return {name: count for name, count in found.items() if count}


def _erased(folder: Path, manifest: Manifest, customer_id: int) -> Manifest:
    tables = dict(manifest.tables)
    for name, stored in manifest.tables.items():
        if stored.file.endswith(".parquet"):
            table = pq.read_table(pa.BufferReader((folder / stored.file).read_bytes()))
            if CUSTOMER_ID not in table.column_names:
                continue
            kept = table.filter(pa.compute.field(CUSTOMER_ID) != customer_id)
            if kept.num_rows < table.num_rows:
                replace_file(folder / stored.file, _parquet(kept))
                tables[name] = replace(stored, rows=kept.num_rows)
    return replace(manifest, tables=tables, erased_at=_now().isoformat(timespec="seconds"))


@lru_cache(maxsize=2)
def _opened(location: str, content: bytes) -> Snapshot:
    """An erasure changes the content, so that what was fetched before it is given up."""
    root = _root(location)
    manifest = Manifest.from_json(content, root / POINTER)
    return Snapshot(root / manifest.snapshot_id, manifest)


def _read(session: Session, files: dict[str, bytes], rows: dict[str, int]) -> Manifest:
    """Fill `files` with each table's Parquet and `rows` with their numbers; return the manifest."""
    relations = {name for (name,) in session.execute(_RELATIONS)}
    [(first, last)] = session.execute(_DAYS) if "analytics.fct_orders" in relations else [(None, None)]
    if first is None:
        raise SnapshotError("The warehouse holds no orders: run the DAG marketing_pipeline first.")
    [(as_of,)] = session.execute(_AS_OF) if "staging.int_customer_features" in relations else [(None,)]
    for name, table in TABLES.items():
        if relations.issuperset(table.needs):
            found = _plain(session.read_arrow(table.sql))
            if found.num_rows or not table.optional:
                files[name], rows[name] = _parquet(found), found.num_rows
    origin = held_by(session)
    now = _now()
    return Manifest(
        snapshot_id=f"{now:%Y%m%dT%H%M%S%f}Z",
        written_at=now.isoformat(timespec="seconds"),
        as_of_date=str(as_of or last),
        first_day=str(first),
        last_day=str(last),
        sources="generated" if origin and origin.is_generated else "files",
        simulated_prices=_has_simulated_prices(session, relations),
        tables={name: StoredTable(count, f"{name}.parquet") for name, count in rows.items()},
    )


def _has_simulated_prices(session: Session, relations: set[str]) -> bool:
    if "streaming.bitcoin_prices_raw" not in relations:
        return False
    # The payload is JSON, VARIANT on Snowflake: as text both look alike but for blanks.
    [(count,)] = session.execute(
        "select count(*) from streaming.bitcoin_prices_raw"
        " where replace(cast(payload as varchar), ' ', '') like '%\"simulated\":true%'"
    )
    return bool(count)


def _plain(table: pa.Table) -> pa.Table:
    """Return it as every warehouse gives it: names in lower case, whole numbers as int64, times in UTC."""
    names = [name.lower() for name in table.column_names]
    columns = [column.cast(_plain_type(column.type)) for column in table.columns]
    return pa.table(columns, names=names)


def _plain_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and kind.scale == 0):
        return pa.int64()
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", tz="UTC")
    return pa.decimal128(18, kind.scale) if pa.types.is_decimal(kind) else kind


def _parquet(table: pa.Table) -> bytes:
    sink = BytesIO()
    pq.write_table(table, sink, compression="zstd", row_group_size=ROWS_A_GROUP)
    return sink.getvalue()


def report_place(location: str) -> str:
    """Return where the report of a location's newest snapshot is written by default."""
    folder = location or get_settings().insights_location or str(get_settings().local_dir / "insights")
    return f"{folder.rstrip('/')}/{REPORT}"


def _root(location: str) -> Path:
    location = location or get_settings().insights_location
    return open_folder(location) if location else get_settings().local_dir / "insights"


def _pointed(root: Path) -> str:
    with suppress(FileNotFoundError):
        return Manifest.from_json((root / POINTER).read_bytes(), root / POINTER).snapshot_id
    return ""


def _folders(root: Path) -> Iterator[Path]:
    if root.exists():
        yield from (one for one in list(root.iterdir()) if not one.name.strip("0123456789TZ"))


def _delete(folder: Path) -> None:
    """Delete a snapshot, its manifest first: what an interruption leaves is none."""
    with suppress(FileNotFoundError):
        (folder / MANIFEST).unlink()
    for file in list(folder.iterdir()):
        file.unlink()
    if on_this_machine(folder):  # a store has no empty folders
        folder.rmdir()


def _literal(text: str) -> str:
    quoted = text.replace("'", "''")
    return f"'{quoted}'"


def _now() -> datetime:
    return datetime.now(UTC)


app = typer.Typer(add_completion=False, help="Snapshots of the insights.", pretty_exceptions_enable=False)
Location = Annotated[str, typer.Option(help="Folder or URI; default: INSIGHTS_LOCATION.")]


@app.command("write")
def write_command(location: Location = "") -> None:
    """Write a snapshot of what the warehouse holds."""
    try:
        typer.echo(write(get_warehouse(role="transformer"), location).snapshot_id)
    except (SnapshotError, RegistryUnreadableError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error


@app.command("list")
def list_command(location: Location = "") -> None:
    """List the snapshots, the oldest first."""
    for name in snapshots(location):
        typer.echo(name)


@app.command("erase")
def erase_command(customer_id: int, location: Location = "") -> None:
    """Take a customer out of every snapshot, and print how many rows of which."""
    for name, count in erase(customer_id, location).items():
        typer.echo(f"{name} {count}")


if __name__ == "__main__":
    run_command(app)
