"""The dead-man's switch: what a successful run sends, and what a silent service does to it."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
from pydantic import SecretStr

from include.orchestration.heartbeat import HeartbeatNotifier, beat
from include.settings import Settings, SettingsError, get_settings


@contextmanager
def switch(*statuses: int) -> Iterator[tuple[str, list[str]]]:
    """Give the address of a service and the paths asked for; it answers with `statuses`, then with 200."""
    asked: list[str] = []
    answers = iter(statuses)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(next(answers, 200))
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/s3cret/{{dag_id}}", asked
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def _fresh_settings() -> Iterator[None]:
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


@pytest.mark.usefixtures("_fresh_settings")
def test_a_successful_run_pings_the_address_of_its_dag(monkeypatch: pytest.MonkeyPatch) -> None:
    with switch() as (url, asked):
        monkeypatch.setenv("HEARTBEAT_URL", url)
        HeartbeatNotifier().notify({"dag": SimpleNamespace(dag_id="shop")})
    assert asked == ["/s3cret/shop"]


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_service_is_asked_once_more(status: int) -> None:
    with switch(status) as (url, asked):
        assert beat("shop", SecretStr(url))
    assert asked == ["/s3cret/shop"] * 2


@pytest.mark.parametrize(("status", "times"), [(503, 3), (404, 1), (302, 1)])
def test_a_ping_that_is_refused_is_in_the_log_without_its_address(
    status: int, times: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG), switch(*[status] * 3) as (url, asked):
        assert not beat("shop", SecretStr(url))
    assert len(asked) == times
    ours = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert ours == [f"The heartbeat of shop could not be sent: HEARTBEAT_URL: it answered {status}"]


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/s3cret/{dag_id}", "no-address/s3cret/{dag_id}"])
def test_a_service_that_is_away_changes_no_run_and_shows_no_secret(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert not beat("shop", SecretStr(url))
    assert "HEARTBEAT_URL" in caplog.text
    assert "s3cret" not in caplog.text


def test_one_address_for_all_dags_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEARTBEAT_URL", "https://host/s3cret")
    with pytest.raises(SettingsError, match="must contain") as refused:
        Settings()
    assert "s3cret" not in str(refused.value)
