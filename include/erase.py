"""Erase one customer wherever the product keeps personal data: `python -m include.erase --customer 12347`.

Rows go from every table that has a customer's number (raw, facts, snapshots, seed), with the ledger's counts
set right; from every version in the registry and every
snapshot of the insights; and from CSV files below LOCAL_DIR. Messages of run results and
logs lose what names the number. Marts without it hold the customer in their sums until the next run of
marketing_pipeline. It may be repeated; it ends with 1 where something is left to be done by hand.

What was delivered comes back if it is delivered again: erase the customer in the shop first.
"""

import csv
import datetime as dt
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from include.settings import PROJECT_ROOT, Settings, get_settings, run_command
from include.warehouse import Role, Session, Warehouse, get_warehouse
from include.warehouse.duckdb import DuckDBWarehouse

ROLES: tuple[Role, ...] = ("loader", "transformer")
KAFKA_RETENTION_HOURS = 168  # the workers' default

CUSTOMER_COLUMNS = {"customerid", "customer_id", "source_customer_id"}
REJECTED_ROW = "raw_row"  # a row as one text, in what the next build makes again
ERASED = "[erased]"
# Programs and their caches: large, and none of ours writes data there.
NOT_SEARCHED = {"venv", "kafka", "bin", "promtool", "node_modules"}
TEXTS = {".html", ".ipynb", ".json", ".md", ".txt", ".yml"}
FAIL_SAFE_DAYS = 7  # of a permanent table on Snowflake, after its Time Travel

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class EraseError(Exception):
    """A store could not be cleared; the message names it."""


class Table(NamedTuple):
    """A table with the column that names the customer; `is_raw`: it holds a file's rows, as text."""

    name: str
    column: str
    is_raw: bool


@dataclass(frozen=True)
class Erased:
    """How many rows, messages or versions were taken out of a store."""

    store: str
    count: int


@app.command()
def main(customer: Annotated[int, typer.Option(help="The customer's number.")]) -> None:
    """Erase a customer, and say what still holds the data and until when."""
    settings = get_settings()
    try:
        for one in erase(customer, settings):
            typer.echo(f"{one.count:>8,} from {one.store}")
    except EraseError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    typer.echo("\n".join(remains(settings)))
    if left := list(mentions(customer, settings.local_dir)):
        typer.echo("These may still name the customer; read and delete them, or make them again:")
        typer.echo("\n".join(map(str, left)))
        raise typer.Exit(1)


def erase(customer: int, settings: Settings) -> Iterator[Erased]:
    """Erase the customer from registry, snapshots, files and warehouse; yield what was found where.

    Raises EraseError where a store does not take it; what came before is done, and a repetition is safe.
    """
    yield from _from_registry(customer)
    yield from _from_insights(customer)
    yield from (one for one in _from_files(customer, settings) if one.count)
    if settings.warehouse == "duckdb":
        yield from _from_warehouse(customer, get_warehouse(settings))
    else:
        for role in ROLES:
            yield from _from_warehouse(customer, get_warehouse(settings, role), role)


def _from_registry(customer: int) -> list[Erased]:
    """The registry's own command does it: nothing here may import ml."""
    command = [sys.executable, "-m", "ml.registry", "erase", str(customer)]
    done = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise EraseError(f"The registry was not cleared: {(done.stdout + done.stderr).strip()}")
    return [Erased(f"version {version}", 1) for version in done.stdout.split()]


def _from_insights(customer: int) -> list[Erased]:
    from include.insights import audiences, snapshot  # noqa: PLC0415 (Arrow takes half a second)

    try:
        found = {**snapshot.erase(customer), **audiences.erase(customer)}
    except (snapshot.SnapshotError, OSError) as error:
        raise EraseError(f"Snapshots and audiences were not cleared: {error}") from error
    return [Erased(f"insights {name}", count) for name, count in found.items()]


def _from_files(customer: int, settings: Settings) -> Iterator[Erased]:
    for path in dict.fromkeys([*_files(settings.local_dir), settings.segments_seed_file.resolve()]):
        if path.suffix == ".csv" and path.exists():
            yield Erased(str(path), _from_csv(customer, path))
        elif path.suffix == ".log":
            yield Erased(str(path), _from_log(customer, path))
        elif path.suffix == ".duckdb" and path != settings.duckdb_path.resolve():
            found = _from_warehouse(customer, DuckDBWarehouse(path))
            yield Erased(str(path), sum(one.count for one in found))


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder, without following links."""
    for here, folders, names in os.walk(folder.resolve()):
        folders[:] = [name for name in folders if name not in NOT_SEARCHED]
        yield from (path for name in names if not (path := Path(here, name)).is_symlink())


def _from_csv(customer: int, path: Path) -> int:
    """Rewrite a CSV file without the customer's rows; return their number, 0 where it has no such column."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    names = [name.strip().lower() for name in rows[0]] if rows else []
    position = next((n for n, name in enumerate(names) if name in CUSTOMER_COLUMNS), None)
    if position is None:
        return 0
    kept = [row for row in rows if len(row) <= position or not _names(row[position], customer)]
    if len(kept) < len(rows):
        draft = path.with_name(f".{path.name}.erasing")
        with draft.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(kept)
        shutil.copymode(path, draft)
        draft.replace(path)
    return len(rows) - len(kept)


def _names(text: str, customer: int) -> bool:
    """Return whether a field names the customer: 12347, 1.2347e4, and what is rejected, as `no. 12347`."""
    if re.search(_pattern(customer), text):
        return True
    try:
        return Decimal(text.strip()) == customer
    except InvalidOperation:
        return False


def _pattern(customer: int) -> str:
    """Return a regular expression, of every dialect, that finds the number but in no longer one."""
    return f"(^|[^0-9.])0*{customer}([^0-9]|$)"


def _from_log(customer: int, path: Path) -> int:
    text, count = re.subn(
        rf"(?<![\d.])0*{customer}(?!\d)", ERASED, path.read_text(encoding="utf-8", errors="surrogateescape")
    )
    if count:
        path.write_text(text, encoding="utf-8", errors="surrogateescape")
    return count


def _from_warehouse(customer: int, warehouse: Warehouse, role: Role | None = None) -> list[Erased]:
    """Erase what a role owns, all where there are none: the loader raw rows, the transformer the rest."""
    with warehouse.session() as session:
        columns = _columns(session)
        for table in sorted({table for table, _ in columns if "test_failures." in table}):
            if role != "loader":  # copies of rows; the next failure makes the table again
                session.execute(f"drop table {table}")
        with session.transaction():
            erased = [
                Erased(table.name, _from_table(customer, session, table))
                for table in _customer_tables(columns)
                if role in (None, "loader" if table.is_raw else "transformer")
            ]
            results = {table for table, _ in columns if table.endswith(".dbt_run_results")}
            if role != "loader":
                erased += [
                    Erased(table, _from_messages(customer, session, table)) for table in sorted(results)
                ]
    return [one for one in erased if one.count]


def _columns(session: Session) -> list[tuple[str, str]]:
    """Return schema.table and the column of every column of every table; views hold nothing."""
    return [
        (table, column)
        for table, column in session.execute(
            "select lower(tables.table_schema) || '.' || lower(tables.table_name), lower(columns.column_name)"
            " from information_schema.tables as tables join information_schema.columns as columns"
            " on tables.table_schema = columns.table_schema and tables.table_name = columns.table_name"
            " where tables.table_type = 'BASE TABLE' and lower(tables.table_schema) <> 'information_schema'"
        )
    ]


def _customer_tables(columns: list[tuple[str, str]]) -> list[Table]:
    return [
        Table(table, column, (table, "_load_id") in columns)
        for table, column in sorted(columns)
        if column in (*CUSTOMER_COLUMNS, REJECTED_ROW) and "test_failures." not in table
    ]


def _from_table(customer: int, session: Session, table: Table) -> int:
    """Delete the customer's rows; a raw table's ledger counts what is left of each load."""
    where, values = _is_customer(customer, table)
    key = "_load_id" if table.is_raw else "null"
    found = session.execute(f"select {key}, count(*) from {table.name} where {where} group by 1", values)  # noqa: S608
    if not found:
        return 0
    session.execute(f"delete from {table.name} where {where}", values)  # noqa: S608 (names of the catalogue)
    if table.is_raw:
        ledger = f"{table.name.partition('.')[0]}.ingestion_ledger"
        for load_id, count in found:
            session.execute(
                f"update {ledger} set row_count = row_count - ? where load_id = ?",  # noqa: S608
                [count, load_id],
            )
    return sum(count for _, count in found)


def _is_customer(customer: int, table: Table) -> tuple[str, list[object]]:
    """Return a condition on the table's rows, and its values."""
    names_it = f"regexp_replace({table.column}, ?, '') <> {table.column}"
    if table.column == REJECTED_ROW:
        return names_it, [_pattern(customer)]
    if table.is_raw:  # a row that will be rejected may hold more than the number
        number = f"try_cast(trim({table.column}) as decimal(38, 4)) = ?"
        return f"({number} or {names_it})", [customer, _pattern(customer)]
    return f"{table.column} = ?", [customer]


def _from_messages(customer: int, session: Session, table: str) -> int:
    where = "where regexp_replace(message, ?, '') <> message"
    [(count,)] = session.execute(f"select count(*) from {table} {where}", [_pattern(customer)])  # noqa: S608
    if count:
        session.execute(f"update {table} set message = '{ERASED}' {where}", [_pattern(customer)])  # noqa: S608
    return int(count)


def mentions(customer: int, folder: Path) -> Iterator[Path]:
    """Yield the text files below a folder in which the number stands."""
    number = re.compile(rf"(?<![\d.])0*{customer}(?!\d)")
    for path in _files(folder):
        if path.suffix in TEXTS and number.search(path.read_text(encoding="utf-8", errors="replace")):
            yield path


def remains(settings: Settings) -> Iterator[str]:
    """Yield a sentence for each place that still holds what was erased, and until when."""
    hours = int(os.environ.get("KAFKA_RETENTION_HOURS") or KAFKA_RETENTION_HOURS)
    now = dt.datetime.now(dt.UTC)
    yield (
        "Kafka: its topics hold prices and news, no customers; a message goes after"
        f" {hours} hours ({now + dt.timedelta(hours=hours):%Y-%m-%d %H:%M} UTC), a dead letter after"
        f" {4 * hours}."
    )
    if settings.warehouse == "snowflake":
        with get_warehouse(settings, "transformer").session() as session:  # which reads every schema
            yield from _time_travel(session, now)
    else:
        yield f"{settings.duckdb_path}: deleted rows stay in its free blocks until those are written again."
    yield "Backups: until you rotate them. XComs of failed tasks: until `airflow db clean`."
    yield "Sums: until the next run of marketing_pipeline and segment_retraining, or of `make build`."
    yield "The shop's own files: a file that still has the customer brings the rows back when it changes."


def _time_travel(session: Session, now: dt.datetime) -> Iterator[str]:
    """The longest of any table: schemas have retentions of their own, which the database's does not show."""
    [(days,)] = session.execute(
        "select coalesce(max(retention_time), 0) from information_schema.tables"
        " where table_type = 'BASE TABLE'"
    )
    ends = [f"{now + dt.timedelta(days=n):%Y-%m-%d}" for n in (int(days), int(days) + FAIL_SAFE_DAYS)]
    yield f"Snowflake: Time Travel until {ends[0]}, Fail-safe of permanent tables until {ends[1]}."


if __name__ == "__main__":
    run_command(app)
