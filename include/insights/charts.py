"""ECharts options of plain data. Colours, fonts and number formats are the browser's part (page.js)."""

from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

Series = tuple[str, Iterable[Any]]  # name and values


def _plain(value: Any) -> Any:
    """Return a value as JSON holds it."""
    if isinstance(value, Decimal):
        return float(value)
    return value.isoformat() if isinstance(value, date) else value


def bars(
    names: Iterable[Any],
    series: Sequence[Series],
    *,
    unit: str,
    across: bool = False,
    stacked: bool = False,
    lines: Sequence[Series] = (),
) -> dict[str, Any]:
    """Return bars, with `across` from left to right and the first one on top; `lines` are drawn over them."""
    labels = [str(_plain(name)) for name in names]
    category: dict[str, Any] = {"type": "category", "data": labels, "inverse": across}
    value = {"type": "value", "unit": unit}
    drawn = [_one("bar", one, unit, {"stack": "all"} if stacked else {}) for one in series]
    drawn += [_one("line", one, unit, {"showSymbol": len(labels) < 60}) for one in lines]
    return {
        "xAxis": value if across else category,
        "yAxis": category if across else value,
        "series": drawn,
    }


def lines(
    names: Iterable[Any],
    series: Sequence[Series],
    *,
    unit: str,
    floats: bool = False,
    highest: float | None = None,
) -> dict[str, Any]:
    """Return lines; with `floats` the axis need not start at 0, and it ends at `highest` where given."""
    labels = [str(_plain(name)) for name in names]
    return {
        "xAxis": {"type": "category", "data": labels, "boundaryGap": False},
        "yAxis": {"type": "value", "unit": unit, "scale": floats, "max": highest},
        "series": [_one("line", one, unit, {"showSymbol": len(labels) < 30}) for one in series],
    }


def _one(kind: str, series: Series, unit: str, more: dict[str, Any]) -> dict[str, Any]:
    name, values = series
    return {"type": kind, "name": name, "data": [_plain(value) for value in values], "unit": unit, **more}
