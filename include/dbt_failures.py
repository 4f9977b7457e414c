"""What failed in a dbt command, in the words of dbt and without its paths; knows nothing of Airflow."""

from collections.abc import Iterable

FAILED = {"error", "fail", "runtime error"}


def failures(results: Iterable[tuple[str, str, str | None]]) -> dict[str, str]:
    """Return what dbt said of each node that failed, by its name.

    A result is the node's unique id (type.package.name…), its status and dbt's message, if any.
    """
    return {
        unique_id.split(".")[2]: said_by_dbt(message or status)
        for unique_id, status, message in results
        if status in FAILED
    }


def said_by_dbt(message: str) -> str:
    """Return a message without the heading, the call stack and the paths that dbt puts around it."""
    lines = [line.strip() for line in message.splitlines()]
    body = lines[1:] if len(lines) > 1 and " Error in " in lines[0] else lines
    ends = (
        n for n, line in enumerate(body) if line.startswith((">", "compiled code at", "compiled Code at"))
    )
    return " ".join(filter(None, body[: next(ends, len(body))])).rstrip(".") + "."
