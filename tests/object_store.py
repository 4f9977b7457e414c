"""A server that speaks S3's protocol on this machine, with the faults that a test asks for."""

import io
import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from moto.s3.models import s3_backends
from werkzeug.serving import make_server

Environ = dict[str, Any]
Answer = tuple[str, list[tuple[str, str]], bytes]

ACCOUNT = "123456789012"  # whose everything is, in moto
NAME, KEY = "test-user", "test-key"
DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


class ObjectStore:
    """One bucket; `requests` has method, path and query of each request so far.

    `fault` sees each request and may answer it itself, wait, or do something once it was answered.
    """

    def __init__(self) -> None:
        self.bucket = f"shop-{uuid4().hex[:8]}"
        self.connection = f"store_{uuid4().hex[:8]}"  # Airflow keeps a store for each connection's name
        self.requests: list[str] = []
        self.fault: Callable[[Environ, Callable[[], Answer]], Answer] | None = None
        self._app = DomainDispatcherApplication(create_backend_app)
        self._backend = s3_backends[ACCOUNT]["aws"]
        self._backend.create_bucket(self.bucket, "us-east-1")

    def uri(self, path: str = "") -> str:
        """Return a path as the product is given it."""
        return f"s3://{self.connection}@{self.bucket}/{path}".rstrip("/")

    def put(self, key: str, content: str | bytes) -> None:
        """Store an object, past all faults."""
        body = content if isinstance(content, bytes) else content.encode()
        self._backend.put_object(self.bucket, key, body)

    def get(self, key: str) -> bytes:
        """Return an object's content, past all faults."""
        found = self._backend.get_object(self.bucket, key)
        assert found is not None, key
        return bytes(found.value)

    def delete(self, key: str) -> None:
        """Remove an object, past all faults."""
        self._backend.delete_object(self.bucket, key)

    def deny(self, *methods: str, key: str = "") -> None:
        """Refuse requests of these methods for keys that hold `key`, as without the permission."""

        def refuse(environ: Environ, answer: Callable[[], Answer]) -> Answer:
            if environ["REQUEST_METHOD"] in methods and key in environ["PATH_INFO"]:
                body = b"" if environ["REQUEST_METHOD"] == "HEAD" else DENIED
                return "403 Forbidden", [("Content-Type", "application/xml")], body
            return answer()

        self.fault = refuse

    def after_reading(self, key: str, change: Callable[[], None]) -> None:
        """Do `change` when the object's content has been read, before the reader has it."""

        def read(environ: Environ, answer: Callable[[], Answer]) -> Answer:
            given = answer()
            if environ["REQUEST_METHOD"] == "GET" and environ["PATH_INFO"].endswith(key):
                self.fault = None
                change()
            return given

        self.fault = read

    @contextmanager
    def silent(self, key: str = "", but_first: Callable[[], None] | None = None) -> Iterator[None]:
        """Answer no request for keys that hold `key` while the block runs, but the one at `but_first`."""
        ended = threading.Event()
        first = [but_first] if but_first else []

        def wait(environ: Environ, answer: Callable[[], Answer]) -> Answer:
            if key not in environ["PATH_INFO"]:
                return answer()
            if first:
                first.pop()()
            else:
                ended.wait()
            return answer()

        self.fault = wait
        try:
            yield
        finally:
            self.fault = None
            ended.set()

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serve a request (WSGI)."""
        query = environ["QUERY_STRING"]
        self.requests.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}?{query}".rstrip("?"))
        length = int(environ.get("CONTENT_LENGTH") or 0)
        environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(length))

        def answer() -> Answer:
            head: list[Any] = []
            body = b"".join(self._app(environ, lambda *given: head.extend(given)))
            return head[0], head[1], body

        status, headers, body = self.fault(environ, answer) if self.fault else answer()
        start_response(status, headers)
        return [body]

    @contextmanager
    def _running(self, patch: pytest.MonkeyPatch) -> Iterator[None]:
        server = make_server("127.0.0.1", 0, self, threaded=True, request_handler=MotoRequestHandler)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        extra = {"endpoint_url": url, "region_name": "us-east-1"}
        patch.setenv(
            f"AIRFLOW_CONN_{self.connection.upper()}",
            json.dumps({"conn_type": "aws", "login": NAME, "password": KEY, "extra": extra}),
        )
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


@contextmanager
def running_store() -> Iterator[ObjectStore]:
    """Start a store with an empty bucket and an Airflow connection to it; both go when the block ends."""
    store = ObjectStore()
    with pytest.MonkeyPatch.context() as patch, store._running(patch):
        yield store
