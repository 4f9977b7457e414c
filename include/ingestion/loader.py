"""Files into raw tables, each exactly once, with a ledger of what was loaded."""

import datetime as dt
import logging
import uuid
from dataclasses import dataclass

from airflow.sdk import ObjectStoragePath
from tenacity import retry, retry_if_exception_type, stop_after_attempt

from include.ingestion.datasets import CONTACTS, DATASETS, Dataset
from include.ingestion.errors import IngestionError
from include.ingestion.files import SourceFile, open_source
from include.ingestion.inbox import open_inbox
from include.ingestion.origin import LEDGER, Origin, held_by, mixture
from include.warehouse import ROW_NUMBER, LoadError, Session, Warehouse

log = logging.getLogger(__name__)

VERSIONS = "raw.ingestion_versions"
METADATA_COLUMNS = {
    "_source_file": "varchar",
    ROW_NUMBER: "bigint",
    "_loaded_at": "timestamptz",
    "_load_id": "varchar",
}
LEDGER_COLUMNS = {
    "load_id": "varchar",
    "dataset": "varchar",
    "part": "varchar",
    "source_file": "varchar",
    "source_uri": "varchar",
    "checksum": "varchar",
    "row_count": "bigint",
    "ignored_columns": "varchar",
    "loaded_at": "timestamptz",
    "left_out": "varchar",
    "is_generated": "boolean",
}
VERSION_COLUMNS = {"dataset": "varchar", "version": "bigint", "updated_at": "timestamptz"}
MAX_TRIES = 5


class LoadConflictError(Exception):
    """Another run loads the same data set: nothing was loaded. A retry then sees what that run has loaded."""


@dataclass(frozen=True)
class Load:
    """The newest load of a part, as the ledger has it."""

    load_id: str
    checksum: str
    rows: int


@dataclass(frozen=True)
class LoadResult:
    """What became of one file: `loaded` is False where the warehouse already had its content."""

    dataset: str
    source_file: str
    rows: int
    loaded: bool


def ingest(warehouse: Warehouse, location: str, dataset_name: str) -> list[LoadResult]:
    """Bring the raw table up to the files of one data set in `location` (folder or object-store URI).

    An unchanged file loads nothing, unless the table holds other rows than the ledger says; a changed one
    replaces its own rows in one transaction. What is left out of the folder or of a workbook is named in log
    and ledger. Of runs that load one data set at once, one goes first and the others see what it has loaded.
    A data set that is not needed may have no file: its table is made, and what was loaded before stays.
    Raises IngestionError, which names file and folder, with nothing half-loaded, where a file is missing or
    cannot be read, and SourceUnavailableError where its store does not answer.
    """
    try:
        return _ingest(warehouse, location, DATASETS[dataset_name])
    except IngestionError as error:
        if location in str(error):
            raise
        raise IngestionError(f"{error} It lies in {location}.") from error


def _ingest(warehouse: Warehouse, location: str, dataset: Dataset) -> list[LoadResult]:
    results = []
    inbox = open_inbox(location, dataset)
    origin = Origin(inbox.is_generated, location)
    parts = {dataset.part_of(path.name) or "" for path in inbox.files}
    left_out = [(path, reason) for path, reason in inbox.left_out.items()]
    names: dict[str, str] = {}
    if not inbox.files:
        _note_missing(warehouse, dataset, location)
    for path in inbox.files:
        with open_source(path, dataset) as source, warehouse.session() as session:
            first = names.setdefault(source.checksum, source.name)
            if first != source.name:
                raise IngestionError(f"{first} and {source.name} hold the same; keep one of the two.")
            create_tables(session, dataset)
            if refusal := mixture(held_by(session), origin):
                raise IngestionError(refusal)
            results.append(_load_whole(session, dataset, source, parts, origin))
            left_out += [(path, reason) for reason in source.left_out]
    _note_left_out(warehouse, left_out)
    for result in results:
        log.info("%s", result)
    return results


def _note_missing(warehouse: Warehouse, dataset: Dataset, location: str) -> None:
    """Make the tables of a data set without a file, and log what they hold."""
    with warehouse.session() as session:
        create_tables(session, dataset)
        [(rows,)] = session.execute(f"select count(*) from {dataset.table}")  # noqa: S608 (our names)
    if rows:
        log.warning("%s: no file in %s; its %d rows stay as they were.", dataset.name, location, rows)
    else:
        log.info("%s: no file in %s, and none is needed.", dataset.name, location)


def create_tables(session: Session, dataset: Dataset) -> None:
    """Make the data set's raw table, the ledger and what loading needs where they are missing.

    A column that a table did not have when it was made is added, empty in the rows so far.
    """
    session.create_schema("raw")
    _create_table(session, dataset.table, dict.fromkeys(dataset.all_columns, "varchar") | METADATA_COLUMNS)
    _create_table(session, LEDGER, LEDGER_COLUMNS)
    _create_table(session, VERSIONS, VERSION_COLUMNS)
    session.execute(
        f"insert into {VERSIONS} (dataset, version, updated_at) select ?, 0, ?"  # noqa: S608 (our names)
        f" where not exists (select 1 from {VERSIONS} where dataset = ?)",
        [dataset.name, dt.datetime.now(dt.UTC), dataset.name],
    )
    session.prepare_load()


def _create_table(session: Session, table: str, columns: dict[str, str]) -> None:
    definitions = ", ".join(f"{name} {type_}" for name, type_ in columns.items())
    session.execute(f"create table if not exists {table} ({definitions})")
    known = session.execute(
        "select lower(column_name) from information_schema.columns"
        " where lower(table_schema) || '.' || lower(table_name) = ?",
        [table],
    )
    for name in columns.keys() - {name for (name,) in known}:
        session.execute(f"alter table {table} add column {name} {columns[name]}")


def _note_left_out(warehouse: Warehouse, left_out: list[tuple[ObjectStoragePath, str]]) -> None:
    """Log each file and reason; the ledger gets a row of no data set for what it does not say yet."""
    if not left_out:
        return
    for path, reason in left_out:
        log.warning("%s: left out: %s.", path.name, reason)
    with warehouse.session() as session, session.transaction():
        query = f"select source_uri, left_out from {LEDGER} where left_out is not null"  # noqa: S608
        known = set(session.execute(query))
        new = [(path, reason) for path, reason in left_out if (str(path), reason) not in known]
        if new:
            columns = {
                "load_id": [str(uuid.uuid4()) for _ in new],
                "source_file": [path.name for path, _ in new],
                "source_uri": [str(path) for path, _ in new],
                "left_out": [reason for _, reason in new],
            }
            session.insert_rows(LEDGER, columns, constants={"loaded_at": dt.datetime.now(dt.UTC)})


def _load_whole(
    session: Session, dataset: Dataset, source: SourceFile, parts: set[str], origin: Origin
) -> LoadResult:
    """Load a file in one transaction; where the warehouse's reader refuses it, row by row."""

    @retry(retry=retry_if_exception_type(LoadConflictError), stop=stop_after_attempt(MAX_TRIES), reraise=True)
    def load(source: SourceFile) -> LoadResult:
        with session.transaction():
            _claim(session, dataset)
            _follow_rename(session, dataset, source, parts)
            result = _load(session, dataset, source, origin)
            source.check_unchanged()
        return result

    try:
        return load(source)
    except LoadError as error:
        source.check_unchanged()  # the better reason, where it is one
        if ROW_NUMBER in source.csv.columns:  # it was read row by row
            raise IngestionError(f"{source.name} cannot be read as CSV: {error}") from error
        reason = "its reader refuses it" if CONTACTS & {*dataset.columns} else error  # which quotes a line
        log.info("%s is read row by row: %s", source.name, reason)
    try:
        return load(source.row_by_row())
    except LoadError as error:
        raise IngestionError(f"{source.name} cannot be read as CSV: {error}") from error


def _claim(session: Session, dataset: Dataset) -> None:
    """Move the data set's version by one, first in the transaction: no other run can until that ends.

    Snowflake reads what is committed, so that without it two runs would both find the ledger empty and load.
    """
    query = f"select max(version) from {VERSIONS} where dataset = ?"  # noqa: S608 (our names)
    [(version,)] = session.execute(query, [dataset.name])
    [(moved, *_)] = session.execute(
        f"update {VERSIONS} set version = version + 1, updated_at = ? where dataset = ? and version = ?",  # noqa: S608
        [dt.datetime.now(dt.UTC), dataset.name, version],
    )
    if not moved:
        raise LoadConflictError(f"another run has just loaded {dataset.name}")


def _follow_rename(session: Session, dataset: Dataset, source: SourceFile, parts: set[str]) -> None:
    """Let a file that was renamed from one part to another keep its rows, instead of loading them twice."""
    for part, load in _current_loads(session, dataset).items():
        if part not in parts and load.checksum == source.checksum:
            _delete_rows(session, dataset, source.part)
            session.execute(
                f"update {LEDGER} set part = ? where dataset = ? and part = ?",  # noqa: S608 (our names)
                [source.part, dataset.name, part],
            )


def _delete_rows(session: Session, dataset: Dataset, part: str) -> None:
    session.execute(
        f"delete from {dataset.table} where _load_id in"  # noqa: S608 (our names)
        f" (select load_id from {LEDGER} where dataset = ? and part = ?)",
        [dataset.name, part],
    )


def _load(session: Session, dataset: Dataset, source: SourceFile, origin: Origin) -> LoadResult:
    current = _current_loads(session, dataset)
    known = current.get(source.part)
    if known and known.checksum == source.checksum:
        if _is_as_recorded(session, dataset, known, current):
            return LoadResult(dataset.name, source.name, known.rows, loaded=False)
        log.warning(
            "%s holds other rows than the ledger says: %s is loaded again", dataset.table, source.name
        )
    load_id = str(uuid.uuid4())
    loaded_at = dt.datetime.now(dt.UTC)
    _delete_rows(session, dataset, source.part)
    _delete_strays(session, dataset)
    metadata = {"_source_file": source.name, "_loaded_at": loaded_at, "_load_id": load_id}
    source.check_unchanged()  # the wait for the warehouse may have been long
    rows = session.load_csv(dataset.table, source.csv, metadata)
    entry = {
        "load_id": load_id,
        "dataset": dataset.name,
        "part": source.part,
        "source_file": source.name,
        "source_uri": str(source.delivered),
        "checksum": source.checksum,
        "row_count": rows,
        "ignored_columns": ", ".join(source.ignored_columns),
        "loaded_at": loaded_at,
        "is_generated": origin.is_generated,
    }
    session.execute(
        f"insert into {LEDGER} ({', '.join(entry)}) values ({', '.join('?' * len(entry))})",  # noqa: S608
        list(entry.values()),
    )
    return LoadResult(dataset.name, source.name, rows, loaded=True)


def _is_as_recorded(session: Session, dataset: Dataset, load: Load, current: dict[str, Load]) -> bool:
    """Return whether the table has the load's rows, and none that belongs to no part's newest load."""
    newest = [one.load_id for one in current.values()]
    places = ", ".join("?" * len(newest))
    [(own, strays)] = session.execute(
        "select count(case when _load_id = ? then 1 end),"  # noqa: S608 (our names)
        f" count(case when _load_id in ({places}) then null else 1 end) from {dataset.table}",
        [load.load_id, *newest],
    )
    return bool(own == load.rows and not strays)


def _delete_strays(session: Session, dataset: Dataset) -> None:
    """Delete rows of which the ledger knows nothing."""
    session.execute(
        f"delete from {dataset.table} where _load_id is null or _load_id not in"  # noqa: S608 (our names)
        f" (select load_id from {LEDGER} where dataset = ?)",
        [dataset.name],
    )


def _current_loads(session: Session, dataset: Dataset) -> dict[str, Load]:
    """Return the newest load of each part."""
    rows = session.execute(
        f"select part, load_id, checksum, row_count from {LEDGER} where dataset = ? order by loaded_at",  # noqa: S608
        [dataset.name],
    )
    return {part: Load(*load) for part, *load in rows}
