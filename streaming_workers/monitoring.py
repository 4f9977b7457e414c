"""The monitoring port of a worker: /metrics for Prometheus, /healthz for probes and alerts."""

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from streaming_workers.settings import MonitoringSettings

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

Health = Callable[[], str | None]
"""Returns None while healthy, else the reason in one sentence; called from another thread."""


class MonitoringError(Exception):
    """The port could not be opened; the message says which and why."""


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name in the base class)
        """Log no requests: probes come every few seconds."""


@contextmanager
def monitoring(port: int, health: Health, host: str | None = None) -> Iterator[None]:
    """Serve /metrics and /healthz in a daemon thread until the block ends; port 0 serves nothing.

    /healthz answers 200 `{"healthy": true, "reason": null}` or 503 with the reason that `health` gives.
    The host is METRICS_HOST unless given. Raises MonitoringError where the port cannot be opened.
    """
    if port == 0:
        yield
        return
    host = host or MonitoringSettings().metrics_host
    try:
        server = make_server(host, port, _app(health), ThreadingWSGIServer, handler_class=_QuietHandler)
    except OSError as error:
        raise MonitoringError(f"cannot serve metrics on {host}:{port}: {error.strerror or error}") from error
    thread = threading.Thread(target=server.serve_forever, name="monitoring", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _app(health: Health) -> "WSGIApplication":
    metrics = make_wsgi_app()

    def app(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            return cast("Iterable[bytes]", metrics(environ, start_response))
        if path == "/healthz":
            reason = health()
            body = json.dumps({"healthy": reason is None, "reason": reason})
            return _answer(start_response, "503 Service Unavailable" if reason else "200 OK", body)
        return _answer(start_response, "404 Not Found", json.dumps({"paths": ["/metrics", "/healthz"]}))

    return app


def _answer(start_response: "StartResponse", status: str, body: str) -> Iterable[bytes]:
    content = body.encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(content)))]
    start_response(status, headers)
    return [content]
