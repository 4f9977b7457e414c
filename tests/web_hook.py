"""A server that takes what is posted to it, as Slack does."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@contextmanager
def web_hook(*statuses: int) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Give the address of a server and what it was sent; it answers with `statuses`, then with 200."""
    received: list[dict[str, Any]] = []
    answers = iter(statuses)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(next(answers, 200))
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/s3cret-path", received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
