"""What every part of page and report is made of: a block with sentence, definition, table, chart and CSV."""

import re
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from include.insights.formats import NUMBERS, Kind, shown
from include.insights.period import Period
from include.insights.snapshot import Snapshot
from include.insights.spreadsheet import to_csv
from include.insights.tables import TABLES

Row = dict[str, Any]
KNOWN = frozenset({*TABLES, "model_gate"})
_WORD = re.compile(r"\w+")


@lru_cache(maxsize=512)  # a snapshot does not change, and most blocks do not depend on the period
def _kept(snapshot: Snapshot, sql: str, parameters: tuple[tuple[str, Any], ...]) -> list[Row]:
    return snapshot.query(sql, dict(parameters) or None)


@dataclass(frozen=True)
class Context:
    """What blocks are made from: a snapshot, the period asked for, and a currency to write behind amounts.

    `whole`: lists of customers are complete, as a file has them; a page shows their start.
    """

    snapshot: Snapshot
    period: Period
    currency: str = ""
    whole: bool = False
    lacking: set[str] = field(default_factory=set, compare=False)  # tables asked for that the snapshot lacks

    def rows(self, sql: str, **parameters: Any) -> list[Row]:
        """Return the rows of a statement over the snapshot's tables, with $name parameters.

        None where the snapshot lacks a table that it names, because what that is made of was never built.
        """
        if lacks := (KNOWN - self.snapshot.tables).intersection(_WORD.findall(sql)):
            self.lacking.update(lacks)
            return []
        if self.whole:  # a list of customers may be long: not kept in memory
            return self.snapshot.query(sql, parameters or None)
        return [dict(row) for row in _kept(self.snapshot, sql, tuple(parameters.items()))]

    @property
    def written_at(self) -> datetime:
        """Return when the snapshot was written (UTC)."""
        return datetime.fromisoformat(self.snapshot.manifest.written_at)

    def in_period(self, sql: str, **parameters: Any) -> list[Row]:
        """Return the rows of a statement that has $first and $last, the days of the period."""
        return self.rows(sql, first=self.period.first, last=self.period.last, **parameters)

    @property
    def to_date(self) -> str:
        """Return the scope of a block whose figures are about all days."""
        return f"All days to {shown(self.snapshot.last_day, 'day')}"

    @property
    def months(self) -> str:
        """Return the scope of a block whose figures are about whole months."""
        first, last = shown(self.period.first, "month"), shown(self.period.last, "month")
        return f"Whole months, {first} to {last}" if first != last else f"Whole month, {first}"

    def money(self, value: Any) -> str:
        """Return an amount for a reader."""
        return shown(value, "amount", self.currency)


@dataclass(frozen=True)
class Column:
    """A column of a block's table; one that is not in the page is in its CSV file."""

    key: str
    label: str
    kind: Kind = "text"
    in_page: bool = True

    @property
    def is_number(self) -> bool:
        """Return whether it is read from right to left."""
        return self.kind in NUMBERS


@dataclass(frozen=True)
class Chart:
    """An ECharts option of plain data, without colours and functions; `label` says it in words."""

    option: dict[str, Any]
    label: str
    height: str = "medium"  # short, medium, tall


@dataclass(frozen=True)
class Heat:
    """A heat map: a row for each label, with a share (0 to 1) or None for each column."""

    corner: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, str, tuple[float | None, ...]], ...]  # label, note, shares

    def level(self, value: float | None) -> int:
        """Return the shade of a share, 0 to 9: 9 is the highest of the map."""
        highest = max((one for row in self.rows for one in row[2] if one is not None), default=0) or 1
        return 0 if value is None else min(9, round(value / highest * 9))


@dataclass(frozen=True)
class Tile:
    """A figure with its change against the period before; `tone` says whether the change is good."""

    key: str
    label: str
    value: str
    change: str
    before: str
    tone: str  # good, bad, neutral
    points: tuple[float | None, ...] = ()

    @property
    def sparkline(self) -> str:
        """Return the points of a polyline in a box of 120 by 28."""
        known = [(place, one) for place, one in enumerate(self.points) if one is not None]
        if len(known) < 2:
            return ""
        low, high = min(one for _, one in known), max(one for _, one in known)
        span, width = (high - low) or 1, len(self.points) - 1
        return " ".join(
            f"{place / width * 118 + 1:.1f},{26 - (one - low) / span * 24:.1f}" for place, one in known
        )


@dataclass(frozen=True)
class Claim:
    """A sentence on what changed: figure, likely cause, action; `figures` are what it rests on."""

    rule: str
    figure: str
    cause: str
    action: str
    figures: dict[str, Any]
    weight: float  # the higher, the earlier it is told


@dataclass(frozen=True)
class Block:
    """One part of the page. Without rows only its sentence `empty` is shown.

    `customers`: its rows name customers, which needs more than the right to read.
    """

    key: str
    title: str
    sentence: str
    definition: str
    scope: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    empty: str
    chart: Chart | None = None
    heat: Heat | None = None
    tiles: tuple[Tile, ...] = ()
    claims: tuple[Claim, ...] = ()
    customers: bool = False
    rows_shown: int = 25
    row_count: int = -1  # where not all rows are here
    open: bool = False  # its table is what it shows
    links: dict[str, str] = field(default_factory=dict)  # column → column that holds its address

    @property
    def total(self) -> int:
        """Return the number of rows, here or not."""
        return len(self.rows) if self.row_count < 0 else self.row_count

    def csv(self) -> str:
        """Return all rows as a CSV file, with the columns' own names in the header."""
        keys = [column.key for column in self.columns]
        return to_csv(keys, ([row[key] for key in keys] for row in self.rows))


@dataclass(frozen=True)
class Section:
    """Blocks under one heading."""

    key: str
    title: str
    blocks: tuple[Block, ...]
