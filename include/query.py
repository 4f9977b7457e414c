"""Answers of the warehouse to one query, all rows: `make query SQL="select …" [FORMAT=table|csv|json]`.

It reads only. A table is written as Markdown has it; CSV and JSON are for other programs. Without SQL the
statement comes from standard input. On Snowflake the role is SNOWFLAKE_ROLE. Ends with 1 where the statement
is no query or fails, with 2 without a connection.
"""

import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

import typer

from include.insights.spreadsheet import to_csv
from include.settings import get_settings, run_command
from include.warehouse import NotReachableError, Session, get_warehouse
from include.warehouse.dialect import query_errors

_QUERY = re.compile(r"(\s|--[^\n]*\n|/\*.*?\*/|\()*(select|with|from|values)\b", re.IGNORECASE | re.DOTALL)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class Format(StrEnum):
    """How an answer is written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


class QueryError(Exception):
    """There is no answer; the message says why."""


@dataclass(frozen=True)
class Answer:
    """Names of the columns in lower case, and all rows; amounts are Decimals, times aware or of no zone."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]

    def written(self, form: Format) -> str:
        """Return the answer as text that ends in a line break."""
        if form is Format.CSV:
            return to_csv(self.columns, ([_csv_value(value) for value in row] for row in self.rows))
        if form is Format.JSON:
            rows = [dict(zip(self.columns, row, strict=True)) for row in self.rows]
            return json.dumps(rows, default=_json_value, ensure_ascii=False, indent=1) + "\n"
        return "\n".join(_markdown(self.columns, self.rows)) + "\n"


def ask(session: Session, sql: str) -> Answer:
    """Return the answer to one query; raises QueryError for others, or what `query_errors` names."""
    statement = sql.strip().rstrip(";").rstrip()
    if not statement:
        raise QueryError('There is no query: give one as SQL="select …", or on standard input.')
    if not _QUERY.match(statement):
        raise QueryError("Only a query is answered, which begins with select or with; nothing was changed.")
    # A role on Snowflake may be one that writes, and what can stand here only reads.
    session.execute(f"select * from ({statement}\n) as asked limit 0")  # noqa: S608 (whoever asks has the rights)
    table = session.read_arrow(statement)
    columns = [column.to_pylist() for column in table.columns]
    return Answer(tuple(name.lower() for name in table.column_names), tuple(zip(*columns, strict=True)))


def _markdown(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    """Yield the lines of a table whose columns are as wide as their values; numbers stand on the right."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(3, *map(len, column)) for column in zip(columns, *cells, strict=True)]
    right = [any(type(row[n]) in {int, float, Decimal} for row in rows) for n in range(len(columns))]

    def line(values: Sequence[str]) -> str:
        places = zip(values, widths, right, strict=True)
        return "| " + " | ".join(f"{value:>{w}}" if r else f"{value:<{w}}" for value, w, r in places) + " |"

    yield line(columns)
    yield "| " + " | ".join("-" * (w - r) + ":" * r for w, r in zip(widths, right, strict=True)) + " |"
    yield from map(line, cells)


def _cell(value: Any) -> str:
    """Return a value on one line: amounts in groups of thousands, whole numbers (such as ids) as they are."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: ""}[value]
    if isinstance(value, Decimal):
        whole, point, rest = f"{value:,f}".partition(".")
        return whole + point + rest[:2] + rest[2:].rstrip("0")
    if isinstance(value, float):
        return f"{value:,.4f}".rstrip("0").rstrip(".")
    if isinstance(value, datetime) and value.tzinfo:
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    return " ".join(str(value).split()).replace("|", "\\|")


def _csv_value(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


def _json_value(value: Any) -> Any:
    """Return amounts as numbers, those with more digits than a JSON reader keeps and all else as text."""
    if isinstance(value, Decimal):
        number = int(value) if value.as_tuple().exponent == 0 else float(value)
        return number if Decimal(str(number)) == value and abs(number) < 2**53 else str(value)
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


@app.command()
def main(
    sql: Annotated[str, typer.Option(envvar="SQL", help="One query; default: standard input.")] = "",
    form: Annotated[
        Format, typer.Option("--format", envvar="FORMAT", help="How to write it.")
    ] = Format.TABLE,
) -> None:
    """Print all rows of one query on the warehouse that WAREHOUSE names."""
    settings = get_settings()
    refused: tuple[type[Exception], ...] = (QueryError, *query_errors(settings))
    try:
        statement = sql or ("" if sys.stdin.isatty() else sys.stdin.read())
        with get_warehouse(settings, "transformer").reading() as session:
            answer = ask(session, statement)
    except NotReachableError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    except refused as error:
        typer.echo(str(error).strip(), err=True)
        raise typer.Exit(1) from error
    sys.stdout.write(answer.written(form))


if __name__ == "__main__":
    run_command(app)
