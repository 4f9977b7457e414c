"""What the stack's client of Airflow's REST API does when the api-server cannot answer at once."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from standalone.airflow_api import TRIES, AirflowApi, AirflowApiError

LOCKED = (500, {"detail": {"reason": "Database error", "statement": "hidden", "orig_error": "hidden"}})
BROKEN = (500, {"detail": "Internal Server Error"})
DONE = (200, {"is_paused": False})


@contextmanager
def api_server(*answers: tuple[int, dict[str, Any]]) -> Iterator[tuple[AirflowApi, list[dict[str, Any]]]]:
    """Serve a login and then these answers; yield a client of it and the bodies that it was sent."""
    left, bodies = list(answers), list[dict[str, Any]]()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, answer = 201, {"access_token": "a"}
            if self.path != "/auth/token":
                bodies.append(body)
                status, answer = left.pop(0)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        do_PATCH = do_POST  # noqa: N815 (the library's own form)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever).start()
        try:
            yield AirflowApi(f"http://127.0.0.1:{server.server_port}", "admin", "secret"), bodies
        finally:
            server.shutdown()


def test_a_request_that_found_airflows_database_locked_is_made_again() -> None:
    with api_server(LOCKED, LOCKED, DONE) as (api, bodies):
        api.set_paused("marketing_pipeline", paused=False)
    assert bodies == [{"is_paused": False}] * 3


@pytest.mark.parametrize(("answer", "tries"), [(LOCKED, TRIES), (BROKEN, 1)], ids=["locked", "broken"])
def test_a_request_that_stays_refused_says_so(answer: tuple[int, dict[str, Any]], tries: int) -> None:
    refused = pytest.raises(AirflowApiError, match="PATCH /api/v2/dags/marketing_pipeline: 500")
    with api_server(*[answer] * tries) as (api, bodies), refused:
        api.set_paused("marketing_pipeline", paused=False)
    assert len(bodies) == tries
