"""The parameters of runs: their forms, and what Airflow cannot judge of them.

Airflow checks each value by its schema, but it takes unknown names, and it does not see two values together.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import Context, Param
from airflow.sdk.exceptions import AirflowFailException

from include.warehouse import Warehouse

# Formats alone would do for days; the patterns also hold where a format is unknown, and say what is meant.
DAY = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
MOMENT = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2})$"
)
LOCATION = r"""^[^\x00-\x1f\x7f'"`;{}<>|$]*$"""
STREAMED = (
    "(select event_timestamp from streaming.stg_bitcoin"
    " union all select event_timestamp from streaming.stg_news) as events"
)


class ParametersError(AirflowFailException):
    """The parameters of a run make no sense, or nothing fits them: no retry helps."""


def day(title: str, description: str) -> Param:
    """Return a parameter that is empty or a day as YYYY-MM-DD."""
    schema: dict[str, Any] = {"type": ["null", "string"], "format": "date", "pattern": DAY}
    return Param(None, description=description, title=title, **schema)


def moment(title: str, description: str) -> Param:
    """Return a parameter that is empty or a time in ISO 8601 with its zone."""
    schema: dict[str, Any] = {"type": ["null", "string"], "format": "date-time", "pattern": MOMENT}
    return Param(None, description=description, title=title, **schema)


def location(default: str, title: str, description: str) -> Param:
    """Return a parameter that is a folder or a URI."""
    return Param(
        default, type="string", pattern=LOCATION, maxLength=1024, title=title, description=description
    )


def switch(title: str, description: str) -> Param:
    """Return a parameter that is true or false (default)."""
    return Param(False, type="boolean", title=title, description=description)


def names(title: str, description: str) -> Param:
    """Return a parameter that is a list of names, empty by default."""
    item = {"type": "string", "pattern": "^[a-z0-9_]+$"}
    return Param([], type="array", items=item, description=description, title=title)


def check_parameters(context: Context) -> None:
    """Raise ParametersError, in one sentence, where a run's parameters make no sense.

    Airflow's hook before the execute() of every task that stands first in a DAG.
    """
    known = set(context["dag"].params)
    unknown = sorted(set(context["dag_run"].conf or {}) - known)
    if unknown:
        raise ParametersError(
            f"The DAG has no parameter {', '.join(map(repr, unknown))}; it has {', '.join(sorted(known))}."
        )
    params = context["params"]
    start, end = params.get("start_date"), params.get("end_date")
    if start and end and _as_time(end) <= _as_time(start):
        raise ParametersError(
            f"end_date ({end}) must lie after start_date ({start}): it is not in the range."
        )
    first, last = params.get("from_day"), params.get("to_day")
    if first and last and last < first:
        raise ParametersError(f"to_day ({last}) must not lie before from_day ({first}).")
    if params.get("full_refresh") and (start or end):
        raise ParametersError("full_refresh rebuilds everything: give no start_date and no end_date with it.")
    if params.get("ask") and params.get("dry_run"):
        raise ParametersError("dry_run promotes nothing, so there is nothing to ask: give one of them.")


def _as_time(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def expect_rows(warehouse: Warehouse, relation: str, column: str, params: Mapping[str, Any]) -> None:
    """Raise ParametersError where a run was given a range and `relation` has no row in it.

    `column` holds a day or a time. A backfill has no range of this kind: a day without a sale is no mistake.
    """
    start, end = params.get("start_date"), params.get("end_date")
    if not start and not end:
        return
    with warehouse.session() as session:
        [(found, first, last)] = session.execute(
            f"select count(case when {column} >= cast(? as timestamp with time zone)"  # noqa: S608 (our names)
            f" and {column} < cast(? as timestamp with time zone) then 1 end), min({column}), max({column})"
            f" from {relation}",
            [start or "0001-01-01", end or "9999-12-31"],
        )
    if not found:
        there = f"the data go from {first} to {last}" if first else "there are no data at all"
        raise ParametersError(
            f"No row lies from {start or 'the start'} to before {end or 'the end'}: {there}."
        )
