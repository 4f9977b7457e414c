"""How a dbt command that failed becomes the error of its Airflow task."""

import json
from pathlib import Path

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowException

from include.alert_kind import AlertKind
from include.dbt_failures import failures

QUARANTINE_TEST = "rejected_share_within_limit"


class DbtNodesFailedError(AirflowException):
    """dbt ended badly; the message names each node that failed and what dbt said of it."""

    def __init__(self, failed: dict[str, str]) -> None:
        super().__init__(" ".join(f"{node}: {said}" for node, said in failed.items()))
        too_many_rejected = any(node.startswith(QUARANTINE_TEST) for node in failed)
        self.alert_kind = AlertKind.QUARANTINE_SHARE if too_many_rejected else AlertKind.RUN_FAILED


def raise_what_failed(project_dir: str, context: Context) -> None:
    """Raise DbtNodesFailedError where dbt's run_results.json names a failed node.

    Cosmos' hook after each dbt command; by itself it would only say that the command failed.
    """
    results = Path(project_dir) / "target" / "run_results.json"
    if not results.exists():  # dbt ended before it ran anything, and has said why
        return
    found = json.loads(results.read_text(encoding="utf-8"))["results"]
    failed = failures((one["unique_id"], one["status"], one["message"]) for one in found)
    if failed:
        raise DbtNodesFailedError(failed)
