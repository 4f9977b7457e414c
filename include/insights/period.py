"""The period that a page or report is about, and the one that it is compared with."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from urllib.parse import urlencode

DEFAULT = "90d"
CUSTOM = "custom"
# Days up to the newest one in the data; None: the whole data.
PRESETS: dict[str, tuple[str, int | None]] = {
    "7d": ("Last 7 days", 7),
    "30d": ("Last 30 days", 30),
    "90d": ("Last 90 days", 90),
    "365d": ("Last 365 days", 365),
    "all": ("All days", None),
}


class PeriodError(ValueError):
    """What was asked for is no period of the data; the message says why, in one sentence."""


@dataclass(frozen=True)
class Period:
    """Days from `first` to `last`, both included; `previous` is as long and ends the day before."""

    preset: str
    first: date
    last: date
    compares: bool
    previous: tuple[date, date] | None = None

    @property
    def days(self) -> int:
        """Return the number of days."""
        return (self.last - self.first).days + 1

    @property
    def label(self) -> str:
        """Return the days for a reader."""
        return day_range(self.first, self.last)

    @property
    def previous_label(self) -> str:
        """Return the days of the period before for a reader; nothing where there is none."""
        return day_range(*self.previous) if self.previous else ""

    def query(self) -> str:
        """Return it as the query of a link, which period_of reads."""
        values = {"period": self.preset}
        if self.preset == CUSTOM:
            values |= {"first": self.first.isoformat(), "last": self.last.isoformat()}
        return urlencode({**values, "compare": "1" if self.compares else "0"})


def period_of(asked: Mapping[str, str], first_day: date, last_day: date) -> Period:
    """Return the period that a query names (`period`, `first`, `last`, `compare`), by the days of the data.

    Presets count back from last_day, not from today, and end at first_day. Without a query it is the default
    one. Raises PeriodError for another preset, what is no date, or days outside the data.
    """
    preset = asked.get("period") or DEFAULT
    # A form leaves out what is not ticked, so the box is on where nothing was asked for at all.
    compares = asked.get("compare") == "1" or "period" not in asked
    if preset == CUSTOM:
        first, last = _day(asked, "first"), _day(asked, "last")
        if first > last:
            raise PeriodError(f"The first day, {first}, is after the last day, {last}.")
        if first < first_day or last > last_day:
            raise PeriodError(
                f"The data holds {first_day} to {last_day}; {first} to {last} is not all in it."
            )
    elif preset in PRESETS:
        length = PRESETS[preset][1]
        first = first_day if length is None else max(first_day, last_day - timedelta(days=length - 1))
        last = last_day
    else:
        raise PeriodError(
            f"There is no period {preset[:20]!r}: take one of {', '.join(PRESETS)} or {CUSTOM}."
        )
    return Period(preset, first, last, compares, _before(first, last, first_day) if compares else None)


def _before(first: date, last: date, first_day: date) -> tuple[date, date] | None:
    """Return the period of the same length before; None where the data does not hold all of it."""
    start = first - (last - first) - timedelta(days=1)
    return (start, first - timedelta(days=1)) if start >= first_day else None


def _day(asked: Mapping[str, str], name: str) -> date:
    text = asked.get(name, "").strip()
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise PeriodError(f"The {name} day, {text[:20]!r}, is no date as in 2019-12-31.") from None


def day_range(first: date, last: date) -> str:
    """Return days for a reader: 3 Oct to 31 Dec 2019."""
    if first == last:
        return f"{first.day} {first:%b %Y}"
    start = f"{first.day} {first:%b}" if first.year == last.year else f"{first.day} {first:%b %Y}"
    return f"{start} to {last.day} {last:%b %Y}"
