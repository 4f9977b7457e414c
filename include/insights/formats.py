"""How figures are written: for readers with separators and units, for programs as they are."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Literal

Kind = Literal["text", "count", "amount", "share", "ratio", "day", "month", "time", "link"]
NOTHING = "–"  # noqa: RUF001 (a dash)
MINUS = "\N{MINUS SIGN}"
PER_CENT = "\N{NO-BREAK SPACE}%"
NUMBERS: frozenset[Kind] = frozenset({"count", "amount", "share", "ratio"})


def shown(value: Any, kind: Kind, currency: str = "") -> str:
    """Return a value for a reader; None is a dash.

    An amount has two places (from 100,000 on none, which nobody reads) and the currency where one is set.
    """
    if value is None:
        return NOTHING
    if kind == "amount":
        return f"{amount(value)} {currency}".rstrip()
    return _FORMATS[kind](value)


def amount(value: Any) -> str:
    """Return an amount of money with separators."""
    return f"{value:,.0f}" if abs(value) >= 100_000 else f"{value:,.2f}"


def share(value: float) -> str:
    """Return a fraction in per cent."""
    return f"{value * 100:,.1f}{PER_CENT}"


def change(now: Decimal | float | None, before: Decimal | float | None) -> float | None:
    """Return the change as a fraction of what was before; None where there is no such fraction."""
    if now is None or before is None or before <= 0:
        return None
    return float(now) / float(before) - 1


def signed_share(value: float | None) -> str:
    """Return a change in per cent, with its sign."""
    return NOTHING if value is None else f"{value * 100:+,.1f}{PER_CENT}".replace("-", MINUS)


def raw(value: Any) -> Any:
    """Return a value as a CSV file or a chart holds it: ISO dates, plain numbers, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="seconds")
    if isinstance(value, date):
        return value.isoformat()
    return value


_FORMATS: dict[Kind, Callable[[Any], str]] = {
    "text": str,
    "link": str,
    "count": lambda value: f"{value:,.0f}",
    "share": share,
    "ratio": lambda value: f"{value:,.2f}",
    "day": lambda value: f"{value.day} {value:%b %Y}",
    "month": lambda value: f"{value:%b %Y}",
    "time": lambda value: f"{value.astimezone(UTC):%Y-%m-%d %H:%M} UTC",
}
