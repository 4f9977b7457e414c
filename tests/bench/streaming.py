"""The streaming product on a real broker: how quickly a backlog drains, how late events are, which memory."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import duckdb
import psutil
import requests
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from prometheus_client.parser import text_string_to_metric_families

from include.settings import DBT_PROJECT_DIR, PROJECT_ROOT, Settings
from standalone.environment import VENV_BIN, airflow_environment
from streaming_workers.events import PRICES_TOPIC, STREAMS
from streaming_workers.settings import KafkaSettings
from streaming_workers.topics import ensure_topics
from tests.bench.measure import Ratio
from tests.kafka import Broker, running_broker
from tests.machine import free_port

MIB = 1 << 20
EVENT_BYTES = 1024
ROUNDS = 5
TABLE = STREAMS[PRICES_TOPIC].table
BARE_LOOP = """
import asyncio, json, sys
from aiokafka import AIOKafkaConsumer, TopicPartition

async def main(servers, topic, partitions, wanted):
    consumer = AIOKafkaConsumer(bootstrap_servers=servers, auto_offset_reset="earliest")
    await consumer.start()
    consumer.assign([TopicPartition(topic, number) for number in range(partitions)])
    seen = 0
    while seen < wanted:
        for records in (await consumer.getmany(timeout_ms=1000)).values():
            for record in records:
                json.loads(record.value)
            seen += len(records)
    await consumer.stop()

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
"""


def bench_drain(folder: Path, events: int = 200_000, row_by_row: int = 1_000) -> Iterator[Ratio]:
    """A backlog into DuckDB, against a bare loop that reads and parses it, and one that commits each row."""
    with running_broker(folder) as broker:
        asyncio.run(produce(broker.kafka_settings(), events))
        arguments = [broker.bootstrap_servers, PRICES_TOPIC, str(KafkaSettings().partitions), str(events)]
        bare, ours = [], []
        for number in range(ROUNDS):  # in turns: a machine's speed changes within seconds
            bare.append(_timed([sys.executable, "-c", BARE_LOOP, *arguments]))
            ours.append(_drain(broker, folder / f"ours-{number}.duckdb", events))
        slow = asyncio.run(_row_by_row(broker.kafka_settings(), folder / "slow.duckdb", row_by_row))
    bare_rate, our_rate = events / median(bare), events / median(ours)
    yield Ratio(
        f"draining {events:,} events / bare getmany and JSON parse",
        our_rate / bare_rate,
        0.65,
        at_most=False,
        detail=f"{our_rate:,.0f} / {bare_rate:,.0f} events a second from the start, median of {ROUNDS}",
        goal=0.8,
    )
    yield Ratio(
        "draining / a consumer that commits row by row",
        our_rate / slow,
        20,
        at_most=False,
        detail=f"{our_rate:,.0f} / {slow:,.0f} events a second",
    )


def bench_steady(folder: Path, rate: int = 500, minutes: float = 10) -> Iterator[Ratio]:
    """A steady stream for ten minutes: how late events are stored, and whether memory stays flat."""
    with running_broker(folder) as broker, consumer(broker, folder / "steady.duckdb") as (process, port):
        memory: list[int] = []

        def sample() -> None:
            memory.append(process.memory_info().rss)

        asyncio.run(produce(broker.kafka_settings(), int(rate * minutes * 60), rate, each_second=sample))
        _wait_for_rows(port, int(rate * minutes * 60))
        p99 = _p99_seconds(port)
    settled = memory[len(memory) // 5 :]
    half = len(settled) // 2
    growth = sum(settled[half:]) / (len(settled) - half) / (sum(settled[:half]) / half)
    figures = f"{rate} events a second for {minutes:g} min"
    yield Ratio("produce to commit, p99 in seconds at most", p99, 1, at_most=True, detail=figures)
    yield Ratio("resident memory, MiB", max(memory) / MIB, 300, at_most=True, detail="of the consumer, peak")
    yield Ratio("memory, last 40 % of the time / 40 % before", growth, 1.1, at_most=True, detail=figures)


def bench_freshness(folder: Path, minutes: float = 2) -> Iterator[Ratio]:
    """From the feed to the live view through simulator, producer and consumer at their ordinary intervals."""
    port = free_port()
    settings = Settings(local_dir=folder, duckdb_path=folder / "live.duckdb", feeds="none")
    with (
        running_broker(folder) as broker,
        consumer(broker, settings.duckdb_path) as (_, metrics_port),
        _running([sys.executable, "-m", "standalone.simulator", "--port", str(port)], {}),
        _running(
            [sys.executable, "-m", "streaming_workers.producer"],
            {
                "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
                "COINGECKO_URL": f"http://127.0.0.1:{port}/api/v3",
                "PRODUCER_METRICS_PORT": "0",
            },
        ),
    ):
        _wait_for_rows(metrics_port, 1)
        env = airflow_environment(settings)
        command = [
            str(VENV_BIN / "dbt"),
            "--log-path",
            str(folder),
            "run",
            "--target-path",
            str(folder / "target"),
        ]
        subprocess.run([*command, "--select", "tag:streaming"], env=env, cwd=DBT_PROJECT_DIR, check=True)
        worst = _largest_age(settings.duckdb_path, minutes * 60)
    yield Ratio(
        "age of the newest price in the live view, seconds at most",
        worst,
        60,
        at_most=True,
        detail=f"looked at for {minutes:g} min, one look at the feed every 30 s",
    )


async def produce(
    kafka: KafkaSettings, count: int, rate: int | None = None, each_second: Callable[[], None] | None = None
) -> None:
    """Write numbered events of 1 KB to the prices' topic, as fast as it goes or `rate` a second."""
    await ensure_topics(kafka)
    producer = AIOKafkaProducer(**kafka.client_arguments(), linger_ms=5, max_batch_size=128 * 1024)
    await producer.start()
    began = time.monotonic()
    pending: set[asyncio.Future[object]] = set()
    for number in range(count):
        if rate and number % rate == 0:
            if each_second:
                each_second()
            await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
        elif rate and number % 10 == 0:
            await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
        pending.add(await producer.send(PRICES_TOPIC, _event(number), partition=number % kafka.partitions))
        if len(pending) >= 10_000:
            await asyncio.gather(*pending)
            pending.clear()
    await asyncio.gather(*pending)
    await producer.stop()


def _event(number: int) -> bytes:
    now = datetime.now(UTC).isoformat()
    event = {
        "event_id": f"bitcoin:{number}",
        "coin": "bitcoin",
        "price_usd": 60_000 + number % 1000 / 100,
        "change_24h_pct": 1.25,
        "observed_at": now,
        "fetched_at": now,
        "padding": "",
    }
    event["padding"] = "x" * (EVENT_BYTES - len(json.dumps(event)))
    return json.dumps(event).encode()


@contextmanager
def consumer(broker: Broker, duckdb_path: Path) -> Iterator[tuple[psutil.Process, int]]:
    """Run the real consumer; gives its process and the port of its metrics."""
    port = free_port()
    env = {
        "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        "WAREHOUSE": "duckdb",
        "DUCKDB_PATH": str(duckdb_path),
        "CONSUMER_METRICS_PORT": str(port),
    }
    with _running([sys.executable, "-m", "streaming_workers.consumer"], env) as process:
        yield psutil.Process(process.pid), port


@contextmanager
def _running(command: list[str], env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        command,
        env={**os.environ, **env},
        cwd=PROJECT_ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=300)


def _timed(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True)
    return time.perf_counter() - began


def _drain(broker: Broker, duckdb_path: Path, events: int) -> float:
    """Return the seconds from the start of a consumer with an empty warehouse to the last event's commit."""
    began = time.time()
    with consumer(broker, duckdb_path) as (_, port):
        _wait_for_rows(port, events)
        taken = _metrics(port)["consumer_last_progress_timestamp_seconds", ""] - began
    with duckdb.connect(str(duckdb_path), read_only=True) as connection:
        stored = connection.execute(f"select count(*), count(distinct event_id) from {TABLE}").fetchone()
    if stored != (events, events):
        raise RuntimeError(f"{stored} rows and event ids are stored, {events} were sent")
    return taken


async def _row_by_row(kafka: KafkaSettings, duckdb_path: Path, events: int) -> float:
    """Return events a second of a consumer that inserts and commits one row after another."""
    reader = AIOKafkaConsumer(**kafka.client_arguments(), auto_offset_reset="earliest")
    await reader.start()
    reader.assign([TopicPartition(PRICES_TOPIC, 0)])
    with duckdb.connect(str(duckdb_path)) as connection:
        connection.execute("create table events (event_id varchar, payload json, next_offset bigint)")
        began = time.perf_counter()
        for _ in range(events):
            record = await reader.getone()
            event_id = json.loads(record.value)["event_id"]
            row = [event_id, record.value.decode(), record.offset + 1]
            connection.execute("insert into events values (?, ?, ?)", row)  # commits by itself
        taken = time.perf_counter() - began
    await reader.stop()
    return events / taken


def _metrics(port: int) -> dict[tuple[str, str], float]:
    """Return the consumer's samples by name and, for a bucket, its upper bound; summed over other labels."""
    found: dict[tuple[str, str], float] = {}
    try:
        text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=5).text
    except requests.ConnectionError:  # it has not opened its port yet
        return found
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, sample.labels.get("le", ""))
            found[key] = found.get(key, 0) + sample.value
    return found


def _wait_for_rows(port: int, rows: int, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while (stored := _metrics(port).get(("consumer_rows_total", ""), 0)) < rows:
        if time.monotonic() > end:
            raise RuntimeError(f"{stored:.0f} of {rows} rows were stored within {seconds:.0f} s")
        time.sleep(0.5)  # it answers in the process that is measured


def _p99_seconds(port: int) -> float:
    """Return the upper bound of the bucket that the 99th percentile of the latencies lies in."""
    name = "consumer_event_latency_seconds_bucket"
    buckets = sorted((float(le), count) for (sample, le), count in _metrics(port).items() if sample == name)
    total = buckets[-1][1]
    return next(bound for bound, count in buckets if count >= 0.99 * total)


def _largest_age(duckdb_path: Path, seconds: float) -> float:
    """Look at the live view once a second; return the largest age of its newest price."""
    worst, end = 0.0, time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(1)
        try:
            with duckdb.connect(str(duckdb_path), read_only=True) as connection:
                query = "select epoch(now() - max(fetched_at)) from streaming.bitcoin_prices_live"
                [(age,)] = connection.execute(query).fetchall()
        except duckdb.IOException:  # the consumer has the file at this moment
            continue
        worst = max(worst, age)
    return worst
