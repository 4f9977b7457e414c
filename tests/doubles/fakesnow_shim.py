"""What fakesnow 0.12.1 gets wrong for this product, mended one fault at a time.

Each `_mend_*` function names the fault, in words of what Snowflake does. `install()` applies them to the
fakesnow of this process, which the double's server alone should do. Look here first when fakesnow is
upgraded: a mend whose fault is gone can go too.
"""

import csv
import gzip
import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import fakesnow.arrow as fs_arrow
import fakesnow.checks as fs_checks
import fakesnow.copy_into as fs_copy
import fakesnow.cursor as fs_cursor
import fakesnow.info_schema as fs_info_schema
import fakesnow.server as fs_server
import fakesnow.transforms as fs_transforms
import pyarrow as pa
import pyarrow.compute as pc
import sqlglot
from fakesnow.conn import FakeSnowflakeConnection
from fakesnow.cursor import FakeSnowflakeCursor
from fakesnow.transforms import stage
from snowflake.connector.errors import Error as SnowflakeError
from snowflake.connector.errors import ProgrammingError
from sqlglot import exp
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

DDL = (exp.Create, exp.Drop, exp.Alter, exp.Comment)
# Options of FILE_FORMAT that say what the double does anyway; any other value is refused as before.
IMPLIED_CSV_OPTIONS: dict[str, Callable[[Any], bool]] = {
    "ENCODING": lambda value: str(value).upper() in {"UTF8", "UTF-8"},
    "ERROR_ON_COLUMN_COUNT_MISMATCH": lambda _: True,
    "MULTI_LINE": bool,
    "RECORD_DELIMITER": lambda value: str(value) in {"\\n", "\n", "\\r\\n", "\r\n"},
    "REPLACE_INVALID_CHARACTERS": lambda value: not value,
    "SKIP_BLANK_LINES": lambda value: not value,
    "SKIP_BYTE_ORDER_MARK": bool,
    "TRIM_SPACE": lambda value: not value,
}

REMOVE = re.compile(r"\s*(?:remove|rm)\s+@([^\s;]+)", re.IGNORECASE)

_statements = threading.RLock()


def install() -> None:
    """Mend the fakesnow of this process."""
    _mend_copy_of_csv()
    _mend_copy_options()
    _mend_copy_without_current_schema()
    _mend_merge()
    _mend_keys_and_contracts()
    _mend_temporary_objects()
    _mend_transactions()
    _mend_end_of_session()
    _mend_quotes_in_comments()
    _mend_try_cast_to_timestamp()
    _mend_null_timestamps()
    _mend_remove()
    _mend_drop_database()
    _mend_statements_without_meaning_here()
    _mend_unexpected_errors()


def _mend_copy_of_csv() -> None:
    """Fault: COPY INTO guesses column types and knows neither $1 nor METADATA$FILE_ROW_NUMBER.

    Snowflake reads each field of a CSV file as text; a transforming SELECT may name fields by position and
    may use the metadata columns. Rows are numbered from 1 after the skipped header.
    """
    original = fs_copy._inserts

    def inserts(expr: exp.Copy, params: Any, urls: list[str], parquet_info: Any = None) -> list[exp.Expr]:
        if not isinstance(params.file_format, fs_copy.ReadCSV):
            return original(expr, params, urls, parquet_info)
        return [_csv_insert(expr, params.file_format, url) for url in urls]

    fs_copy._inserts = inserts


def _csv_insert(expr: exp.Copy, file_format: fs_copy.ReadCSV, url: str) -> exp.Expr:
    source = expr.args["files"][0]
    target = expr.this.copy()
    if isinstance(source, exp.Subquery):
        select = _by_position(source.this.copy(), url)
        width = max(_file_width(url, file_format), *_positions(source.this), 1)
        read = _read_csv(url, file_format, width, pad=True)
    else:
        width = len(target.expressions) or _file_width(url, file_format)
        select = exp.select(*[f"f{number}" for number in range(1, width + 1)])
        read = _read_csv(url, file_format, width, pad=False)
    rows = exp.select("*", "row_number() over () as file_row").from_(read).subquery("file")
    return exp.Insert(this=target, expression=select.from_(rows))


def _positions(select: exp.Expr) -> Iterator[int]:
    """Yield the 1-based field numbers ($1, $2, …) that the SELECT names."""
    for parameter in select.find_all(exp.Parameter):
        yield int(parameter.name)


def _by_position(select: exp.Select, url: str) -> exp.Select:
    """Replace $n and the metadata columns by columns of the file reader; drop the FROM @stage."""
    select.set("from_", None)
    name = stage.file_path(url)
    metadata = {
        "METADATA$FILE_ROW_NUMBER": exp.column("file_row"),
        "METADATA$FILENAME": exp.Literal.string(
            stage.internal_file_name(name).partition("/")[2] if stage.is_internal(name) else name
        ),
        "METADATA$START_SCAN_TIME": exp.CurrentTimestamp(),
    }

    def replace(node: exp.Expr) -> exp.Expr:
        inner = node.this if isinstance(node, exp.Column) else node
        if isinstance(inner, exp.Parameter):
            return exp.column(f"f{inner.name}")
        if isinstance(node, exp.Column) and node.name.upper() in metadata:
            return metadata[node.name.upper()].copy()
        return node

    replaced = select.transform(replace)
    assert isinstance(replaced, exp.Select)
    return replaced


def _file_width(url: str, file_format: fs_copy.ReadCSV) -> int:
    """Return how many fields the first record of the file has."""
    path = Path(stage.file_path(url))
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    opener: Any = gzip.open if packed else open
    with opener(path, "rt", encoding="utf-8-sig", errors="replace", newline="") as file:
        reader = csv.reader(file, delimiter=file_format.sep, quotechar=file_format.quote or None)
        return len(next(reader, [""]))


def _read_csv(url: str, file_format: fs_copy.ReadCSV, width: int, *, pad: bool) -> exp.Expr:
    """Return DuckDB's read_csv of `width` text columns f1 … fn; `pad` lets short rows end in NULLs."""

    def text(value: str) -> str:
        return exp.Literal.string(value).sql(dialect="duckdb")

    columns = ", ".join(f"'f{number}': 'VARCHAR'" for number in range(1, width + 1))
    nulls = ", ".join(text(value) for value in file_format.null_if or [])
    compression = f", compression={text(file_format.compression)}" if file_format.compression else ""
    sql = f"""read_csv({fs_copy.FileTypeHandler.file_literal(url).sql(dialect="duckdb")},
        columns={{{columns}}}, auto_detect=false, header=false, skip={file_format.skip_header},
        delim={text(file_format.sep)}, quote={text(file_format.quote or "")},
        escape={text(file_format.quote or "")}, nullstr=[{nulls or "'<no field is null>'"}],
        allow_quoted_nulls=false, null_padding={str(pad).lower()}, parallel=false{compression})"""
    return sqlglot.parse_one(f"SELECT 1 FROM {sql}", read="duckdb").args["from_"].this


def _mend_copy_options() -> None:
    """Fault: `FORCE = FALSE` and `PURGE = FALSE` count as TRUE; harmless FILE_FORMAT options are refused."""
    original_params = fs_copy._params
    original_csv = fs_copy.handle_csv

    def params(expr: exp.Copy, *args: Any, **kwargs: Any) -> Any:
        said = expr.args.get("params") or []
        expr.set("params", [param for param in said if not _is_false(param)])
        return original_params(expr, *args, **kwargs)

    def handle_csv(options: dict[str, Any]) -> Any:
        needed = {
            name: value
            for name, value in options.items()
            if not (name in IMPLIED_CSV_OPTIONS and IMPLIED_CSV_OPTIONS[name](value))
        }
        return original_csv(needed)

    fs_copy._params = params
    fs_copy.handle_csv = handle_csv


def _mend_copy_without_current_schema() -> None:
    """Fault: COPY takes a stage for a table that lacks its schema's name, and asks for a current schema."""
    original = fs_checks._relevant_tables

    def relevant_tables(expression: exp.Expr) -> list[exp.Table]:
        return [table for table in original(expression) if not isinstance(table.this, exp.Var)]

    fs_checks._relevant_tables = relevant_tables


def _is_false(param: exp.CopyParameter) -> bool:
    return isinstance(param.expression, exp.Boolean) and not param.expression.this


def _mend_merge() -> None:
    """Fault: MERGE is rewritten into joins with ambiguous columns. DuckDB has MERGE itself."""
    original_explode = FakeSnowflakeCursor._transform_explode
    original_execute = FakeSnowflakeCursor._execute

    def explode(self: FakeSnowflakeCursor, expression: exp.Expr) -> list[exp.Expr]:
        return [expression] if isinstance(expression, exp.Merge) else original_explode(self, expression)

    def execute(self: FakeSnowflakeCursor, transformed: exp.Expr, params: Any = None) -> None:
        if not isinstance(transformed, exp.Merge):
            original_execute(self, transformed, params)
            return
        counts = _run_merge(self, transformed, params)
        original_execute(self, sqlglot.parse_one(f"SELECT {counts}", read="duckdb"))
        self._rowcount = sum(int(column[0].as_py()) for column in self._arrow_table.columns)

    FakeSnowflakeCursor._transform_explode = explode
    FakeSnowflakeCursor._execute = execute


def _run_merge(cursor: FakeSnowflakeCursor, merge: exp.Merge, params: Any) -> str:
    """Run the MERGE and return the columns of counts that Snowflake answers with."""
    sql = merge.sql(dialect="duckdb")
    actions = cursor._duck_conn.execute(f"{sql} RETURNING merge_action", params).fetchall()
    done = [action for (action,) in actions]
    wanted = {"INSERT": "inserted", "UPDATE": "updated", "DELETE": "deleted"}
    return ", ".join(
        f'{done.count(action)} AS "number of rows {word}"'
        for action, word in wanted.items()
        if re.search(rf"THEN\s+{action}", sql)
    )


def _mend_keys_and_contracts() -> None:
    """Fault: keys are enforced, `create table t (columns) as select` stumbles over them and drops NOT NULL.

    Snowflake takes keys as a remark, but casts to the declared types and refuses NULL in a NOT NULL column,
    which is what dbt's contracts rest on.
    """
    original_transform = FakeSnowflakeCursor._transform
    original_execute = FakeSnowflakeCursor._execute

    def transform(self: FakeSnowflakeCursor, expression: exp.Expr, params: Any) -> exp.Expr:
        if not (isinstance(expression, exp.Create) and isinstance(expression.this, exp.Schema)):
            return original_transform(self, expression, params)
        _drop_keys(expression.this)
        query = expression.args.get("expression") if expression.kind == "TABLE" else None
        if query is not None:
            expression.set("expression", None)
        transformed = original_transform(self, expression, params)
        if query is not None:
            transformed.set("contract_query", original_transform(self, query, params))
        return transformed

    def execute(self: FakeSnowflakeCursor, transformed: exp.Expr, params: Any = None) -> None:
        query = transformed.args.get("contract_query")
        if query is None:
            original_execute(self, transformed, params)
            return
        columns = ", ".join(column.sql(dialect="duckdb") for column in transformed.this.expressions)
        table = transformed.this.this.sql(dialect="duckdb")
        duck = self._duck_conn
        duck.execute(f"CREATE OR REPLACE TEMPORARY TABLE contracted ({columns})")
        duck.execute(f"INSERT INTO contracted {query.sql(dialect='duckdb')}", params)
        original_execute(self, transformed)
        duck.execute(f"INSERT INTO {table} FROM contracted")
        duck.execute("DROP TABLE contracted")

    FakeSnowflakeCursor._transform = transform
    FakeSnowflakeCursor._execute = execute


def _drop_keys(schema: exp.Schema) -> None:
    keys = (exp.PrimaryKey, exp.ForeignKey, exp.Constraint, exp.UniqueColumnConstraint)
    column_keys = (exp.PrimaryKeyColumnConstraint, exp.UniqueColumnConstraint, exp.Reference)
    schema.set("expressions", [part for part in schema.expressions if not isinstance(part, keys)])
    for column in schema.find_all(exp.ColumnDef):
        kept = [rule for rule in column.args["constraints"] if not isinstance(rule.kind, column_keys)]
        column.set("constraints", kept)


def _mend_temporary_objects() -> None:
    """Fault: `create temporary table db.schema.t` fails: DuckDB keeps such tables in a schema of their own.

    They become ordinary ones here and are dropped when the session ends. Not like Snowflake: other sessions
    see them, and they do not hide a lasting table of the same name but replace it.
    """
    original = FakeSnowflakeCursor._transform

    def transform(self: FakeSnowflakeCursor, expression: exp.Expr, params: Any) -> exp.Expr:
        properties = expression.args.get("properties")
        temporary = properties and properties.find(exp.TemporaryProperty)
        lasting = not isinstance(expression, exp.Create) or expression.kind not in {"TABLE", "VIEW"}
        if not temporary or lasting:
            return original(self, expression, params)
        temporary.pop()
        transformed = original(self, expression, params)
        table = transformed.find(exp.Table)
        _temporary_of(self._conn).append((transformed.kind, _full_name(self._conn, table)))
        return transformed

    FakeSnowflakeCursor._transform = transform


def _full_name(connection: FakeSnowflakeConnection, table: exp.Table) -> str:
    named = exp.table_(table.name, table.db or connection.schema, table.catalog or connection.database)
    return named.sql(dialect="duckdb", identify=True)


def _temporary_of(connection: FakeSnowflakeConnection) -> list[tuple[str, str]]:
    created: list[tuple[str, str]] = connection.__dict__.setdefault("double_temporary", [])
    return created


def _mend_transactions() -> None:
    """Fault: an error in a transaction poisons the session, DDL joins the transaction, BEGIN in one fails.

    In Snowflake DDL commits an open transaction first, and a second BEGIN does nothing. A failed statement
    leaves the transaction open there; DuckDB cannot go on after it, so here all that follows fails until
    ROLLBACK, BEGIN or DDL, which start afresh (like Snowflake's TRANSACTION_ABORT_ON_ERROR = TRUE).
    """
    original = FakeSnowflakeCursor._execute

    def execute(self: FakeSnowflakeCursor, transformed: exp.Expr, params: Any = None) -> None:
        state: dict[str, bool] = self._conn.__dict__.setdefault(
            "double_transaction", {"open": False, "aborted": False}
        )
        is_ddl = isinstance(transformed, DDL) or transformed.args.get("create_stage_name")
        if is_ddl or isinstance(transformed, exp.Transaction):
            already_open = _settle(self, state, keep=isinstance(transformed, exp.Transaction))
            if already_open:
                transformed = sqlglot.parse_one(fs_cursor.SQL_SUCCESS, read="duckdb")
        try:
            original(self, transformed, params)
        except Exception:  # whatever it is, it ends the transaction; it is raised again
            state["aborted"] = state["open"]
            raise
        if isinstance(transformed, exp.Transaction):
            state["open"] = True
        elif isinstance(transformed, exp.Commit | exp.Rollback):
            state.update(open=False, aborted=False)

    FakeSnowflakeCursor._execute = execute


def _settle(cursor: FakeSnowflakeCursor, state: dict[str, bool], *, keep: bool) -> bool:
    """End the open transaction as BEGIN or DDL would; tell whether it stays open, which `keep` allows."""
    if not state["open"]:
        return False
    if state["aborted"]:
        cursor._duck_conn.rollback()
    elif keep:
        return True
    else:
        cursor._duck_conn.commit()
    state.update(open=False, aborted=False)
    return False


def _mend_end_of_session() -> None:
    """Fault: a session is never closed (the connector misses a master token), so it keeps what it holds.

    Snowflake rolls back an open transaction and drops temporary tables when the session ends.
    """

    class Sessions(dict[str, FakeSnowflakeConnection]):
        def __delitem__(self, token: str) -> None:
            connection = self.pop(token)
            with _statements:
                if connection.__dict__.get("double_transaction", {}).get("open"):
                    connection._duck_conn.rollback()
                for kind, name in _temporary_of(connection):
                    connection._duck_conn.execute(f"DROP {kind} IF EXISTS {name}")
                connection.close()

    async def login(request: Request) -> JSONResponse:
        answer = json.loads((await fs_server.login_request(request)).body)
        answer["data"]["masterToken"] = answer["data"].get("token")
        return JSONResponse(answer)

    fs_server.sessions = Sessions()
    fs_server.app.router.routes.insert(0, Route("/session/v1/login-request", login, methods=["POST"]))


def _mend_quotes_in_comments() -> None:
    """Fault: a table's comment with an apostrophe, which dbt's persist_docs may write, is a syntax error."""
    original = fs_info_schema.insert_table_comment_sql

    def insert(catalog: str, schema: str, table: str, comment: str | None) -> str:
        return original(catalog, schema, table, (comment or "").replace("'", "''"))

    fs_info_schema.insert_table_comment_sql = insert


def _mend_try_cast_to_timestamp() -> None:
    """Fault: TRY_CAST and TRY_TO_TIMESTAMP fail on text that is no timestamp, where NULL is due."""
    original = fs_transforms.to_timestamp

    def to_timestamp(expression: exp.Expr) -> exp.Expr:
        return expression if isinstance(expression, exp.TryCast) else original(expression)

    fs_transforms.to_timestamp = to_timestamp


def _mend_null_timestamps() -> None:
    """Fault: a NULL timestamp reaches the client as 1970-01-01."""
    original = fs_arrow.timestamp_to_sf_struct

    def to_struct(timestamps: pa.Array | pa.ChunkedArray) -> pa.Array:
        whole = timestamps.combine_chunks() if isinstance(timestamps, pa.ChunkedArray) else timestamps
        epoch = pa.scalar(0, pa.int64()).cast(whole.type)
        filled = original(pc.fill_null(whole, epoch))
        return pa.StructArray.from_arrays(filled.flatten(), fields=list(filled.type), mask=pc.is_null(whole))

    fs_arrow.timestamp_to_sf_struct = to_struct


def _mend_remove() -> None:
    """Fault: REMOVE @stage/path is not known."""
    original = FakeSnowflakeCursor.execute

    def execute(self: FakeSnowflakeCursor, command: str, *args: Any, **kwargs: Any) -> Any:
        found = REMOVE.match(command)
        return original(self, _remove(self._conn, found[1]) if found else command, *args, **kwargs)

    FakeSnowflakeCursor.execute = execute


def _remove(connection: FakeSnowflakeConnection, reference: str) -> str:
    """Delete the stage's files that start with the path; return a query that lists them like Snowflake."""
    name, _, path = reference.partition("/")
    parts = stage.parts_from_var(name, connection.database, connection.schema)
    root = Path(stage.internal_dir(".".join(parts)))
    removed = [file for file in sorted(root.rglob("*")) if file.is_file()]
    removed = [file for file in removed if file.relative_to(root).as_posix().startswith(path)]
    for file in removed:
        file.unlink()
    names = [exp.Literal.string(stage.internal_file_name(str(file))).sql() for file in removed]
    rows = " UNION ALL ".join(f"SELECT {name} AS name, 'removed' AS result" for name in names)
    return rows or "SELECT NULL AS name, NULL AS result WHERE FALSE"


def _mend_drop_database() -> None:
    """Fault: DROP DATABASE is handed to DuckDB, which calls it DETACH."""
    original = FakeSnowflakeCursor._transform

    def transform(self: FakeSnowflakeCursor, expression: exp.Expr, params: Any) -> exp.Expr:
        if isinstance(expression, exp.Drop) and expression.kind == "DATABASE":
            [database] = expression.args["tables"]
            detach = exp.Detach(
                this=exp.to_identifier(database.name.upper()), exists=expression.args["exists"]
            )
            self._duck_conn.execute(detach.sql(dialect="duckdb"))
            return sqlglot.parse_one(fs_cursor.SQL_SUCCESS, read="duckdb")
        return original(self, expression, params)

    FakeSnowflakeCursor._transform = transform


def _mend_statements_without_meaning_here() -> None:
    """Fault: statements on the account, session parameters and columns' comments fail; here they do nothing.

    Roles, users and grants come before this, in access_control.py.
    """
    comments = r"(\s|--[^\n]*\n|/\*.*?\*/)*"
    fs_server.shared_fs.nop_regexes = [
        comments + statement
        for statement in (
            r"(create|alter|drop)\s+(warehouse|resource\s+monitor|account)\s",
            r"alter\s+schema\s+\S+\s+enable\s+managed\s+access",
            r"alter\s+user\s",
            r"create\s+pipe\s",  # Snowpipe Streaming has a double of its own
            r"alter\s+session\s+(un)?set\s+(?!autocommit)",
            r"alter\s+(table|view)\s+\S+\s+alter\s+\S+\s+comment\s",
        )
    ]


def _mend_unexpected_errors() -> None:
    """Fault: an unforeseen error is answered with HTTP 500, which the connector repeats for minutes.

    Here it is an SQL error, as Snowflake would give. Statements run one at a time, which spares the tests
    DuckDB's write conflicts where Snowflake would wait for a lock.
    """
    fs_server.app.debug = False
    fs_server.app.add_exception_handler(Exception, _answer_with_sql_error)
    for name in ("execute", "_describe_last_sql"):
        setattr(FakeSnowflakeCursor, name, _with_sql_errors(getattr(FakeSnowflakeCursor, name)))
    fs_server.describe_as_rowtype = _with_sql_errors(fs_server.describe_as_rowtype)


async def _answer_with_sql_error(_: Any, error: Exception) -> JSONResponse:
    message = f"{type(error).__name__}: {error}"
    data = {"errorCode": "000603", "sqlState": "XX000"}
    return JSONResponse({"data": data, "code": "000603", "message": message, "success": False})


def _with_sql_errors(method: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(*args: Any, **kwargs: Any) -> Any:
        with _statements:
            try:
                return method(*args, **kwargs)
            except SnowflakeError:
                raise
            except Exception as error:
                message = f"{type(error).__name__}: {error}"
                number = 100038 if isinstance(error, duckdb.Error) else 1003
                raise ProgrammingError(msg=message, errno=number, sqlstate="22000") from error

    return guarded
