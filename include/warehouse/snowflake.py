"""Snowflake: a session a task; files go through an internal stage (PUT, COPY INTO)."""

import csv
import datetime as dt
import gzip
import json
import logging
import os
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, TYPE_CHECKING, Any

import snowflake.connector
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import SecretStr
from snowflake.connector.errors import Error, ProgrammingError
from typing_extensions import override

from include.settings import SNOWFLAKE_CONNECTION, SnowflakeSettings
from include.warehouse.base import (
    ROW_NUMBER,
    CsvFile,
    Finding,
    LoadError,
    NotReachableError,
    Role,
    Session,
    Times,
    Warehouse,
    aware,
)

if TYPE_CHECKING:
    import pyarrow

log = logging.getLogger(__name__)

STAGE = "raw.ingestion"
MAX_BOUND_BYTES = 8 * 1024 * 1024  # Snowflake takes 16 MiB as one bound value
LOCK_TIMEOUT_SECONDS = 900
SESSION_PARAMETERS: dict[str, Any] = {
    "TIMEZONE": "UTC",
    # Snowflake aborts a transaction, as of a frozen process, that is idle for 5 minutes and blocks others.
    # Who waits longer fails and tries again; by default that takes half a day.
    "LOCK_TIMEOUT": LOCK_TIMEOUT_SECONDS,
    "ABORT_DETACHED_QUERY": True,  # what a killed process was running ends 5 minutes after it
}
# What `_write_staged_file` writes, so that a field's text arrives unchanged and an empty one as NULL. The
# file format in include/snowflake/bootstrap.sql is the same.
FILE_FORMAT = (
    "type = csv compression = gzip encoding = 'UTF8' field_optionally_enclosed_by = '\"'"
    " escape_unenclosed_field = none null_if = () empty_field_as_null = true"
)


class NotConfiguredError(Exception):
    """What the environment or Airflow says of Snowflake is missing or no use; one sentence says what."""


def connect_arguments(role: Role = "loader") -> dict[str, Any]:
    """Return what snowflake.connector.connect takes, secrets in clear: for no log and no message.

    Account, user and credentials come from SNOWFLAKE_*, or else from Airflow's connection; its role and
    warehouse do not count, since the product needs three of each. Raises NotConfiguredError without either,
    or where the key cannot be read with its passphrase.
    """
    settings = SnowflakeSettings()
    found = _from_environment(settings) if settings.account else _from_airflow()
    name, virtual_warehouse = settings.role_and_warehouse(role)
    return {
        **found,
        **settings.endpoint(),
        "role": name,
        "warehouse": virtual_warehouse,
        "database": settings.database_of(found.get("database")),
        "session_parameters": {**(found.get("session_parameters") or {}), **_session_parameters(settings)},
        "paramstyle": "qmark",
    }


def connected(role: Role) -> tuple[snowflake.connector.SnowflakeConnection, str]:
    """Return a connection as the role and the database it was asked for; raises NotReachableError."""
    try:
        arguments = connect_arguments(role)
    except NotConfiguredError as error:
        raise NotReachableError(str(error)) from error
    try:
        return snowflake.connector.connect(**arguments), arguments["database"]
    except Error as error:
        reason = " ".join(str(error.msg).split())
        raise NotReachableError(
            f"No connection to {arguments['account']} as {arguments.get('user')} with role"
            f" {arguments['role'].upper()}: {reason}"
        ) from error


def query_tag() -> str:
    """Return the tag of this process's statements in the query history: JSON, as dbt's, which adds a node."""
    main = sys.modules["__main__"].__spec__
    found = {
        "app": "marketing-insights",
        "dag": os.environ.get("AIRFLOW_CTX_DAG_ID"),
        "task": os.environ.get("AIRFLOW_CTX_TASK_ID"),
        "run": os.environ.get("AIRFLOW_CTX_DAG_RUN_ID"),
    }
    if not found["dag"]:
        found["program"] = main.name if main else Path(sys.argv[0]).name
    return json.dumps({name: value for name, value in found.items() if value})


def _session_parameters(settings: SnowflakeSettings) -> dict[str, Any]:
    return {
        **SESSION_PARAMETERS,
        "QUERY_TAG": query_tag(),
        "STATEMENT_TIMEOUT_IN_SECONDS": settings.statement_timeout_seconds,
    }


def _from_environment(settings: SnowflakeSettings) -> dict[str, Any]:
    key = settings.private_key_path
    if not settings.user:
        raise NotConfiguredError("SNOWFLAKE_USER is not set.")
    if key:
        _try_key(key, _revealed(settings.private_key_passphrase))
    elif not settings.password:
        raise NotConfiguredError(
            "SNOWFLAKE_PRIVATE_KEY_PATH is not set, and neither is SNOWFLAKE_PASSWORD, which is for trials."
        )
    arguments = {
        "account": settings.account,
        "user": settings.user,
        "private_key_file": str(key) if key else None,
        "private_key_file_pwd": _revealed(settings.private_key_passphrase) if key else None,
        "password": None if key else _revealed(settings.password),
    }
    return {name: value for name, value in arguments.items() if value is not None}


def _try_key(path: Path, passphrase: str | None) -> None:
    """Read the key as the connector will: its own errors name neither the file nor the setting."""
    named = f"The key {path} (SNOWFLAKE_PRIVATE_KEY_PATH)"
    try:
        load_pem_private_key(path.read_bytes(), passphrase.encode() if passphrase else None)
    except OSError as error:
        raise NotConfiguredError(f"{named} cannot be read: {error.strerror}.") from error
    except TypeError as error:  # cryptography's way to say that there is one passphrase too few or too many
        need = "has no passphrase, unset" if passphrase else "has a passphrase, set"
        raise NotConfiguredError(f"{named} {need} SNOWFLAKE_PRIVATE_KEY_PASSPHRASE.") from error
    except ValueError as error:
        wrong = "Incorrect password" in str(error)
        reason = "SNOWFLAKE_PRIVATE_KEY_PASSPHRASE is wrong" if wrong else "it is no private key in PEM form"
        raise NotConfiguredError(f"{named} cannot be used: {reason}.") from error


def _revealed(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None


def _from_airflow() -> dict[str, Any]:
    """Return the arguments that Airflow's hook would connect with.

    Its get_conn() would ignore the paramstyle, so the parameters are taken, not the connection.
    """
    unset = (
        "Snowflake is not configured: set SNOWFLAKE_ACCOUNT, SNOWFLAKE_USER and SNOWFLAKE_PRIVATE_KEY_PATH"
    )
    try:
        from airflow.providers.snowflake.hooks.snowflake import SnowflakeHook  # noqa: PLC0415 (takes a second)
        from airflow.sdk.exceptions import AirflowNotFoundException  # noqa: PLC0415
    except ImportError as error:  # in the workers' image
        raise NotConfiguredError(f"{unset}.") from error

    try:
        return SnowflakeHook(snowflake_conn_id=SNOWFLAKE_CONNECTION)._get_conn_params()
    except AirflowNotFoundException as error:
        raise NotConfiguredError(
            f"{unset}, or make the Airflow connection {SNOWFLAKE_CONNECTION}."
        ) from error
    except (TypeError, ValueError) as error:  # of the key, and cryptography's do not quote it
        raise NotConfiguredError(
            f"The key of Airflow's connection {SNOWFLAKE_CONNECTION} cannot be used; the passphrase is its"
            f" password. {error}"
        ) from error


class SnowflakeSession(Session):
    """A connection to Snowflake; each statement outside `transaction()` commits by itself, DDL always."""

    def __init__(self, connection: snowflake.connector.SnowflakeConnection) -> None:
        self._connection = connection

    @override
    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(sql, [_bound(value) for value in parameters] or None)
            return [tuple(row) for row in cursor.fetchall()]

    @override
    def read_arrow(self, sql: str) -> "pyarrow.Table":
        """Names come in upper case, and whole numbers in the narrowest type that holds them."""
        with self._connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetch_arrow_all(force_return_table=True)

    @override
    def create_schema(self, name: str) -> None:
        """CREATE SCHEMA needs its privilege even where IF NOT EXISTS has nothing to do."""
        if not self.execute("select 1 from information_schema.schemata where schema_name = upper(?)", [name]):
            self.execute(f"create schema if not exists {name}")

    @override
    def prepare_load(self) -> None:
        """Makes the stage."""
        self.execute(f"create stage if not exists {STAGE}")

    @override
    def load_csv(self, table: str, file: CsvFile, metadata: dict[str, Any]) -> int:
        """The file goes to a path of its own on the stage, and from there again when loaded."""
        path = f"@{STAGE}/{metadata['_load_id']}/"
        with TemporaryDirectory(prefix="snowflake-") as folder:
            staged = Path(folder, "rows.csv.gz")
            rows = _write_staged_file(file, staged)
            self.execute(f"put 'file://{staged}' {path} auto_compress = false source_compression = gzip")
        try:
            self.execute(_copy_statement(table, file.select, metadata, path))
        except ProgrammingError as error:
            if (error.sqlstate or "").startswith("22"):  # of the data, not of grants, network or syntax
                raise LoadError(" ".join(str(error.msg).split())) from error
            raise
        finally:
            self._remove(path)
        return rows

    @override
    def insert_rows(
        self,
        table: str,
        columns: Mapping[str, "Sequence[Any] | Times"],
        *,
        constants: Mapping[str, Any] | None = None,
        json_columns: Collection[str] = (),
    ) -> None:
        """One statement with one bound value per MAX_BOUND_BYTES of rows."""
        constants = constants or {}
        lists = {
            name: values if isinstance(values, Sequence) else aware(values)
            for name, values in columns.items()
        }
        unpacked = (
            _unpacked(position, name, values, json_columns)
            for position, (name, values) in enumerate(lists.items())
        )
        statement = (
            f"insert into {table} ({', '.join([*constants, *columns])})"  # noqa: S608 (our names)
            f" select {', '.join([*('?' for _ in constants), *unpacked])}"
            " from table(flatten(input => parse_json(?))) as new_rows"
        )
        for chunk in _json_arrays(zip(*lists.values(), strict=True)):
            self.execute(statement, [*constants.values(), chunk])

    def _remove(self, path: str) -> None:
        """Empty the path; a file that stays is never loaded again, so a failure is only logged."""
        try:
            self.execute(f"remove {path}")
        except Error as error:
            log.warning("%s was not emptied: %s", path, error.msg)


def _unpacked(position: int, name: str, values: Sequence[Any], json_columns: Collection[str]) -> str:
    """Return the expression that takes a column's value out of a row, which is a JSON array."""
    item = f"new_rows.value[{position}]"
    if name in json_columns:
        # Snowflake refuses some JSON that others accept, such as a repeated name; as text, it is not lost.
        return f"coalesce(try_parse_json({item}::varchar), to_variant({item}::varchar))"
    kind = type(next((value for value in values if value is not None), ""))
    if issubclass(kind, dt.datetime):
        return f"{item}::varchar::timestamp_tz"
    return f"{item}::number" if issubclass(kind, int) else f"{item}::varchar"


def _json_arrays(rows: Iterable[tuple[Any, ...]]) -> Iterator[str]:
    """Yield the rows as JSON arrays of at most MAX_BOUND_BYTES each, or of one longer row."""
    chunk: list[str] = []
    size = 0
    for row in rows:
        text = json.dumps(row, default=_as_json, ensure_ascii=False)
        length = len(text.encode()) + 1
        if chunk and size + length > MAX_BOUND_BYTES:
            yield f"[{','.join(chunk)}]"
            chunk, size = [], 0
        chunk.append(text)
        size += length
    if chunk:
        yield f"[{','.join(chunk)}]"


def _as_json(value: dt.datetime | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value.isoformat()


def _bound(value: Any) -> Any:
    """Keep a time's zone: bare, the connector would send it as one without."""
    return ("TIMESTAMP_TZ", value) if isinstance(value, dt.datetime) else value


def _write_staged_file(file: CsvFile, target: Path) -> int:
    """Write the wanted columns as gzipped CSV without header and return the number of rows.

    PUT compresses a file anyway. Doing it here checks every row: a COPY with a SELECT does not report
    missing or surplus columns, and METADATA$FILE_ROW_NUMBER is sure to start at 1 without a header.
    Raises LoadError where a line is not as the header says.
    """
    rows = 0
    with (
        file.path.open(encoding="utf-8-sig", newline="") as source,
        gzip.open(target, "wt", compresslevel=1, encoding="utf-8", newline="") as out,
    ):
        writer = csv.writer(out, lineterminator="\n")
        for row in _checked_rows(file, source):
            writer.writerow(row)
            rows += 1
    return rows


def _checked_rows(file: CsvFile, source: IO[str]) -> Iterator[list[str]]:
    width, wanted = len(file.columns), [file.columns.index(name) for name in file.select]
    reader = csv.reader(source, strict=True)
    try:
        next(reader)
        for row in reader:
            if len(row) == width:
                yield [row[position] for position in wanted]
            elif row:  # blank lines count as nothing, as in DuckDB
                raise LoadError(f"line {reader.line_num} has {len(row)} column(s), the header has {width}.")
    except csv.Error as error:
        raise LoadError(f"line {reader.line_num}: {error}.") from error


def _copy_statement(table: str, columns: Sequence[str], metadata: dict[str, Any], path: str) -> str:
    values = {
        ROW_NUMBER: "metadata$file_row_number",
        **{name: f"${number}" for number, name in enumerate(columns, start=1)},
        **{name: _literal(value) for name, value in metadata.items()},  # COPY takes no place-holders
    }
    return (
        f"copy into {table} ({', '.join(values)})"  # noqa: S608 (our names)
        f" from (select {', '.join(values.values())} from {path})"
        f" file_format = ({FILE_FORMAT}) on_error = abort_statement"
    )


def _literal(value: Any) -> str:
    if isinstance(value, dt.datetime):
        return f"'{value.isoformat()}'::timestamp_tz"
    escaped = str(value).replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"


class SnowflakeWarehouse(Warehouse):
    """The account and database that SNOWFLAKE_* or Airflow's connection name, as one of the roles."""

    def __init__(self, role: Role = "loader") -> None:
        self._role = role

    @contextmanager
    @override
    def session(self) -> Iterator[SnowflakeSession]:
        """Closing rolls back what is open. Raises NotConfiguredError."""
        with closing(snowflake.connector.connect(**connect_arguments(self._role))) as connection:
            yield SnowflakeSession(connection)

    @contextmanager
    @override
    def reading(self) -> Iterator[SnowflakeSession]:
        """A role that may write still may."""
        connection, _ = connected(self._role)
        with closing(connection):
            yield SnowflakeSession(connection)

    @override
    def check(self) -> list[Finding]:
        """Checks every privilege of all roles, whichever is this one's."""
        from include.warehouse.privileges import check_privileges  # noqa: PLC0415 (it imports this module)

        return check_privileges()
