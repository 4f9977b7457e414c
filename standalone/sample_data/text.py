"""Numbers, days and lines as the real files write them."""

import csv
import io
from collections.abc import Iterable
from datetime import date


def short_number(value: float) -> str:
    """Format like the real files: 153.71, 6.5, 1."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def us_date(day: date) -> str:
    """Format like the real files: 1/31/2019."""
    return f"{day.month}/{day.day}/{day.year}"


def csv_line(fields: Iterable[object]) -> str:
    """Return one line without its end, quoted where it must be."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(fields)
    return text.getvalue()
