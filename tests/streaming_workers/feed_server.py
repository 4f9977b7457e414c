"""The simulator for tests, and providers whose answers a test writes itself."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standalone.simulator.providers import Simulator
from standalone.simulator.server import Server
from streaming_workers.settings import ProducerSettings

KEY = "s3cr3t-key-of-the-news"


@contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[None]:
    """Serve in a thread until the block ends."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def running_simulator(**options: Any) -> Iterator[tuple[Simulator, str]]:
    """Give a simulator and its address."""
    simulator = Simulator(**options)
    server = Server(simulator)
    with serving(server):
        yield simulator, server.url


@contextmanager
def provider_that_says(
    body: bytes, status: int = 200, *, byte_seconds: float = 0, **headers: str
) -> Iterator[str]:
    """Give the address of a server that answers everything with the same body, at once or byte by byte."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            with suppress(ConnectionError):  # who asked has gone
                for piece in [bytes([byte]) for byte in body] if byte_seconds else [body]:
                    self.wfile.write(piece)
                    time.sleep(byte_seconds)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with serving(server):
        yield f"http://127.0.0.1:{server.server_port}"


def settings_for(url: str, **changes: Any) -> ProducerSettings:
    """Return settings that lead to a server, with quick retries."""
    return ProducerSettings.model_validate(
        {
            "coingecko_url": f"{url}/api/v3",
            "newsapi_url": f"{url}/v2",
            "newsapi_key": KEY,
            "http_timeout_seconds": 5,
            "http_retries": 1,
            **changes,
        }
    )


def article(**changes: Any) -> dict[str, Any]:
    """Return a good article as NewsAPI gives it, with changes."""
    return {
        "source": {"id": None, "name": "Reuters"},
        "author": "A. Writer",
        "title": "Gold holds",
        "description": "It did.",
        "url": "https://news.example/1",
        "publishedAt": "2026-01-02T03:04:05Z",
        **changes,
    }


def page(*articles: Any) -> bytes:
    """Return NewsAPI's answer with these articles."""
    return json.dumps({"status": "ok", "totalResults": len(articles), "articles": articles}).encode()
