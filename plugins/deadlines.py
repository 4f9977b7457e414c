"""Makes our deadline known to Airflow's processes."""

from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin

from include.deadlines import RunQueuedAt


class DeadlinesPlugin(AirflowPlugin):
    """The reference of the deadline that all DAGs have."""

    name = "deadlines"
    deadline_references: ClassVar[list[Any]] = [RunQueuedAt]
