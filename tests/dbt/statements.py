"""Whether SQL is Snowflake's: sqlglot and sqlfluff must both be able to read it."""

import json
import re
from collections.abc import Iterable
from pathlib import Path

import sqlglot
from sqlfluff.core import FluffConfig, Linter
from sqlglot.errors import ParseError
from sqlglot.expressions import Command

# sqlglot reads these as an unknown command.
COLUMN_COMMENTS = re.compile(r"\s*alter\s+table \S+ alter\s")
PLACEHOLDERS = re.compile(r"%s(?:\x1b\[\d+m)?")


def sent_statements(log_file: Path) -> list[str]:
    """Return what dbt sent to the warehouse, each statement once, from its log in JSON at level debug."""
    events = [json.loads(line) for line in log_file.read_text(encoding="utf-8").splitlines()]
    sent = dict.fromkeys(event["data"]["sql"] for event in events if event["info"]["name"] == "SQLQuery")
    # dbt cuts the log of a seed's rows short in the middle of its place-holders.
    return [sql for sql in sent if sql.strip() and not PLACEHOLDERS.search(sql)]


def complaints(statements: Iterable[str], *, thorough: bool = True) -> list[str]:
    """Return what sqlglot and, when `thorough` (tens of milliseconds a statement), sqlfluff cannot read."""
    linter = Linter(config=FluffConfig(overrides={"dialect": "snowflake", "templater": "raw"}))
    found = []
    for sql in statements:
        has_comments = bool(COLUMN_COMMENTS.match(sql))
        if not has_comments:
            found += [f"sqlglot: {problem}\n{sql[-2000:]}" for problem in _sqlglot(sql)]
        if thorough or has_comments:
            violations = linter.parse_string(sql).violations
            found += [f"sqlfluff: {violation}\n{sql[-2000:]}" for violation in violations]
    return found


def _sqlglot(sql: str) -> list[str]:
    try:
        parsed = sqlglot.parse(sql, read="snowflake")
    except ParseError as error:
        return [str(error)]
    return ["read only as an unknown command" for part in parsed if isinstance(part, Command)]
