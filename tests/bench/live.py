"""From the feed to the live view at 500 events a second: alone, and while dbt builds the shop's tables.

A live view reads what the consumer has committed, so an event is in it from its commit on.
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from standalone.sample_data.generator import generate
from streaming_workers.settings import KafkaSettings
from tests.bench.batch import plain_run
from tests.bench.measure import Histogram, Ratio, quantile, settings_in
from tests.bench.streaming import _metrics, _wait_for_rows, consumer, produce
from tests.kafka import running_broker

SETTLING_SECONDS = 5


def bench_live(folder: Path, rate: int = 500, seconds: int = 30, builds: int = 2) -> Iterator[Ratio]:
    """The 99th percentile of the time from producing to the commit, without and with builds beside it."""
    settings = settings_in(folder)
    generate(folder / "data")
    plain_run(settings, folder / "data")  # so that the builds that are measured are like those of every day
    with running_broker(folder) as broker, consumer(broker, settings.duckdb_path) as (_, port):
        kafka = broker.kafka_settings()
        sent = _send(kafka, rate, SETTLING_SECONDS)
        _wait_for_rows(port, sent)
        before = _latencies(port)
        sent += _send(kafka, rate, seconds)
        _wait_for_rows(port, sent)
        alone = _latencies(port)
        with _sending(kafka, rate) as more:
            for _ in range(builds):
                plain_run(settings, folder / "data")
        _wait_for_rows(port, sent + sum(more))
        beside = _latencies(port)
    yield Ratio(
        "feed → live view, p99 in seconds",
        quantile(_between(before, alone), 0.99),
        1.0,
        at_most=True,
        detail=f"from Kafka's time to the commit, {rate} events a second for {seconds} s",
        goal=0.5,
    )
    yield Ratio(
        "feed → live view while dbt builds, p99 in seconds",
        quantile(_between(alone, beside), 0.99),
        3.0,
        at_most=True,
        detail=f"the same during {builds} runs of ingestion and dbt build, {sum(more) // rate} s",
        goal=1.0,
    )


def _send(kafka: KafkaSettings, rate: int, seconds: int) -> int:
    """Produce for so many seconds; return how many events."""
    asyncio.run(produce(kafka, rate * seconds, rate))
    return rate * seconds


@contextmanager
def _sending(kafka: KafkaSettings, rate: int) -> Iterator[list[int]]:
    """Produce for as long as the block takes; the list holds, afterwards, how many events each part had."""
    ended, parts = threading.Event(), list[int]()

    def send() -> None:
        while not ended.is_set():
            parts.append(_send(kafka, rate, SETTLING_SECONDS))

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield parts
    finally:
        ended.set()
        thread.join()


def _latencies(port: int) -> Histogram:
    name = "consumer_event_latency_seconds_bucket"
    return {float(le): count for (sample, le), count in _metrics(port).items() if sample == name}


def _between(before: Histogram, after: Histogram) -> Histogram:
    return {bound: count - before.get(bound, 0) for bound, count in after.items()}
