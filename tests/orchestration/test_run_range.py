"""Which days a run rebuilds, by how it was started."""

from types import SimpleNamespace
from typing import Any

import jinja2
import pendulum
import pytest
from airflow.utils.types import DagRunType

from include.orchestration.dbt_task_group import RUN_VARS, STREAM_VARS

NOTHING: dict[str, Any] = {"start_date": None, "end_date": None, "as_of_date": None}
DAY = {
    "data_interval_start": pendulum.datetime(2019, 1, 5, tz="UTC"),
    "data_interval_end": pendulum.datetime(2019, 1, 6, tz="UTC"),
}


HOUR = {
    "data_interval_start": pendulum.datetime(2026, 1, 5, 10, tz="UTC"),
    "data_interval_end": pendulum.datetime(2026, 1, 5, 11, tz="UTC"),
}


def rendered(
    run_type: DagRunType,
    params: dict[str, Any],
    interval: dict[str, Any],
    templates: dict[str, str] = RUN_VARS,
) -> dict[str, str]:
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)
    environment.filters["ds"] = lambda moment: moment.strftime("%Y-%m-%d")
    environment.filters["ts"] = lambda moment: moment.isoformat()
    context = {"params": params, "dag_run": SimpleNamespace(run_type=run_type), **interval}
    return {name: environment.from_string(text).render(context) for name, text in templates.items()}


def test_backfill_compares_its_interval_and_leaves_the_present_alone() -> None:
    found = rendered(DagRunType.BACKFILL_JOB, NOTHING, DAY)
    assert (found["start_date"], found["end_date"]) == ("2019-01-05", "2019-01-06")
    assert not found["as_of_date"]


@pytest.mark.parametrize("interval", [DAY, {}], ids=["with a logical date", "without a logical date"])
@pytest.mark.parametrize("run_type", [DagRunType.MANUAL, DagRunType.SCHEDULED, DagRunType.ASSET_TRIGGERED])
def test_other_runs_rebuild_what_changed(run_type: DagRunType, interval: dict[str, Any]) -> None:
    found = rendered(run_type, NOTHING, interval)
    assert (found["start_date"], found["end_date"], found["as_of_date"]) == ("", "", "")


@pytest.mark.parametrize("run_type", list(DagRunType))
def test_parameters_win(run_type: DagRunType) -> None:
    params = {"start_date": "2019-03-01", "end_date": "2019-04-01", "as_of_date": "2019-05-01"}
    found = rendered(run_type, params, DAY)
    assert {name: found[name] for name in params} == params


def test_backfill_of_the_streams_rebuilds_its_hour() -> None:
    found = rendered(DagRunType.BACKFILL_JOB, NOTHING, HOUR, STREAM_VARS)
    assert found == {"start_date": "2026-01-05T10:00:00+00:00", "end_date": "2026-01-05T11:00:00+00:00"}


@pytest.mark.parametrize("interval", [HOUR, {}], ids=["with a logical date", "without a logical date"])
def test_other_runs_of_the_streams_rebuild_what_changed(interval: dict[str, Any]) -> None:
    found = rendered(DagRunType.SCHEDULED, NOTHING, interval, STREAM_VARS)
    assert found == {"start_date": "", "end_date": ""}
