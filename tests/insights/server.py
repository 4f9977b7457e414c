"""The page served by itself, without Airflow: as a person who may see everything."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from include.insights.web import Reader, create_app
from include.settings import Settings
from tests.machine import free_port


@contextmanager
def served(settings: Settings, exports: list[str] | None = None) -> Iterator[str]:
    """Serve the page on a free port of this machine; give its address. `exports` gets what was recorded."""
    recorded = [] if exports is None else exports
    app = create_app(
        lambda: Reader("tester", may_export=True), lambda _who, what: recorded.append(what), lambda: settings
    )
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server ended"
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.should_exit = True
        thread.join()
