"""A mail server that keeps what it is sent."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller

from tests.machine import free_port

Mails = list[tuple[list[str], EmailMessage]]  # recipients and message


@contextmanager
def mail_server() -> Iterator[tuple[str, Mails]]:
    """Give the Airflow connection of a server, as JSON, and what the server got."""
    received: Mails = []

    class Handler:
        async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
            parsed = message_from_bytes(envelope.content, policy=policy.default)
            assert isinstance(parsed, EmailMessage)
            received.append((envelope.rcpt_tos, parsed))
            return "250 OK"

    port = free_port()
    controller = Controller(Handler(), hostname="127.0.0.1", port=port)
    controller.start()
    extra = {"disable_ssl": True, "disable_tls": True, "from_email": "airflow@example.org"}
    try:
        yield json.dumps({"conn_type": "smtp", "host": "127.0.0.1", "port": port, "extra": extra}), received
    finally:
        controller.stop()
