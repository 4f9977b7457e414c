"""The producer as a process of its own, and what it left in the topics."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import ConsumerRecord

from tests.conftest import PROJECT_ROOT
from tests.streaming_workers.feed_server import KEY


class ProducerProcess:
    """`python -m streaming_workers.producer` with its log."""

    def __init__(self, log: Path, env: dict[str, str]) -> None:
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "streaming_workers.producer"],
                cwd=PROJECT_ROOT,
                env={"PATH": os.environ["PATH"], **env},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def lines(self) -> list[dict[str, Any]]:
        """Return the log so far; every line must be JSON."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def said(self, event: str) -> list[dict[str, Any]]:
        """Return the log's lines of one kind."""
        return [line for line in self.lines() if line["event"] == event]

    def stop(self) -> tuple[int, float]:
        """Send SIGTERM; return the exit code and the seconds it took."""
        start = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=20), time.monotonic() - start


@contextmanager
def running_producer(tmp_path: Path, url: str, brokers: str, **changes: str) -> Iterator[ProducerProcess]:
    """Give a producer with short intervals; afterwards it has ended, and no secret is in its log."""
    env = {
        "KAFKA_BOOTSTRAP_SERVERS": brokers,
        "COINGECKO_URL": f"{url}/api/v3",
        "COINGECKO_COINS": "bitcoin,ethereum",
        "NEWSAPI_URL": f"{url}/v2",
        "NEWSAPI_KEY": KEY,
        "PRICE_INTERVAL_SECONDS": "0.2",
        "NEWS_INTERVAL_SECONDS": "0.3",
        "HTTP_RETRIES": "0",
        "PRODUCER_METRICS_PORT": "0",
        **changes,
    }
    producer = ProducerProcess(tmp_path / "producer.log", env)
    try:
        yield producer
    finally:
        producer.process.kill()
        producer.process.wait()
    assert KEY not in producer.log.read_text()


def read_topic(brokers: str, topic: str) -> list[ConsumerRecord]:
    """Return every message of a topic."""
    return asyncio.run(_read_topic(brokers, topic))


async def _read_topic(brokers: str, topic: str) -> list[ConsumerRecord]:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=brokers, auto_offset_reset="earliest")
    await consumer.start()
    try:
        ends = await consumer.end_offsets(consumer.assignment())
        records: list[ConsumerRecord] = []
        while any([await consumer.position(partition) < end for partition, end in ends.items()]):
            for batch in (await consumer.getmany(timeout_ms=200)).values():
                records.extend(batch)
        return records
    finally:
        await consumer.stop()
