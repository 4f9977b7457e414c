"""Which parameters of a run are refused before anything runs, and what is said of a range without data."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import ParamValidationError

from include.orchestration.parameters import (
    ParametersError,
    check_parameters,
    day,
    expect_rows,
    location,
    moment,
)
from include.warehouse.duckdb import DuckDBWarehouse

KNOWN = {"start_date": None, "end_date": None, "full_refresh": False, "dry_run": False, "ask": False}


def run_with(**given: Any) -> Any:
    """Return the context of a run that was started with these."""
    dag = SimpleNamespace(params=KNOWN)
    return {"dag": dag, "dag_run": SimpleNamespace(conf=given), "params": {**KNOWN, **given}}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"start_dat": "2019-01-01"}, "The DAG has no parameter 'start_dat'; it has ask, dry_run, end_date"),
        ({"start_date": "2019-02-01", "end_date": "2019-01-01"}, r"must lie after start_date \(2019-02-01\)"),
        ({"start_date": "2019-02-01", "end_date": "2019-02-01"}, "must lie after start_date"),
        # The same moment, written in two zones.
        (
            {"start_date": "2026-01-05T10:00:00+00:00", "end_date": "2026-01-05T11:00:00+01:00"},
            "must lie after start_date",
        ),
        ({"full_refresh": True, "start_date": "2019-02-01"}, "give no start_date"),
        ({"dry_run": True, "ask": True}, "give one of them"),
    ],
)
def test_what_makes_no_sense_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ParametersError, match=said):
        check_parameters(run_with(**given))


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"start_date": "2019-02-01"},
        {"end_date": "2019-02-01"},
        {"start_date": "2019-02-01", "end_date": "2019-02-02"},
        {"start_date": "2026-01-05T10:00:00Z", "end_date": "2026-01-05T11:00:00.5+00:00"},
        {"full_refresh": True},
    ],
)
def test_what_makes_sense_is_not(given: dict[str, Any]) -> None:
    check_parameters(run_with(**given))


def test_a_run_without_parameters_is_not_refused() -> None:
    """A scheduled run has no configuration at all."""
    context = run_with()
    context["dag_run"].conf = None
    check_parameters(context)


@pytest.mark.parametrize(
    "text", ["2019-02-30", "2019-2-3", "20190203", "2019-02-03T00:00:00Z", "tomorrow", ""]
)
def test_a_day_is_one_of_the_calendar(text: str) -> None:
    with pytest.raises(ParamValidationError):
        day("Day", "A day.").resolve(text)


@pytest.mark.parametrize(
    "text",
    # The pattern fits the first two: it is the format that finds them, which counts only if it is installed.
    ["2026-13-45T10:00:00Z", "2026-02-30T10:00:00Z", "2026-01-05", "2026-01-05T10:00:00", "now", ""],
)
def test_a_moment_has_a_day_of_the_calendar_and_a_zone(text: str) -> None:
    with pytest.raises(ParamValidationError):
        moment("Time", "A time.").resolve(text)


@pytest.mark.parametrize("text", ["/data/shop 2019", "s3://conn@bucket/inbox/", "data/[new]", ""])
def test_a_location_is_a_path_or_a_uri(text: str) -> None:
    assert location("", "Source", "A folder.").resolve(text) == text


@pytest.fixture
def warehouse(tmp_path: Path) -> DuckDBWarehouse:
    """Three sales of March 2019."""
    found = DuckDBWarehouse(tmp_path / "shop.duckdb")
    with found.session() as session:
        session.execute("create table sales (sold_on date)")
        session.execute(
            "insert into sales values (date '2019-03-01'), (date '2019-03-02'), (date '2019-03-09')"
        )
    return found


@pytest.mark.parametrize(
    ("start", "end", "has_rows"),
    [
        ("2019-03-02", "2019-03-03", True),
        ("2019-03-09", None, True),
        (None, "2019-03-02", True),
        (None, None, True),
        ("2019-03-03", "2019-03-09", False),
        ("2019-03-10", None, False),
        (None, "2019-03-01", False),
        ("2019-03-02T00:00:00Z", "2019-03-02T01:00:00+00:00", True),
        ("2019-03-02T01:00:00Z", "2019-03-02T02:00:00Z", False),
    ],
)
def test_a_range_has_rows(warehouse: DuckDBWarehouse, start: str, end: str, has_rows: bool) -> None:
    params = {"start_date": start, "end_date": end}
    if has_rows:
        expect_rows(warehouse, "sales", "sold_on", params)
        return
    with pytest.raises(
        ParametersError, match=r"No row lies from .*: the data go from 2019-03-01 to 2019-03-09"
    ):
        expect_rows(warehouse, "sales", "sold_on", params)


def test_an_empty_table_has_no_range(warehouse: DuckDBWarehouse) -> None:
    with warehouse.session() as session:
        session.execute("delete from sales")
    with pytest.raises(ParametersError, match="there are no data at all"):
        expect_rows(warehouse, "sales", "sold_on", {"start_date": "2019-01-01", "end_date": None})
