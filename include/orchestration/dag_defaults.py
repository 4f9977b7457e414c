"""House rules of every DAG: data intervals, retries, one run at a time, alerts, heartbeat, deadline."""

import sys
from datetime import timedelta
from typing import Any

import pendulum
from airflow.sdk import Asset, AssetOrTimeSchedule, CronDataIntervalTimetable, CronTriggerTimetable
from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert

from include.orchestration.alerts import AlertNotifier, note_failure
from include.orchestration.deadlines import RunQueuedAt
from include.orchestration.heartbeat import HeartbeatNotifier
from include.orchestration.parameters import check_parameters
from include.settings import get_settings


def data_intervals(cron: str) -> CronDataIntervalTimetable | None:
    """Return a schedule whose runs each cover the interval that just ended; 'none' means by hand only."""
    return None if cron == "none" else CronDataIntervalTimetable(cron, timezone="UTC")


def asset_or_time(asset: Asset, cron: str) -> AssetOrTimeSchedule | list[Asset]:
    """Return a schedule that runs when the asset is new and at the times of cron; 'none' leaves the asset."""
    if cron == "none":
        return [asset]
    return AssetOrTimeSchedule(timetable=CronTriggerTimetable(cron, timezone="UTC"), assets=[asset])


def dag_defaults(doc: str, cron: str = "none") -> dict[str, Any]:
    """Return the arguments that all DAGs share, and what the UI says of one: from its file's docstring.

    The docstring begins with the DAG's name as a heading and a paragraph of a sentence or two. `cron` is for
    a DAG of asset_or_time(): the UI shows its asset only.
    """
    minutes = get_settings().alert_after_minutes
    heading, summary, *_ = doc.strip().split("\n\n")
    clock = f" Besides by the clock: {cron} (cron, UTC)." if cron != "none" else ""
    return {
        "dag_display_name": heading.removeprefix("### "),
        "description": " ".join(summary.replace("`", "").split()) + clock,
        "doc_md": doc,
        "start_date": pendulum.datetime(2019, 1, 1, tz="UTC"),
        "catchup": False,
        "max_active_runs": 1,
        **({} if in_dags_test() else _told_of(minutes)),
        "default_args": {
            "owner": "data-platform",
            "retries": 2,
            "retry_delay": timedelta(seconds=10),
            "retry_exponential_backoff": True,
            "max_retry_delay": timedelta(minutes=5),
            "on_failure_callback": note_failure,
            "pre_execute": check_parameters,
        },
    }


def in_dags_test() -> bool:
    """Return whether `airflow dags test` reads the DAG: it bears neither a deadline nor a notifier.

    With one, its run ends in a traceback (the deadline's: apache/airflow#73428, open in 3.3.2).
    """
    return sys.argv[1:3] == ["dags", "test"]


def _told_of(minutes: int) -> dict[str, Any]:
    """Return how somebody hears of a run that fails, succeeds or takes longer than so many minutes."""
    return {
        "on_failure_callback": AlertNotifier(),
        "on_success_callback": HeartbeatNotifier(),
        "deadline": _deadline(minutes),
    }


def _deadline(minutes: int) -> DeadlineAlert:
    return DeadlineAlert(
        reference=RunQueuedAt(),
        interval=timedelta(minutes=minutes),
        callback=AsyncCallback(AlertNotifier, {"minutes": minutes}),
    )
