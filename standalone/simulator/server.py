"""The HTTP server of the simulated providers, as their two APIs and its own two paths."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from standalone.simulator.providers import FEEDS, Answer, Simulator


class Server(ThreadingHTTPServer):
    """Serves a simulator; port 0 takes a free one."""

    daemon_threads = True  # a slow answer must not keep the process from ending

    def __init__(self, simulator: Simulator, host: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__((host, port), _Handler)
        self.simulator = simulator

    @property
    def url(self) -> str:
        """The address of the server, without a path."""
        return f"http://{self.server_address[0]!s}:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a client that has disconnected; some do not wait for a slow answer."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path == "/_stats":
            self._send(Answer(200, self.server.simulator.stats()))
            return
        feed = next((feed for path, feed in FEEDS.items() if parts.path.endswith(f"/{path}")), None)
        if feed is None:
            self._send(Answer(404, {"error": "not found"}))
            return
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        key = self.headers.get("X-Api-Key", query.get("apiKey", ""))
        self._send(self.server.simulator.answer(feed, query, key))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if self.path != "/_faults":
            self._send(Answer(404, {"error": "not found"}))
            return
        try:
            self.server.simulator.add_faults(**json.loads(body))
        except (ValueError, TypeError) as error:
            self._send(Answer(400, {"error": str(error)}))
            return
        self._send(Answer(200, {"status": "ok"}))

    def _send(self, answer: Answer) -> None:
        body = answer.encoded()
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        if answer.retry_after is not None:
            self.send_header("Retry-After", f"{answer.retry_after:g}")
        try:
            self.end_headers()
            self.wfile.write(body)
        except ConnectionError:  # the client did not wait for a slow answer
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name in the base class)
        """Log no requests: /_stats counts them."""
