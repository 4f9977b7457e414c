"""CSV files that a spreadsheet may open: text that it would run as a formula is defused."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

from include.insights.formats import raw

# What a spreadsheet takes for the start of a formula; a tab or a line break may hide one.
_FORMULA = re.compile(r"^[\s\ufeff]*[=+\-@\uff0b\uff0d\uff1d\uff20]")
# A phone number or a number starts with a sign, too, and calls nothing: +49 (0)30 1234-56, -12.5.
_HARMLESS = re.compile(r"^(\+[0-9][0-9 ()./\-]{3,30}|[+\-]?[0-9]+([.,][0-9]+)?)$")


def defused(value: Any) -> Any:
    """Return text that no spreadsheet runs: with an apostrophe before what looks like a formula.

    Phone numbers and numbers stay as they are; values that are no text, too.
    """
    if isinstance(value, str) and _FORMULA.match(value) and not _HARMLESS.match(value):
        return f"'{value}"
    return value


def to_csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a CSV file with one header line, by RFC 4180."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(header)
    writer.writerows([defused(raw(value)) for value in row] for row in rows)
    return out.getvalue()
