"""Makes our deadline known to Airflow's processes."""

from airflow.plugins_manager import AirflowPlugin

from include.orchestration.deadlines import RunQueuedAt


class DeadlinesPlugin(AirflowPlugin):
    """The reference of the deadline that all DAGs have."""

    name = "deadlines"
    deadline_references = [RunQueuedAt]  # noqa: RUF012 (Airflow's own form)
