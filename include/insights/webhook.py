"""A signed webhook, by Standard Webhooks (https://www.standardwebhooks.com): id, time stamp, signature."""

import base64
import binascii
import hashlib
import hmac
import json
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import requests
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from include.orchestration.alerts import is_busy, without_url
from include.settings import Settings

ATTEMPTS = 5
TIMEOUT_SECONDS = 10
LOCAL = {"localhost", "127.0.0.1", "::1"}


class WebhookError(Exception):
    """A message was not taken; the message says why, without the address, which is a secret."""


@dataclass(frozen=True)
class Webhook:
    """Where messages go; the receiver proves them with the same secret."""

    url: str = field(repr=False)
    secret: bytes = field(repr=False)
    first_wait_seconds: float = 1.0

    @classmethod
    def of(cls, settings: Settings) -> "Webhook | None":
        """Return the webhook of the settings, if there is one. Raises WebhookError for a bad setting."""
        if settings.audiences_webhook_url is None:
            return None
        url = settings.audiences_webhook_url.get_secret_value()
        parts = urlsplit(url)
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOCAL):
            raise WebhookError("AUDIENCES_WEBHOOK_URL must be an https address: customers' data goes there.")
        if settings.audiences_webhook_secret is None:
            raise WebhookError("AUDIENCES_WEBHOOK_SECRET is not set: without it nobody can prove a message.")
        return cls(url, _key(settings.audiences_webhook_secret.get_secret_value()))

    def send(self, kind: str, data: dict[str, Any]) -> None:
        """Send a message and return when it was taken (2xx); a busy receiver is asked up to five times.

        The same data has the same `webhook-id`, so that a receiver knows a repetition. Raises WebhookError.
        """
        key = hashlib.sha256(_json({"type": kind, "data": data})).hexdigest()
        moment = int(time.time())
        body = _json({"type": kind, "timestamp": moment, "data": data})
        retrying = Retrying(
            retry=retry_if_exception(is_busy),
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_exponential_jitter(self.first_wait_seconds, max=60, jitter=self.first_wait_seconds),
            reraise=True,
        )
        try:
            retrying(self._post, f"msg_{key[:32]}", moment, body)
        except requests.RequestException as error:
            raise WebhookError(
                f"The audiences' webhook did not take a message: {without_url(error)}."
            ) from None

    def _post(self, key: str, moment: int, body: bytes) -> None:
        headers = {
            "content-type": "application/json",
            "webhook-id": key,
            "webhook-timestamp": str(moment),
            "webhook-signature": signature(self.secret, key, moment, body),
        }
        answer = requests.post(
            self.url, data=body, headers=headers, timeout=TIMEOUT_SECONDS, allow_redirects=False
        )
        if not 200 <= answer.status_code < 300:
            raise requests.HTTPError(f"it answered {answer.status_code}", response=answer)


def signature(secret: bytes, key: str, moment: int, body: bytes) -> str:
    """Return the signature of a message: HMAC-SHA256 over id, time stamp and body."""
    signed = b".".join([key.encode(), str(moment).encode(), body])
    return "v1," + base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()


def _key(secret: str) -> bytes:
    """Return the key of a secret: whsec_ and 24 to 64 bytes in base64."""
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        key = b""
    if not 24 <= len(key) <= 64:
        raise WebhookError("AUDIENCES_WEBHOOK_SECRET must be whsec_ and 24 to 64 bytes in base64.")
    return key


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()
