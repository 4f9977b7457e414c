"""The consumer process: stores every event of the topics in the warehouse, once.

    python -m streaming_workers.consumer

Ends with 0 after SIGTERM or SIGINT, within 5 s: the batch that is being stored is finished if it can be, all
else is read again by the next consumer. Ends with 2 if a setting cannot be used.
"""

import asyncio
import contextlib
import gc
import logging
import os
import sys
import threading

import structlog

from streaming_workers.consumer.consumer import Consumer
from streaming_workers.consumer.sinks import get_sink
from streaming_workers.logs import configure_logs
from streaming_workers.monitoring import MonitoringError, monitoring
from streaming_workers.settings import ConsumerSettings, KafkaSettings
from streaming_workers.threads import still_working

EXIT_SECONDS = 4.5  # whatever happens: 5 s are allowed

log = structlog.get_logger("streaming_workers.consumer")  # __name__ is __main__


def _collect_garbage_rarely() -> None:
    """Rows are many objects without cycles: the default thresholds cost a fifth of the time."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def _exit_deadline() -> threading.Timer:
    """Return what ends the process EXIT_SECONDS after it is started: a broker may not answer for long."""
    timer = threading.Timer(EXIT_SECONDS, _exit_now)
    timer.daemon = True
    return timer


def _exit_now() -> None:
    """End the process while a thread still works: its transaction is committed or rolled back as a whole."""
    log.warning("stopped without waiting for the warehouse or the broker any longer")
    logging.shutdown()
    os._exit(0)


def main() -> int:
    """Run the process; returns its exit code."""
    configure_logs()
    with contextlib.ExitStack() as stack:
        try:
            settings, kafka = ConsumerSettings(), KafkaSettings()
            kafka.client_arguments()  # a certificate that cannot be read is an error now, not an outage later
            consumer = Consumer(settings, kafka, get_sink(consumer=settings))
            stack.enter_context(monitoring(settings.metrics_port, consumer.health))
        except (ValueError, OSError, MonitoringError) as error:
            log.error("a setting cannot be used", error=str(error))  # noqa: TRY400 (a traceback says no more)
            return 2
        _collect_garbage_rarely()
        deadline = _exit_deadline()
        asyncio.run(consumer.run(deadline))
        deadline.cancel()
        gc.unfreeze()  # or the interpreter leaves things behind, which DuckDB's binding complains of
    if still_working():  # the interpreter must not go away under a thread that is inside the warehouse
        _exit_now()
    return 0


if __name__ == "__main__":
    sys.exit(main())
