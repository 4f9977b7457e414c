"""From when a run's deadline counts."""

from datetime import datetime
from typing import Any

from airflow.sdk.definitions.deadline import BaseDeadlineReference, DeadlineReference, deadline_reference
from sqlalchemy import select


@deadline_reference(DeadlineReference.TYPES.DAGRUN_QUEUED)
class RunQueuedAt(BaseDeadlineReference):
    """The moment when a run was queued.

    Instead of DeadlineReference.DAGRUN_QUEUED_AT, with which a run that failed before its deadline cannot be
    cleared: it ends in a TypeError and HTTP 500 (apache/airflow#70368, open in 3.3.2).
    """

    required_kwargs = frozenset({"dag_id", "run_id"})

    def _evaluate_with(self, *, session: Any, dag_id: str, run_id: str) -> datetime | None:
        from airflow.models import DagRun  # noqa: PLC0415 (a DAG file must not import the database's models)

        found: datetime | None = session.scalar(
            select(DagRun.queued_at).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)
        )
        return found
