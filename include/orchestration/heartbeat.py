"""A dead-man's switch: each successful run pings a service, which raises the alarm when it stays silent.

What sends alerts cannot report its own end; a service outside can. Its address is secret: no message has it.
"""

import logging
from typing import Any

import requests
from airflow.sdk import BaseNotifier
from pydantic import SecretStr
from tenacity import retry, retry_if_exception, stop_after_attempt, wait_exponential

from include.orchestration.alerts import TIMEOUT_SECONDS, is_busy, without_url
from include.settings import get_settings

log = logging.getLogger(__name__)


class HeartbeatNotifier(BaseNotifier):
    """Pings HEARTBEAT_URL for the DAG of a successful run, in the DAG processor.

    It raises nothing: a run's outcome is not its concern, and a missing ping raises the alarm by itself.
    """

    def notify(self, context: Any) -> None:
        """Ping the DAG's address; log where that failed."""
        beat(context["dag"].dag_id, get_settings().heartbeat_url)


def beat(dag_id: str, address: SecretStr | None) -> bool:
    """Ping the address, its {dag_id} filled in; return whether it took the ping, True where there is none."""
    if address is None:
        return True
    try:
        _ping(address.get_secret_value().replace("{dag_id}", dag_id))
    except requests.RequestException as error:
        log.error("The heartbeat of %s could not be sent: HEARTBEAT_URL: %s", dag_id, without_url(error))  # noqa: TRY400
        return False
    return True


@retry(
    retry=retry_if_exception(is_busy), stop=stop_after_attempt(3), wait=wait_exponential(0.25), reraise=True
)
def _ping(url: str) -> None:
    answer = requests.get(url, timeout=TIMEOUT_SECONDS, allow_redirects=False)
    if not 200 <= answer.status_code < 300:
        raise requests.HTTPError(f"it answered {answer.status_code}", response=answer)
