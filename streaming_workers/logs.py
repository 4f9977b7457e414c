"""Logs of the workers: one JSON object a line on stdout, of this code and of the libraries it uses."""

import logging
import logging.config
import sys
import time
from typing import Any

import structlog

REPEAT_SECONDS = 30


class Throttle(logging.Filter):
    """Passes each kind of message once in REPEAT_SECONDS: aiokafka repeats its own 10 times a second."""

    def __init__(self) -> None:
        super().__init__()
        self._last_seen: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is new; records are the same if their text is, before its values."""
        now = time.monotonic()
        kind = (record.name, str(record.msg))
        if now - self._last_seen.get(kind, -REPEAT_SECONDS) < REPEAT_SECONDS:
            return False
        self._last_seen[kind] = now
        return True


def configure_logs(level: str = "INFO") -> None:
    """Send what structlog and the standard library log to stdout, from `level` on."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,  # as text: the structured kind shows local variables
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    logging.config.dictConfig(_handlers(level, shared))


def _handlers(level: str, shared: list[structlog.typing.Processor]) -> dict[str, Any]:
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"throttle": {"()": Throttle}},
        "formatters": {
            "json": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": shared,
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    structlog.processors.JSONRenderer(),
                ],
            }
        },
        "handlers": {
            "stdout": {"class": "logging.StreamHandler", "stream": sys.stdout, "formatter": "json"},
            "libraries": {
                "class": "logging.StreamHandler",
                "stream": sys.stdout,
                "formatter": "json",
                "filters": ["throttle"],
            },
        },
        "root": {"level": level, "handlers": ["stdout"]},
        "loggers": {
            name: {"level": "WARNING", "handlers": ["libraries"], "propagate": False}
            for name in ("aiokafka", "asyncio", "urllib3")
        },
    }
