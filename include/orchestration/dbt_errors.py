"""What went wrong in a dbt command, in the words of dbt and without its paths."""

import json
from pathlib import Path

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowException

from include.alert_kind import AlertKind

QUARANTINE_TEST = "rejected_share_within_limit"


class DbtNodesFailedError(AirflowException):
    """dbt ended badly; the message names each node that failed and what dbt said of it."""

    def __init__(self, failures: dict[str, str]) -> None:
        super().__init__(" ".join(f"{node}: {said}" for node, said in failures.items()))
        too_many_rejected = any(node.startswith(QUARANTINE_TEST) for node in failures)
        self.alert_kind = AlertKind.QUARANTINE_SHARE if too_many_rejected else AlertKind.RUN_FAILED


def raise_what_failed(project_dir: str, context: Context) -> None:
    """Raise DbtNodesFailedError where dbt's run_results.json names a failed node.

    Cosmos' hook after each dbt command; by itself it would only say that the command failed.
    """
    results = Path(project_dir) / "target" / "run_results.json"
    if not results.exists():  # dbt ended before it ran anything, and has said why
        return
    failures = {
        result["unique_id"].split(".")[2]: _said_by_dbt(result["message"] or result["status"])
        for result in json.loads(results.read_text(encoding="utf-8"))["results"]
        if result["status"] in {"error", "fail", "runtime error"}
    }
    if failures:
        raise DbtNodesFailedError(failures)


def _said_by_dbt(message: str) -> str:
    """Return a message without the heading, the call stack and the paths that dbt puts around it."""
    lines = [line.strip() for line in message.splitlines()]
    body = lines[1:] if len(lines) > 1 and " Error in " in lines[0] else lines
    ends = (
        n for n, line in enumerate(body) if line.startswith((">", "compiled code at", "compiled Code at"))
    )
    return " ".join(filter(None, body[: next(ends, len(body))])).rstrip(".") + "."
