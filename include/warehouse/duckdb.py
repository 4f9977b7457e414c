"""DuckDB: an embedded file with one writer process at a time."""

import logging
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
from tenacity import (
    Retrying,
    retry_if_exception,
    stop_after_delay,
    wait_fixed,
)
from typing_extensions import override

from include.warehouse.base import (
    ROW_NUMBER,
    CsvFile,
    Finding,
    LoadError,
    NotReachableError,
    Session,
    Times,
    Warehouse,
)
from include.warehouse.duckdb_file import connected, ensure_file, opened
from include.warehouse.turns import Turn

if TYPE_CHECKING:
    import pyarrow

log = logging.getLogger(__name__)

LOCK_TIMEOUT_SECONDS = 300
CHECK_TIMEOUT_SECONDS = 5
QUERY_TIMEOUT_SECONDS = 10  # somebody waits at a terminal
LOCK_POLL_SECONDS = 0.01  # a try costs less than a millisecond, and a gap between two nodes of dbt is short
TURN_SECONDS = 1  # where another does not give it back, it is tried without
LARGE_ROWS = 5_000
BLOCK_BYTES = 1 << 24  # of a CSV file at a time: with 1 MB a load takes a sixth longer
LOG_LIMIT = "1MB"  # reading so much of it costs a session some milliseconds
LOG_ENDINGS = (".wal", ".wal.checkpoint", ".wal.recovery")  # DuckDB's own names, beside the file's
# In this order: the last one fixes the others. include/dbt/profiles.yml has the same.
CLOSED = {
    "autoload_known_extensions": "false",
    "autoinstall_known_extensions": "false",
    "allow_community_extensions": "false",
    "enable_external_access": "false",
    "lock_configuration": "true",
}


def is_lock_conflict(error: BaseException) -> bool:
    """Return whether another process holds the file."""
    return isinstance(error, duckdb.IOException) and "Could not set lock on file" in str(error)


class DuckDBSession(Session):
    """A connection to the warehouse file."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self.inserted = 0

    @override
    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        cursor = self._connection.execute(sql, list(parameters) or None)
        return cursor.fetchall() if cursor.description else []

    @override
    def read_arrow(self, sql: str) -> "pyarrow.Table":
        return self._connection.sql(sql).to_arrow_table()

    @override
    def load_csv(self, table: str, file: CsvFile, metadata: dict[str, Any]) -> int:
        """Arrow reads the file: DuckDB's own reader takes as long, and does not number the rows."""
        import pyarrow  # noqa: PLC0415 (it is slow to import, and the consumer needs none of it)

        try:
            rows = _numbered_rows(file)
            self._connection.register("new_rows", rows)
            targets = ", ".join([*rows.schema.names, *metadata])
            values = ", ".join([*rows.schema.names, *("?" for _ in metadata)])
            [(inserted,)] = self.execute(
                f"insert into {table} ({targets}) select {values} from new_rows",  # noqa: S608 (our names)
                list(metadata.values()),
            )
        except (duckdb.InvalidInputException, pyarrow.ArrowInvalid) as error:
            raise LoadError(_reason(error)) from error
        self._connection.unregister("new_rows")  # not after an error, as in insert_rows()
        return int(inserted)

    @override
    def insert_rows(
        self,
        table: str,
        columns: Mapping[str, "Sequence[Any] | Times"],
        *,
        constants: Mapping[str, Any] | None = None,
        json_columns: Collection[str] = (),
    ) -> None:
        """NumPy arrays are the fastest input that needs no further library."""
        constants = constants or {}
        targets = ", ".join([*constants, *columns])
        decoded = (
            f"decode({name})" if isinstance(next(iter(column), None), bytes) else name
            for name, column in columns.items()
        )
        values = ", ".join([*("?" for _ in constants), *decoded])
        self._connection.register("new_rows", {name: _array(values) for name, values in columns.items()})
        statement = f"insert into {table} ({targets}) select {values} from new_rows"  # noqa: S608 (our names)
        self.execute(statement, list(constants.values()))
        # Not after an error: in a failed transaction it would raise another one, which hides the first.
        self._connection.unregister("new_rows")
        self.inserted += len(next(iter(columns.values())))


def _array(values: "Sequence[Any] | Times") -> "np.ndarray[Any, Any]":
    """Return a column as an array that DuckDB reads in place."""
    if isinstance(values, np.ndarray):
        return values
    are_numbers = isinstance(next(iter(values), None), int) and set(map(type, values)) == {int}
    return np.array(values, np.int64 if are_numbers else object)


def _numbered_rows(file: CsvFile) -> "pyarrow.RecordBatchReader":
    """Return the file's wanted columns, read as they are asked for, with ROW_NUMBER as one of them.

    The file must be well-formed: Arrow takes what stands between a closing quote and the next comma.
    Raises ArrowInvalid, now or while it is read, at a row of more or fewer columns than the file has.
    """
    import pyarrow  # noqa: PLC0415
    from pyarrow import csv  # noqa: PLC0415

    types = dict.fromkeys(file.select, pyarrow.string()) | {ROW_NUMBER: pyarrow.int64()}
    read = csv.open_csv(
        file.path,
        csv.ReadOptions(column_names=file.columns, skip_rows=1, block_size=BLOCK_BYTES),
        csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        csv.ConvertOptions(
            include_columns=file.select, column_types=types, null_values=[""], strings_can_be_null=True
        ),
    )
    if ROW_NUMBER in file.select:
        return read
    schema = read.schema.append(pyarrow.field(ROW_NUMBER, types[ROW_NUMBER]))

    def numbered() -> "Iterator[pyarrow.RecordBatch]":
        number = 1
        for batch in read:
            numbers = pyarrow.array(np.arange(number, number + len(batch)))
            yield pyarrow.RecordBatch.from_arrays([*batch.columns, numbers], schema=schema)
            number += len(batch)

    return pyarrow.RecordBatchReader.from_batches(schema, numbered())


def _reason(error: Exception) -> str:
    """Return Arrow's error, with DuckDB's words around it or without, as one short line."""
    text = str(error).split(" Detail: ")[0].rpartition("CSV parse error: ")[2]
    return " ".join(text.split())[:200]


def _holder(error: Exception) -> str:
    """Return who holds the file, as DuckDB says it."""
    found = re.search(r"held (?:in (\S+ \(PID \d+\))|(by a process of another container))", str(error))
    return f" by {found[1]}" if found and found[1] else f" {found[2]}" if found else ""


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _with_holder(error: duckdb.IOException) -> duckdb.IOException:
    """Return the error with its holder named: the kernel numbers a process in another container 0."""
    return duckdb.IOException(str(error).replace("held in PID 0", "held by a process of another container"))


def _close_in(connection: duckdb.DuckDBPyConnection, files: Sequence[Path] = ()) -> None:
    """Let SQL reach no file but these, no host and no extension, and let no statement change that."""
    if files:
        connection.execute(f"set allowed_paths = [{', '.join(map(_quoted, files))}]")
    for setting, value in CLOSED.items():
        connection.execute(f"set {setting} = {value}")


class DuckDBWarehouse(Warehouse):
    """The file at `path`, created on first use."""

    def __init__(self, path: Path, lock_timeout_seconds: float = LOCK_TIMEOUT_SECONDS) -> None:
        self.path = path
        self._lock_timeout_seconds = lock_timeout_seconds

    @contextmanager
    @override
    def session(self) -> Iterator[DuckDBSession]:
        """Waits up to `lock_timeout_seconds` while another process has it; dbt leaves it between nodes."""
        ensure_file(self.path)
        connection = self._opened()
        try:
            yield DuckDBSession(connection)
        finally:
            connection.close()

    @contextmanager
    @override
    def reading(self) -> Iterator[DuckDBSession]:
        """Nothing can be written; waits up to QUERY_TIMEOUT_SECONDS while another process writes."""
        if not self.path.exists():
            raise NotReachableError(
                f"There is no DuckDB file {self.path} yet: `make build` makes one, DUCKDB_PATH names another."
            )
        patient = DuckDBWarehouse(self.path, QUERY_TIMEOUT_SECONDS)
        try:
            connection = patient._waiting_for_lock(patient._connect, read_only=True)
        except duckdb.Error as error:
            if not is_lock_conflict(error):
                raise NotReachableError(f"{self.path} does not open: {_one_line(error)}") from error
            raise NotReachableError(
                f"{self.path} is in use{_holder(error)}: try again when it is done, or query a copy,"
                " which `make copy` makes as soon as the file is free."
            ) from error
        try:
            yield DuckDBSession(connection)
        finally:
            connection.close()

    @override
    def check(self) -> list[Finding]:
        """Opens the file, waiting up to CHECK_TIMEOUT_SECONDS for its lock."""
        try:
            with DuckDBWarehouse(self.path, CHECK_TIMEOUT_SECONDS).session():
                return [Finding("duckdb", f"opens {self.path} for writing", ok=True)]
        except (duckdb.Error, OSError) as error:
            raise NotReachableError(f"{self.path} does not open: {error}") from error

    @property
    def _waiting_for_lock(self) -> Retrying:
        return Retrying(
            retry=retry_if_exception(is_lock_conflict),
            wait=wait_fixed(LOCK_POLL_SECONDS),
            stop=stop_after_delay(self._lock_timeout_seconds),
            reraise=True,
        )

    def _opened(self) -> duckdb.DuckDBPyConnection:
        try:
            return self._connect()
        except duckdb.IOException as error:
            if not is_lock_conflict(error):
                raise
            log.info("Waiting for the file: %s", _one_line(error))
        with Turn(self.path).taken(TURN_SECONDS):
            return self._waiting_for_lock(self._connect)

    def _connect(self, *, read_only: bool = False) -> duckdb.DuckDBPyConnection:
        try:
            connection = connected(self.path, read_only=read_only)
        except duckdb.IOException as error:
            raise _with_holder(error) from None
        if connection.execute("select current_setting('lock_configuration')").fetchall() == [(True,)]:
            return connection  # this process has the file open already, and the settings are the file's
        connection.execute("set global TimeZone = 'UTC'")
        # It would go into the log, on stdout. In a notebook it is off, and touching it asks for ipywidgets.
        if connection.execute("select current_setting('enable_progress_bar')").fetchall() != [(False,)]:
            connection.execute("set enable_progress_bar = false")
        _close_in(connection)
        return connection


class StreamDuckDBWarehouse(DuckDBWarehouse):
    """The same file for a process that stores several times a second, with one session at a time.

    DuckDB stays open in memory, with one thread, and a session attaches the file: 3 ms of processor time
    instead of 20, most of which fill DuckDB's own catalog. It takes its turn before each session.

    Batches of more than LARGE_ROWS are a backlog. They leave merging row groups, a third of their time, to
    later checkpoints; and DuckDB is closed at their end, since its allocator keeps what they took, 100 MB.

    Small changes stay in DuckDB's write-ahead log beside the file until it holds LOG_LIMIT, or until a
    session of another kind ends: a process killed in a checkpoint may leave a file that does not open (see
    include/warehouse/repair.py), so frequent writers should have few.
    """

    def __init__(self, path: Path, lock_timeout_seconds: float = LOCK_TIMEOUT_SECONDS) -> None:
        super().__init__(path, lock_timeout_seconds)
        self._engine: duckdb.DuckDBPyConnection | None = None
        self._is_backlog = False
        self._turn = Turn(path)

    @contextmanager
    @override
    def session(self) -> Iterator[DuckDBSession]:
        """Waits up to `lock_timeout_seconds` while another process holds the file."""
        ensure_file(self.path)
        if self._engine is None:
            self._engine = self._new_engine()
        with self._turn.taken(TURN_SECONDS):
            self._waiting_for_lock(self._attach, self._engine)
        session = DuckDBSession(self._engine)
        try:
            yield session
        finally:
            self._detach(self._engine)
            if self._is_backlog != (session.inserted > LARGE_ROWS):
                self._is_backlog = not self._is_backlog
                self._close()

    def _detach(self, engine: duckdb.DuckDBPyConnection) -> None:
        try:
            engine.execute("use memory")
            engine.execute("detach warehouse")
        except duckdb.Error:  # a transaction is open, or what failed has made the file unusable
            self._close()

    def _close(self) -> None:
        if self._engine:
            self._engine.close()
            self._engine = None

    def _attach(self, engine: duckdb.DuckDBPyConnection) -> None:
        try:
            opened(
                self.path,
                lambda: engine.execute(f"attach {_quoted(self.path)} as warehouse"),
                lambda attached: attached.execute("detach warehouse"),
            )
        except duckdb.IOException as error:
            raise _with_holder(error) from None
        engine.execute("use warehouse")

    def _new_engine(self) -> duckdb.DuckDBPyConnection:
        engine = duckdb.connect(":memory:", config={"threads": 1})
        engine.execute("set global TimeZone = 'UTC'")
        engine.execute("set enable_progress_bar = false")
        engine.execute("pragma disable_checkpoint_on_shutdown")
        engine.execute(f"set checkpoint_threshold = '{LOG_LIMIT}'")
        if self._is_backlog:
            engine.execute("set max_vacuum_tasks = 0")
        _close_in(engine, [self.path.with_name(self.path.name + end) for end in ("", *LOG_ENDINGS)])
        return engine
