"""Snowflake: a session a task; files go through an internal stage (PUT, COPY INTO)."""

import csv
import datetime as dt
import gzip
import json
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

import snowflake.connector
from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict
from snowflake.connector.errors import Error, ProgrammingError

from include.warehouse.base import CsvFile, LoadError, Session, Warehouse

log = logging.getLogger(__name__)

AIRFLOW_CONNECTION = "snowflake_default"
DEFAULT_DATABASE = "MARKETING_INSIGHTS_DB"
STAGE = "raw.ingestion"
MAX_BOUND_BYTES = 8 * 1024 * 1024  # Snowflake takes 16 MiB as one bound value
SESSION_PARAMETERS = {"TIMEZONE": "UTC", "QUERY_TAG": "marketing-insights ingestion"}
# What `_write_staged_file` writes, so that a field's text arrives unchanged and an empty one as NULL.
FILE_FORMAT = (
    "type = csv compression = gzip encoding = 'UTF8' field_optionally_enclosed_by = '\"'"
    " escape_unenclosed_field = none null_if = () empty_field_as_null = true"
)


class NotConfiguredError(Exception):
    """Neither the environment nor Airflow says how to reach Snowflake."""


class SnowflakeSettings(BaseSettings):
    """How to reach Snowflake; the environment variable is SNOWFLAKE_ and the field's name in upper case."""

    model_config = SettingsConfigDict(
        env_prefix="SNOWFLAKE_",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,  # an error would show the secrets
    )

    account: str | None = Field(
        None, description="Account identifier (organisation-account); unset: Airflow's connection is used."
    )
    user: str | None = Field(None, description="Name of the service user.")
    private_key_path: Path | None = Field(None, description="PEM file of the user's private key (PKCS 8).")
    private_key_passphrase: SecretStr | None = Field(None, description="Passphrase of the private key.")
    password: SecretStr | None = Field(
        None, description="Password, for trials only; a private key is preferred."
    )
    role: str = Field(
        "LOADER",
        validation_alias=AliasChoices("SNOWFLAKE_LOADER_ROLE", "SNOWFLAKE_ROLE"),
        description="Role that loads files: SNOWFLAKE_LOADER_ROLE, else SNOWFLAKE_ROLE, which dbt uses too.",
    )
    warehouse: str = Field("TRANSFORMING", description="Virtual warehouse that does the work.")
    database: str = Field(DEFAULT_DATABASE, description="Database of all schemas.")
    host: str | None = Field(None, description="Host name where it does not follow from the account.")
    port: int | None = Field(None, gt=0, lt=65536, description="Port; default 443.")
    protocol: str | None = Field(None, description="http for a test double; default https.")

    def connect_arguments(self) -> dict[str, Any]:
        """Return what snowflake.connector.connect takes, secrets in clear: for no log and no message."""
        arguments = {
            "account": self.account,
            "user": self.user,
            "private_key_file": str(self.private_key_path) if self.private_key_path else None,
            "private_key_file_pwd": _revealed(self.private_key_passphrase) if self.private_key_path else None,
            "password": None if self.private_key_path else _revealed(self.password),
            "role": self.role,
            "warehouse": self.warehouse,
            "database": self.database,
            "host": self.host,
            "port": self.port,
            "protocol": self.protocol,
        }
        return {name: value for name, value in arguments.items() if value is not None}


def _revealed(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None


def connect_arguments() -> dict[str, Any]:
    """Return what snowflake.connector.connect takes, from SNOWFLAKE_* or else from Airflow's connection.

    Raises NotConfiguredError where there is neither.
    """
    settings = SnowflakeSettings()
    arguments = settings.connect_arguments() if settings.account else _from_airflow()
    parameters = {**(arguments.get("session_parameters") or {}), **SESSION_PARAMETERS}
    return {**arguments, "session_parameters": parameters, "paramstyle": "qmark"}


def _from_airflow() -> dict[str, Any]:
    """Return the arguments that Airflow's hook would connect with.

    Its get_conn() would ignore the paramstyle, so the parameters are taken, not the connection.
    """
    from airflow.providers.snowflake.hooks.snowflake import SnowflakeHook  # noqa: PLC0415 (takes a second)
    from airflow.sdk.exceptions import AirflowNotFoundException  # noqa: PLC0415

    try:
        parameters = SnowflakeHook(snowflake_conn_id=AIRFLOW_CONNECTION)._get_conn_params()
    except AirflowNotFoundException as error:
        raise NotConfiguredError(
            "Snowflake is not configured: set SNOWFLAKE_ACCOUNT, SNOWFLAKE_USER and"
            f" SNOWFLAKE_PRIVATE_KEY_PATH, or make the Airflow connection {AIRFLOW_CONNECTION}."
        ) from error
    return {**parameters, "database": parameters["database"] or DEFAULT_DATABASE}


class SnowflakeSession(Session):
    """A connection to Snowflake; each statement outside `transaction()` commits by itself, DDL always."""

    def __init__(self, connection: snowflake.connector.SnowflakeConnection) -> None:
        self._connection = connection

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """See Session."""
        with self._connection.cursor() as cursor:
            cursor.execute(sql, [_bound(value) for value in parameters] or None)
            return [tuple(row) for row in cursor.fetchall()]

    def prepare_load(self) -> None:
        """See Session; makes the stage."""
        self.execute(f"create stage if not exists {STAGE}")

    def load_csv(self, table: str, file: CsvFile, metadata: dict[str, Any]) -> int:
        """See Session; the file goes to a path of its own on the stage, and from there again when loaded."""
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

    def insert_rows(
        self,
        table: str,
        columns: Mapping[str, Sequence[Any]],
        *,
        constants: Mapping[str, Any] | None = None,
        json_columns: Collection[str] = (),
    ) -> None:
        """See Session; one statement with one bound value per MAX_BOUND_BYTES of rows."""
        constants = constants or {}
        unpacked = (
            _unpacked(position, name, values, json_columns)
            for position, (name, values) in enumerate(columns.items())
        )
        statement = (
            f"insert into {table} ({', '.join([*constants, *columns])})"  # noqa: S608 (our names)
            f" select {', '.join([*('?' for _ in constants), *unpacked])}"
            " from table(flatten(input => parse_json(?))) as new_rows"
        )
        for chunk in _json_arrays(zip(*columns.values(), strict=True)):
            self.execute(statement, [*constants.values(), chunk])

    def _remove(self, path: str) -> None:
        """Empty the path; a file that stays there is never loaded again, so failing to is no failure."""
        try:
            self.execute(f"remove {path}")
        except Error as error:
            log.warning("%s was not emptied: %s", path, error.msg)


def _unpacked(position: int, name: str, values: Sequence[Any], json_columns: Collection[str]) -> str:
    """Return the expression that takes a column's value out of a row, which is a JSON array."""
    item = f"new_rows.value[{position}]"
    if name in json_columns:
        # Snowflake refuses some JSON that others take, as a name that repeats: kept as text, it is not lost.
        return f"coalesce(try_parse_json({item}::varchar), to_variant({item}::varchar))"
    kind = type(next((value for value in values if value is not None), ""))
    if issubclass(kind, dt.datetime):
        return f"{item}::varchar::timestamp_tz"
    return f"{item}::number" if issubclass(kind, int) else f"{item}::varchar"


def _json_arrays(rows: Iterable[tuple[Any, ...]]) -> Iterator[str]:
    """Yield the rows as JSON arrays of at most MAX_BOUND_BYTES each, but of one row at least."""
    chunk: list[str] = []
    size = 0
    for row in rows:
        text = json.dumps(row, default=dt.datetime.isoformat, ensure_ascii=False)
        length = len(text.encode()) + 1
        if chunk and size + length > MAX_BOUND_BYTES:
            yield f"[{','.join(chunk)}]"
            chunk, size = [], 0
        chunk.append(text)
        size += length
    if chunk:
        yield f"[{','.join(chunk)}]"


def _bound(value: Any) -> Any:
    """Keep a time's zone: bare, the connector would send it as one without."""
    return ("TIMESTAMP_TZ", value) if isinstance(value, dt.datetime) else value


def _write_staged_file(file: CsvFile, target: Path) -> int:
    """Write the wanted columns as gzipped CSV without header and return the number of rows.

    PUT compresses a file anyway. Doing it here makes every row pass by: a COPY with a SELECT says nothing of
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
        **{name: f"${number}" for number, name in enumerate(columns, start=1)},
        "_source_row": "metadata$file_row_number",
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
    """The account and database that SNOWFLAKE_* or Airflow's connection name."""

    @contextmanager
    def session(self) -> Iterator[SnowflakeSession]:
        """See Warehouse; closing rolls back what is open. Raises NotConfiguredError."""
        with closing(snowflake.connector.connect(**connect_arguments())) as connection:
            yield SnowflakeSession(connection)
