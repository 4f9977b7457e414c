"""What people are told when a run fails or is late, and by which way it reaches them."""

import asyncio
import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.xcom import XCom
from airflow.sdk.log import mask_secret

from include.alert_kind import AlertKind
from include.ingestion.quality import RawTablesError
from include.orchestration import alerts
from include.orchestration.alerts import Alert, AlertNotifier, failed_run, note_failure, send
from include.settings import Settings
from ml.retraining import GateFailedError
from streaming_workers.gate import Finding, StreamsNotReadyError
from tests.machine import free_port
from tests.mail_server import Mails, mail_server
from tests.web_hook import web_hook

ALERT = Alert("lag", "streaming_marts", "run-1", "gate", "Too much waits <here>.", "http://ui/log", 1)


@pytest.fixture
def mails(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mails]:
    """What a mail server gets, which the Airflow connection smtp_default leads to."""
    with mail_server() as (connection, received):
        monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", connection)
        yield received


class FailedTask:
    """A task instance of a run, as far as the callbacks read it."""

    def __init__(self, task_id: str) -> None:
        self.task_id = task_id
        self.log_url = f"http://ui/dags/shop/runs/r/tasks/{task_id}"
        self.pushed: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = value

    def fail(self, error: BaseException) -> "FailedTask":
        note_failure({"ti": self, "exception": error})
        return self


@pytest.fixture
def run_of(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the context of the callback of a run in which these tasks failed."""

    def make(*failed: FailedTask, reason: str = "task_failure") -> dict[str, Any]:
        by_id = {task.task_id: task for task in failed}
        states = {"r": {**dict.fromkeys(by_id, "failed"), "publish": "upstream_failed", "start": "success"}}
        monkeypatch.setattr(task_runner.RuntimeTaskInstance, "get_task_states", lambda **_: states)
        monkeypatch.setattr(
            XCom, "get_one", lambda *, task_id, **_: by_id[task_id].pushed.get(alerts.FAILURE)
        )
        dag = SimpleNamespace(dag_id="shop", task_dict={**by_id, "publish": None, "start": None})
        return {"dag": dag, "run_id": "r", "reason": reason}

    return make


def test_a_failed_run_is_one_alert_that_says_why_and_where_to_look(run_of: Any) -> None:
    """The task that failed first, not the last nor the first by name."""
    first = FailedTask("transform").fail(ValueError("Amounts do not\nadd up."))
    later = FailedTask("a_node").fail(ValueError("The node was not built."))

    alert = failed_run(run_of(later, first))

    assert (alert.kind, alert.dag_id, alert.run_id, alert.task_id) == ("run_failed", "shop", "r", "transform")
    assert alert.reason == "Amounts do not add up."
    assert alert.url == first.log_url
    assert alert.text == (
        "[run_failed] DAG shop, run r, task transform: Amounts do not add up. Failed tasks: 2. "
        "http://ui/dags/shop/runs/r/tasks/transform"
    )


FRESHNESS = Finding(AlertKind.FRESHNESS, "The newest price is old.")
LAG = Finding(AlertKind.LAG, "Too many messages wait.")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RuntimeError("Something else."), "run_failed"),
        (RawTablesError("raw.customers holds 3 rows, its ledger says 4."), "gate_failed"),
        (GateFailedError("silhouette is 0.1, must be at least 0.2."), "gate_failed"),
        (StreamsNotReadyError([FRESHNESS]), "freshness"),
        (StreamsNotReadyError([LAG]), "lag"),
        (StreamsNotReadyError([FRESHNESS, LAG, FRESHNESS]), "freshness,lag"),
    ],
    ids=str,
)
def test_an_alert_says_what_kind_it_is(run_of: Any, error: Exception, kind: str) -> None:
    assert failed_run(run_of(FailedTask("gate").fail(error))).kind == kind


def test_a_task_that_was_killed_leaves_an_alert_all_the_same(run_of: Any) -> None:
    alert = failed_run(run_of(FailedTask("fit")))

    assert alert.task_id == "fit"
    assert "without giving a reason" in str(alert.reason)
    assert alert.url.endswith("/dags/shop/runs/r")


def test_an_airflow_that_does_not_answer_stops_no_alert(
    run_of: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    context = run_of(reason="timed_out")

    def refuse(**_: object) -> None:
        raise ConnectionError("gone")

    monkeypatch.setattr(task_runner.RuntimeTaskInstance, "get_task_states", refuse)

    assert failed_run(context).reason == "Airflow says: timed_out."
    assert "could not be looked up" in caplog.text


def test_secrets_stay_out_of_the_reason(run_of: Any) -> None:
    mask_secret("pa55-of-the-warehouse")

    alert = failed_run(run_of(FailedTask("gate").fail(ValueError("login with pa55-of-the-warehouse failed"))))

    assert alert.reason == "login with *** failed"


def test_a_long_reason_is_cut(run_of: Any) -> None:
    alert = failed_run(run_of(FailedTask("gate").fail(ValueError("word " * 1000))))

    assert len(alert.text) < 1000


def test_the_reason_does_not_go_out_unless_it_is_let(mails: Mails, caplog: pytest.LogCaptureFixture) -> None:
    """It may quote a customer's row; the log on this machine has it."""
    with web_hook() as (url, posted), web_hook() as (slack_url, to_slack):
        settings = Settings(
            alert_webhook_url=url, alert_slack_webhook_url=slack_url, alert_email_to="a@shop.org"
        )
        assert send(ALERT, settings) == []

    assert posted[0]["reason"] is None
    text = "[lag] DAG streaming_marts, run run-1, task gate: http://ui/log"
    assert posted[0]["text"] == text
    assert to_slack == [{"text": text}]
    body = mails[0][1].get_body()
    assert body is not None
    assert "Too much" not in body.get_content()
    assert ALERT.text in caplog.text


@pytest.mark.parametrize(
    ("reason", "sent"),
    [
        (
            'customerid "17850" is no number; for example "Zoë Müller".',
            "customerid … is no number; for example ….",
        ),
        (
            "No file for customers in /srv/shop/inbox: expected one.",
            "No file for customers in … expected one.",
        ),
        ("s3://conn@bucket/x cannot be read.", "… cannot be read."),
        ("Ask jo.doe@shop.example about customer 17850.", "Ask … about customer …."),
        (
            "2657 of 52924 rows are rejected, more than 0.05 allows.",
            "2657 of … rows are rejected, more than 0.05 allows.",
        ),
        ("The model's share isn't in its limits.", "The model's share isn't in its limits."),
    ],
)
def test_a_reason_that_is_let_out_holds_no_values(reason: str, sent: str) -> None:
    with web_hook() as (url, posted):
        send(replace(ALERT, reason=reason), Settings(alert_webhook_url=url, alert_include_reason=True))
    assert posted[0]["reason"] == sent


def test_every_channel_of_the_settings_gets_the_alert(mails: Mails, caplog: pytest.LogCaptureFixture) -> None:
    with web_hook() as (url, posted), web_hook() as (slack_url, to_slack):
        settings = Settings(
            alert_webhook_url=url,
            alert_slack_webhook_url=slack_url,
            alert_email_to="a@shop.org, b@shop.org",
            alert_include_reason=True,
        )
        assert send(ALERT, settings) == []

    (payload,) = posted
    assert payload == {
        "kind": "lag",
        "dag_id": "streaming_marts",
        "run_id": "run-1",
        "task_id": "gate",
        "reason": "Too much waits <here>.",
        "url": "http://ui/log",
        "failed_tasks": 1,
        "insights_url": None,
        "text": ALERT.text,
    }
    assert to_slack == [{"text": ALERT.text.replace("<here>", "&lt;here&gt;")}], "a link to Slack otherwise"
    [(recipients, mail)] = mails
    assert recipients == ["a@shop.org", "b@shop.org"]
    assert mail["subject"] == "[lag] DAG streaming_marts"
    body = mail.get_body()
    assert body is not None
    assert "Too much waits &lt;here&gt;. http://ui/log" in body.get_content()
    assert ALERT.text in caplog.text


def test_an_alert_leads_to_the_insights_where_the_settings_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://shop.org/airflow/")
    with web_hook() as (url, posted):
        send(ALERT, Settings(alert_webhook_url=url, alert_include_insights=True))
    assert posted[0]["insights_url"] == "https://shop.org/airflow/insights/#section-trust"
    assert posted[0]["text"].endswith(
        "http://ui/log Insights: https://shop.org/airflow/insights/#section-trust"
    )


def test_a_hook_that_is_busy_is_asked_again() -> None:
    with web_hook(503, 429) as (url, posted):
        assert send(ALERT, Settings(alert_webhook_url=url)) == []
    assert len(posted) == 3


def test_a_channel_that_fails_is_logged_without_its_url_and_stops_no_other(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address of a hook is a secret: whoever knows it can write there."""
    nobody = f"http://127.0.0.1:{free_port()}/s3cret-path"
    extra = {"disable_ssl": True, "disable_tls": True, "from_email": "a@shop.org", "retry_limit": 0}
    connection = {"conn_type": "smtp", "host": "127.0.0.1", "port": free_port(), "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", json.dumps(connection))
    with web_hook() as (slack_url, to_slack):
        failed = send(
            ALERT,
            Settings(
                alert_webhook_url=nobody, alert_slack_webhook_url=slack_url, alert_email_to="a@shop.org"
            ),
        )
    assert failed == ["ALERT_WEBHOOK_URL", "ALERT_EMAIL_TO"]
    assert len(to_slack) == 1
    assert "The alert could not be sent: ALERT_WEBHOOK_URL: ConnectionError" in caplog.text
    assert "The alert could not be sent: ALERT_EMAIL_TO: " in caplog.text
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize(
    ("hook", "said"), [(404, "it answered 404"), (302, "it answered 302"), ("s3cret", "no http(s) address")]
)
def test_a_refused_alert_says_so(hook: int | str, said: str, caplog: pytest.LogCaptureFixture) -> None:
    with web_hook(*[hook] if isinstance(hook, int) else []) as (url, _):
        send(ALERT, Settings(alert_webhook_url=url if isinstance(hook, int) else hook))
    assert f"ALERT_WEBHOOK_URL: {said}" in caplog.text
    assert "s3cret" not in caplog.text


def test_a_late_run_is_told_of_from_the_triggerer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Airflow awaits the notifier there, with the run as the REST API shows it."""

    async def deadline_missed(url: str) -> None:
        settings = Settings(alert_webhook_url=url, alert_include_reason=True)
        monkeypatch.setattr(alerts, "get_settings", lambda: settings)
        await AlertNotifier(minutes=60, context={"dag_run": {"dag_id": "shop", "dag_run_id": "r"}})

    with caplog.at_level(logging.ERROR), web_hook() as (url, posted):
        asyncio.run(deadline_missed(url))
    (payload,) = posted
    assert (payload["kind"], payload["dag_id"], payload["run_id"]) == ("deadline_missed", "shop", "r")
    assert payload["reason"] == "The run takes longer than 60 minutes."
    assert payload["text"] in caplog.text


def test_an_alert_is_tried_without_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    with web_hook() as (url, posted):
        monkeypatch.setattr(alerts, "get_settings", lambda: Settings(alert_webhook_url=url))
        assert alerts.main() == 0
    assert posted[0]["kind"] == "test"
