"""JSON APIs over HTTP: retried, bounded in time and size, numbers exact, no secret in a message."""

import json
import re
import time
from collections.abc import Mapping
from decimal import Decimal
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import requests
from pydantic import SecretStr
from requests.adapters import HTTPAdapter
from urllib3 import BaseHTTPResponse, Retry
from urllib3.connectionpool import ConnectionPool
from urllib3.exceptions import HTTPError, InvalidHeader, MaxRetryError, NewConnectionError, ResponseError
from urllib3.exceptions import TimeoutError as HTTPTimeoutError

MAX_RETRY_AFTER = 30  # seconds waited between two tries; a longer wait postpones the next poll
MAX_PAUSE = 3600  # seconds; a provider that names a longer one is polled again after this
MAX_ANSWER_BYTES = 8 * 1024 * 1024
_CHUNK = 64 * 1024


class FeedError(Exception):
    """A poll that failed.

    `reason` is one of few short names (a metric's label), `retry_after` the seconds the provider asks for.
    """

    def __init__(self, reason: str, message: str, retry_after: float = 0) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_after = retry_after


class _Tries(Retry):
    """Waits as long as Retry-After says, up to a bound; a longer wait ends the tries with the last answer."""

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: BaseHTTPResponse | None = None,
        error: Exception | None = None,
        _pool: ConnectionPool | None = None,
        _stacktrace: TracebackType | None = None,
    ) -> Self:
        if response is not None and (self.get_retry_after(response) or 0) > MAX_RETRY_AFTER:
            raise MaxRetryError(_pool, url or "", ResponseError("Retry-After is too long"))  # type: ignore[arg-type]
        return super().increment(method, url, response, error, _pool, _stacktrace)

    def parse_retry_after(self, retry_after: str) -> float:
        try:
            return super().parse_retry_after(retry_after)
        except InvalidHeader:  # then our own back-off counts
            return 0


class JsonApi:
    """A provider's API, used by one thread at a time; the key travels in a header, so no URL holds it.

    `url_setting` and `key_setting` name the settings in messages. Raises ValueError, naming the setting,
    for a base URL or a key that no request can carry.
    """

    def __init__(
        self,
        base_url: str,
        key: SecretStr | None,
        *,
        key_header: str,
        url_setting: str,
        key_setting: str,
        timeout_seconds: float,
        retries: int,
    ) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url_setting} must be an http:// or https:// address with a host")
        self._base_url = base_url.rstrip("/")
        self._url_setting = url_setting
        self._key_setting = key_setting
        self._timeout = timeout_seconds
        self._retry = _Tries(
            total=retries,
            backoff_factor=0.5,
            backoff_jitter=0.5,
            backoff_max=10,
            status_forcelist=(429, 500, 502, 503, 504),
            respect_retry_after_header=True,
            retry_after_max=MAX_PAUSE,
            raise_on_status=False,
        )
        self._session = requests.Session()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=self._retry))
        self._session.headers.update(
            {"Accept": "application/json", "User-Agent": "marketing-insight-pipeline"}
        )
        self._has_key = key is not None
        if key is not None:
            self._session.headers[key_header] = _header_value(key, key_setting)

    def get(self, path: str, parameters: Mapping[str, str]) -> Any:
        """Return the answer to GET base_url/path; every number in it is a Decimal.

        Takes up to the time-out for each try, and as long again to read the answer. Raises FeedError.
        """
        try:
            with self._session.get(
                f"{self._base_url}/{path}",
                params=parameters,
                timeout=self._timeout,
                stream=True,
                allow_redirects=False,  # a redirect would take the key to another host
            ) as response:
                body = self._read(response)
        except (requests.RequestException, HTTPError, OSError) as error:
            raise _transport_error(error) from error
        if response.status_code != 200:
            raise self._refusal(response, body)
        return _parse(body)

    def _read(self, response: requests.Response) -> bytes:
        deadline = time.monotonic() + self._timeout
        body = bytearray()
        while chunk := response.raw.read1(_CHUNK, decode_content=True):
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                raise FeedError("too_large", f"the answer is larger than {MAX_ANSWER_BYTES} bytes")
            if time.monotonic() > deadline:
                raise FeedError("timeout", f"the answer took longer than {self._timeout:g} s to read")
        return bytes(body)

    def _refusal(self, response: requests.Response, body: bytes) -> FeedError:
        status = response.status_code
        if status in (401, 403):
            complaint = "is refused" if self._has_key else "is not set"
            return FeedError("unauthorized", f"{self._key_setting} {complaint} (HTTP {status}{_code(body)})")
        if 300 <= status < 400:
            return FeedError(
                f"http_{status}",
                f"HTTP {status}: the API has moved; set {self._url_setting} to its new address",
            )
        pause = self._retry.parse_retry_after(response.headers.get("Retry-After", "0"))
        return FeedError(f"http_{status}", f"HTTP {status}{_code(body)}", retry_after=pause)


def _header_value(key: SecretStr, setting: str) -> str:
    value = key.get_secret_value().strip()
    if not re.fullmatch(r"[\x21-\x7e]+", value):
        raise ValueError(f"{setting} holds characters that no key has")
    return value


def _parse(body: bytes) -> Any:
    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        return json.loads(body, parse_float=Decimal, parse_int=Decimal, parse_constant=refuse)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise FeedError("not_json", f"the answer of {len(body)} bytes is no JSON") from error


def _code(body: bytes) -> str:
    """Return the provider's own code for its refusal, if it gives one, to be put behind the HTTP status."""
    try:
        code = _parse(body)["code"]
    except (FeedError, LookupError, TypeError):
        return ""
    return f", {code}" if isinstance(code, str) and re.fullmatch(r"\w{1,40}", code) else ""


def _transport_error(error: Exception) -> FeedError:
    """Say what went wrong below HTTP, without the address that the library's own message holds."""
    wrapped = error.args[0] if error.args else error
    cause = getattr(wrapped, "reason", wrapped)
    timed_out = isinstance(error, requests.Timeout) or isinstance(cause, HTTPTimeoutError | TimeoutError)
    refused = isinstance(cause, NewConnectionError)  # for urllib3 a kind of time-out
    reason = "timeout" if timed_out and not refused else "connection"
    return FeedError(reason, f"{type(error).__name__}: {cause}")
