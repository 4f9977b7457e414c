"""The producer process: polls the feeds on a schedule and sends what is new to Kafka.

    python -m streaming_workers.producer

Ends with 0 after SIGTERM or SIGINT (within 5 s, whatever the broker or a feed does), with 2 if a setting
cannot be used.
"""

import asyncio
import contextlib
import sys

import structlog

from streaming_workers.logs import configure_logs
from streaming_workers.monitoring import MonitoringError, monitoring
from streaming_workers.producer.producer import Producer
from streaming_workers.settings import KafkaSettings, ProducerSettings

log = structlog.get_logger("streaming_workers.producer")  # __name__ is __main__


def main() -> int:
    """Run the process; returns its exit code."""
    configure_logs()
    with contextlib.ExitStack() as stack:
        try:
            settings, kafka = ProducerSettings(), KafkaSettings()
            kafka.client_arguments()  # a certificate that cannot be read is an error now, not an outage later
            producer = Producer(settings, kafka)
            stack.enter_context(monitoring(settings.producer_metrics_port, producer.health))
        except (ValueError, OSError, MonitoringError) as error:
            log.error("a setting cannot be used", error=str(error))  # noqa: TRY400 (a traceback says no more)
            return 2
        asyncio.run(producer.run())
    return 0


if __name__ == "__main__":
    sys.exit(main())
