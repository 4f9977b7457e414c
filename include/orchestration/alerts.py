"""Alerts of all DAGs: which run failed or is late, why, and where its log is.

Each goes to the log and, where the settings name one, to a webhook, to Slack and to e-mail. An error may
quote a customer's row or a path, so the reason stays in the log unless ALERT_INCLUDE_REASON lets it go out,
and then without values. `python -m include.orchestration.alerts` sends an alert to try the channels.
"""

import asyncio
import html
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import requests
from airflow.sdk import BaseNotifier
from airflow.sdk.log import redact  # type: ignore[attr-defined]
from tenacity import retry, retry_if_exception, stop_after_attempt, wait_exponential

from include.alert_kind import AlertKind
from include.orchestration.ui import address_of
from include.settings import Settings, get_settings, run_command

log = logging.getLogger(__name__)

FAILURE = "failure"  # XCom of a failed task: what its alert says
TRUST = "insights/#section-trust"  # the part of the page that an alert leads to
LONGEST_REASON = 600  # characters
# Airflow stops a callback together with the DAG file that it belongs to, after 50 s.
TIMEOUT_SECONDS = 5
BUSY = {429, 500, 502, 503, 504}
# What of a reason may belong to a person, a place or a key: what stands in quotes, addresses, paths, numbers.
VALUE = re.compile(r"""\b\w+://\S+|[\w.+-]+@[\w.-]+|"[^"]*"|(?<!\w)'[^']*'|(?<![\w.])~?/\S+|\d{5,}""")


@dataclass(frozen=True)
class Alert:
    """What people and programs are told; as JSON, the payload of the webhook.

    `kind` holds one AlertKind, or several with commas. `task_id` is the task that failed first, None where
    none did; `url` leads to its log, else to the run. `reason` is None where it may not leave, `insights_url`
    (the page, where it says what can be trusted) unless the settings ask for it.
    """

    kind: str
    dag_id: str
    run_id: str
    task_id: str | None
    reason: str | None
    url: str
    failed_tasks: int = 0
    insights_url: str | None = None

    @property
    def subject(self) -> str:
        """Return it in a few words."""
        return f"[{self.kind}] DAG {self.dag_id}"

    @property
    def text(self) -> str:
        """Return it in one line."""
        task = f", task {self.task_id}" if self.task_id else ""
        reason = f" {self.reason}" if self.reason else ""
        others = f" Failed tasks: {self.failed_tasks}." if self.failed_tasks > 1 else ""
        insights = f" Insights: {self.insights_url}" if self.insights_url else ""
        return f"{self.subject}, run {self.run_id}{task}:{reason}{others} {self.url}{insights}"


class AlertNotifier(BaseNotifier):
    """Tells that a run failed (in the DAG processor) or is late (`minutes` given; in the triggerer).

    It raises nothing: what could not be sent is in the log, and a run's outcome is not its concern.
    """

    def __init__(self, minutes: int = 0, context: Any = None) -> None:
        super().__init__(context=context)
        self.minutes = minutes

    def notify(self, context: Any) -> None:
        """Send one alert for a failed run, however many of its tasks failed."""
        send(failed_run(context))

    async def async_notify(self, context: Any) -> None:
        """Send an alert for a late run."""
        alert = late_run(context["dag_run"], self.minutes)
        await asyncio.to_thread(send, alert)


def late_run(run: Mapping[str, Any], minutes: int) -> Alert:
    """Return the alert for a run, given as the REST API shows it, that has missed its deadline."""
    dag_id, run_id = run["dag_id"], run["dag_run_id"]
    reason = f"The run takes longer than {minutes} minutes."
    return Alert(AlertKind.DEADLINE_MISSED, dag_id, run_id, None, reason, _run_url(dag_id, run_id))


def failed_run(context: Mapping[str, Any]) -> Alert:
    """Return the alert for a failed run, from the context of a DAG's callback."""
    dag, run_id = context["dag"], context["run_id"]
    try:
        labels = sorted(_failed_tasks(dag.dag_id, run_id))
        noted = sorted(_noted(dag, run_id, labels), key=lambda failure: failure["failed_at"])
    except Exception:  # Airflow may not answer; the alert has to leave all the same
        log.exception("Why the run %s of %s failed could not be looked up", run_id, dag.dag_id)
        labels, noted = [], []
    if noted:
        first = noted[0]
        return Alert(
            first["kind"], dag.dag_id, run_id, first["task_id"], first["reason"], first["url"], len(labels)
        )
    # A task that was killed notes nothing.
    return Alert(
        AlertKind.RUN_FAILED,
        dag.dag_id,
        run_id,
        labels[0] if labels else None,
        "It ended without giving a reason." if labels else f"Airflow says: {context.get('reason')}.",
        _run_url(dag.dag_id, run_id),
        len(labels),
    )


def note_failure(context: Any) -> None:
    """Keep why a task failed, for the alert of its run; Airflow's callback of every failed task."""
    ti, error = context["ti"], context.get("exception")
    failure = {
        "kind": str(getattr(error, "alert_kind", AlertKind.RUN_FAILED)),
        "task_id": ti.task_id,
        "reason": _sentence(error) if error else "It ended without giving a reason.",
        "url": ti.log_url,
        "failed_at": datetime.now(UTC).isoformat(),
    }
    ti.xcom_push(key=FAILURE, value=failure)


def _sentence(error: object) -> str:
    """Return an error's message in one line, without the secrets that Airflow knows."""
    words = " ".join(str(redact(str(error))).split()) or type(error).__name__
    return words if len(words) <= LONGEST_REASON else f"{words[:LONGEST_REASON]} …"


def _failed_tasks(dag_id: str, run_id: str) -> Iterator[str]:
    """Yield the failed tasks; Airflow appends _ and its number to a mapped one."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance  # noqa: PLC0415 (slow)

    states = RuntimeTaskInstance.get_task_states(dag_id=dag_id, run_ids=[run_id])
    yield from (label for label, state in states.get(run_id, {}).items() if state == "failed")


def _noted(dag: Any, run_id: str, labels: list[str]) -> Iterator[dict[str, Any]]:
    from airflow.sdk.execution_time.xcom import XCom  # noqa: PLC0415

    for label in labels:
        task_id, _, number = (label, "", "-1") if label in dag.task_dict else label.rpartition("_")
        found = XCom.get_one(
            key=FAILURE, dag_id=dag.dag_id, task_id=task_id, run_id=run_id, map_index=int(number)
        )
        if found:
            yield found


def _run_url(dag_id: str, run_id: str) -> str:
    return address_of(f"dags/{dag_id}/runs/{quote(run_id)}")


def send(alert: Alert, settings: Settings | None = None) -> list[str]:
    """Log the alert and send it wherever the settings say; return the channels that failed, which are logged.

    One that fails keeps no other from being tried. No message holds a URL, which is a secret here.
    """
    log.error("%s", alert.text)
    settings = settings or get_settings()
    outgoing = replace(
        alert,
        reason=_without_values(alert.reason) if settings.alert_include_reason else None,
        insights_url=address_of(TRUST) if settings.alert_include_insights else None,
    )
    failed = []
    for name, deliver in _channels(settings):
        try:
            deliver(outgoing)
        except Exception as error:  # noqa: BLE001 (a run's outcome must not depend on a mail server)
            log.error("The alert could not be sent: %s: %s", name, without_url(error))  # noqa: TRY400
            failed.append(name)
    return failed


def _without_values(reason: str | None) -> str | None:
    return VALUE.sub("…", reason) if reason else None


def _channels(settings: Settings) -> Iterator[tuple[str, Callable[[Alert], None]]]:
    if webhook := settings.alert_webhook_url:
        yield (
            "ALERT_WEBHOOK_URL",
            lambda alert: _post(webhook.get_secret_value(), {**asdict(alert), "text": alert.text}),
        )
    if slack := settings.alert_slack_webhook_url:
        yield (
            "ALERT_SLACK_WEBHOOK_URL",
            lambda alert: _post(slack.get_secret_value(), {"text": html.escape(alert.text, quote=False)}),
        )
    if settings.alert_email_to:
        yield "ALERT_EMAIL_TO", lambda alert: _mail(settings.alert_email_to, alert)


def is_busy(error: BaseException) -> bool:
    """Return whether a request that failed may succeed when it is repeated."""
    if isinstance(error, requests.HTTPError):
        return error.response.status_code in BUSY
    return isinstance(error, requests.ConnectionError | requests.Timeout)


# Not urllib3's own retries, which log the URL's path.
@retry(
    retry=retry_if_exception(is_busy), stop=stop_after_attempt(3), wait=wait_exponential(0.25), reraise=True
)
def _post(url: str, payload: dict[str, Any]) -> None:
    answer = requests.post(url, json=payload, timeout=TIMEOUT_SECONDS, allow_redirects=False)
    if not 200 <= answer.status_code < 300:
        raise requests.HTTPError(f"it answered {answer.status_code}", response=answer)


def _mail(recipients: str, alert: Alert) -> None:
    """Send an e-mail through the Airflow connection `smtp_default`, whose extra may name `from_email`."""
    from airflow.providers.smtp.hooks.smtp import SmtpHook  # noqa: PLC0415 (slow, and mostly not needed)

    addresses = [address.strip() for address in recipients.split(",")]
    body = f"<p>{html.escape(alert.text)}</p>"
    with SmtpHook() as smtp:
        smtp.send_email_smtp(to=addresses, subject=alert.subject, html_content=body)


def without_url(error: Exception) -> str:
    """Return what went wrong; an error of requests holds the URL, but for the answer's status."""
    if isinstance(error, requests.HTTPError):
        return str(error)
    if isinstance(error, requests.RequestException):
        return "no http(s) address" if isinstance(error, ValueError) else type(error).__name__
    return _sentence(error)


def main() -> int:
    """Send an alert that means nothing; return 1 where a channel failed."""
    trial = Alert(AlertKind.TEST, "none", "none", None, "This tries the alerts.", _run_url("none", "none"))
    return 1 if send(trial) else 0


if __name__ == "__main__":
    logging.basicConfig(level="INFO", format="%(message)s")
    run_command(main)
