"""The consumer as a process of its own, what it is fed, and whether every event arrived once."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import psutil
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from prometheus_client.parser import text_string_to_metric_families

from include.warehouse.duckdb import DuckDBWarehouse
from streaming_workers.events import PRICES_TOPIC, STREAMS
from streaming_workers.topics import ensure_topics
from tests.conftest import PROJECT_ROOT
from tests.kafka import Broker, free_port

PATIENCE_SECONDS = 90  # a machine may be busy; only a test that fails waits for so long

Source = tuple[int, int]
"""A message's partition and offset."""


@dataclass(frozen=True)
class Message:
    """A message to produce; without a partition, the key decides."""

    value: bytes | None
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = ()
    partition: int | None = None
    timestamp_ms: int | None = None


def price(number: int, bytes_long: int = 0, **changes: Any) -> Message:
    """Return a valid event of bitcoin-prices with the id `event-<number>`, padded to a length."""
    now = datetime.now(UTC).isoformat()
    event = {
        "event_id": f"event-{number}",
        "coin": f"coin-{number % 7}",
        "price_usd": 60_000 + number / 100,
        "change_24h_pct": None,
        "observed_at": now,
        "fetched_at": now,
        **changes,
    }
    missing = bytes_long - len(json.dumps({**event, "padding": ""}).encode())
    if bytes_long and missing >= 0:
        event["padding"] = "x" * missing
    return Message(json.dumps(event).encode(), str(event["coin"]).encode())


def prices(numbers: Iterable[int], bytes_long: int = 0) -> list[Message]:
    """Return valid events with these numbers."""
    return [price(number, bytes_long) for number in numbers]


@dataclass
class Stage:
    """A broker with fresh topics and a DuckDB file that is not there yet; consumers are started on it."""

    broker: Broker
    folder: Path
    partitions: int = 3

    def __post_init__(self) -> None:
        self.duckdb_path = self.folder / "warehouse.duckdb"
        topics = [name for stream in STREAMS.values() for name in (stream.topic, stream.dead_letter_topic)]
        self.broker.delete_topics(*topics)
        asyncio.run(ensure_topics(self.broker.kafka_settings(partitions=self.partitions)))

    @contextmanager
    def consumer(self, *prefix: str, **env: str) -> Iterator["ConsumerProcess"]:
        """Start a consumer, behind a prefix such as `nice`; on leaving, it is ended if it still runs."""
        number = len(list(self.folder.glob("consumer-*.log")))
        one = ConsumerProcess(self, self.folder / f"consumer-{number}.log", env, prefix)
        try:
            yield one
        finally:
            one.end()

    def produce(self, messages: Iterable[Message], topic: str = PRICES_TOPIC) -> list[Source]:
        """Send messages, in order within a partition, and return where each is."""
        return asyncio.run(send(self.broker.bootstrap_servers, topic, list(messages)))

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query, waiting while a consumer holds the file, but never long after that."""
        deadline = time.monotonic() + 60
        while True:
            try:
                with DuckDBWarehouse(self.duckdb_path, lock_timeout_seconds=0).session() as session:
                    return session.execute(sql)
            except duckdb.IOException as error:
                if "Could not set lock" not in str(error) or time.monotonic() > deadline:
                    raise
            time.sleep(0.02)

    def rows(self, topic: str = PRICES_TOPIC) -> dict[Source, str]:
        """Return the event id of each stored row, by its place in Kafka; a place that repeats fails."""
        found = self.query(f"select kafka_partition, kafka_offset, event_id from {STREAMS[topic].table}")
        repeated = [place for place, count in Counter(row[:2] for row in found).items() if count > 1]
        assert not repeated, f"stored more than once: {repeated[:10]}"
        return {(partition, offset): event_id for partition, offset, event_id in found}

    def count(self, topic: str = PRICES_TOPIC) -> int:
        """Return the number of stored rows; 0 before there is a table."""
        return sum(count for (count,) in self._tried(f"select count(*) from {STREAMS[topic].table}"))

    def next_offsets(self, topic: str = PRICES_TOPIC) -> dict[int, int]:
        """Return the stored offset of each partition; none before there is a table."""
        rows = self._tried(
            f"select kafka_partition, next_offset from streaming.kafka_offsets where kafka_topic = '{topic}'"
        )
        assert len({partition for partition, _ in rows}) == len(rows)
        return dict(rows)

    def _tried(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query, none where its table is not there yet."""
        if not self.duckdb_path.exists():
            return []
        try:
            return self.query(sql)
        except duckdb.CatalogException:
            return []

    def log(self, topic: str) -> list[ConsumerRecord]:
        """Return every committed message that the topic holds."""
        return asyncio.run(read_all(self.broker.bootstrap_servers, topic))

    def dead_letters(self, topic: str = PRICES_TOPIC) -> dict[Source, ConsumerRecord]:
        """Return the dead letters by where they came from; one that repeats fails."""
        letters = self.log(STREAMS[topic].dead_letter_topic)
        places = [source_of(letter) for letter in letters]
        repeated = [place for place, count in Counter(places).items() if count > 1]
        assert not repeated, f"dead letters that repeat: {repeated[:10]}"
        return dict(zip(places, letters, strict=True))

    def wait_for_rows(self, count: int, topic: str = PRICES_TOPIC, seconds: float = PATIENCE_SECONDS) -> None:
        """Return when so many rows are stored; fails with the consumers' logs."""
        self.wait_until(lambda: self.count(topic) >= count, f"{count} rows", seconds)

    def wait_for_offsets(self, topic: str = PRICES_TOPIC, seconds: float = PATIENCE_SECONDS) -> None:
        """Return when everything that is in the topic has been dealt with."""
        ends = {record.partition: record.offset + 1 for record in self.log(topic)}

        def done() -> bool:
            stored = self.next_offsets(topic)
            return all(stored.get(partition, -1) >= end for partition, end in ends.items())

        self.wait_until(done, f"offsets {ends}", seconds)

    def wait_until(
        self, condition: Callable[[], object], what: str, seconds: float = PATIENCE_SECONDS
    ) -> None:
        """Return when the condition holds; fails with the ends of the consumers' logs."""
        deadline = time.monotonic() + seconds
        while not condition():
            logs = "\n".join(log.read_text()[-3000:] for log in sorted(self.folder.glob("consumer-*.log")))
            assert time.monotonic() < deadline, f"waited {seconds} s in vain for {what}\n{logs}"
            time.sleep(0.1)


class ConsumerProcess:
    """`python -m streaming_workers.consumer` with its log."""

    def __init__(self, stage: Stage, log: Path, env: dict[str, str], prefix: Sequence[str] = ()) -> None:
        self.log_file = log
        self.port = free_port()
        settings = {
            "KAFKA_BOOTSTRAP_SERVERS": stage.broker.bootstrap_servers,
            "KAFKA_PARTITIONS": str(stage.partitions),
            "WAREHOUSE": "duckdb",
            "DUCKDB_PATH": str(stage.duckdb_path),
            "CONSUMER_METRICS_PORT": str(self.port),
            "CONSUMER_BATCH_SECONDS": "0.2",
            "CONSUMER_SESSION_TIMEOUT_SECONDS": "3",
        }
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [*prefix, sys.executable, "-m", "streaming_workers.consumer"],
                cwd=PROJECT_ROOT,
                env={"PATH": os.environ["PATH"], **settings, **env},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def stop(self) -> tuple[int, float]:
        """Send SIGTERM; return the exit code and the seconds it took."""
        start = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=20), time.monotonic() - start

    def kill(self) -> None:
        """Send SIGKILL, frozen or not, and wait for the end."""
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        """Let it leave the group if it can, or the next one waits for its session to end."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=8)
        except subprocess.TimeoutExpired:
            self.kill()

    def freeze(self) -> None:
        """Stop it from doing anything (SIGSTOP); its connections stay open."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on after freeze."""
        self.process.send_signal(signal.SIGCONT)

    def lines(self) -> list[dict[str, Any]]:
        """Return the log so far; every full line must be JSON."""
        text = self.log_file.read_text()
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]

    def said(self, event: str) -> list[dict[str, Any]]:
        """Return the log's lines of one kind."""
        return [line for line in self.lines() if line["event"] == event]

    def health(self) -> tuple[int, str | None]:
        """Return the status and the reason that /healthz gives; 0 where it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=5) as answer:
                return answer.status, json.load(answer)["reason"]
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)["reason"]
        except OSError:
            return 0, None

    def metric(self, name: str, **labels: str) -> float | None:
        """Return a sample of /metrics, None where it has none."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
            families = text_string_to_metric_families(answer.read().decode())
        return next(
            (
                sample.value
                for family in families
                for sample in family.samples
                if sample.name == name and labels.items() <= sample.labels.items()
            ),
            None,
        )

    def resident_mib(self) -> float:
        """Return the memory that the process holds."""
        return psutil.Process(self.process.pid).memory_info().rss / 2**20


def assert_exactly_once(stage: Stage, produced: Collection[str], topic: str = PRICES_TOPIC) -> None:
    """Every message of the topic below the stored offsets is a row or a dead letter, once; none is above.

    `produced` are the ids of the valid events: each must be stored as often as it is there, and nothing else.
    """
    log = {(record.partition, record.offset): record for record in stage.log(topic)}
    rows, letters = stage.rows(topic), stage.dead_letters(topic)
    offsets = stage.next_offsets(topic)

    assert not rows.keys() & letters.keys()
    dealt_with = rows.keys() | letters.keys()
    assert not log.keys() - dealt_with, f"lost: {sorted(log.keys() - dealt_with)[:10]}"
    assert not dealt_with - log.keys(), f"never produced: {sorted(dealt_with - log.keys())[:10]}"
    for partition, offset in dealt_with:
        assert offset < offsets[partition], (
            f"{(partition, offset)} is stored, next offset {offsets[partition]}"
        )
    assert sorted(rows.values()) == sorted(produced)
    for place, letter in letters.items():
        assert (letter.key, letter.value) == (log[place].key, log[place].value)


def source_of(letter: ConsumerRecord) -> Source:
    """Return where a dead letter came from."""
    headers = dict(letter.headers)
    return (
        int(headers["__connect.errors.partition"].decode()),
        int(headers["__connect.errors.offset"].decode()),
    )


async def send(servers: str, topic: str, messages: Sequence[Message]) -> list[Source]:
    """Send messages and return where each is; what is too long for a broker's default fails."""
    producer = AIOKafkaProducer(
        bootstrap_servers=servers, acks="all", enable_idempotence=True, linger_ms=5, max_batch_size=131_072
    )
    await producer.start()
    try:
        futures = [await _send_one(producer, topic, message) for message in messages]
        return [(sent.partition, sent.offset) for sent in await asyncio.gather(*futures)]
    finally:
        await producer.stop()


async def _send_one(producer: AIOKafkaProducer, topic: str, message: Message) -> "asyncio.Future[Any]":
    if message.key is None and message.value is None:  # which aiokafka's send refuses
        await producer.partitions_for(topic)
        batch = producer.create_batch()
        batch.append(timestamp=message.timestamp_ms, key=None, value=None, headers=list(message.headers))
        return await producer.send_batch(batch, topic, partition=message.partition or 0)
    return await producer.send(
        topic,
        message.value,
        key=message.key,
        partition=message.partition,
        headers=list(message.headers),
        timestamp_ms=message.timestamp_ms,
    )


async def read_all(servers: str, topic: str) -> list[ConsumerRecord]:
    """Return every committed message of a topic, in order within each partition."""
    written = await topic_ends(servers, topic)
    reader = AIOKafkaConsumer(
        bootstrap_servers=servers, auto_offset_reset="earliest", isolation_level="read_committed"
    )
    await reader.start()
    try:
        reader.assign(list(written))
        ends = await committed_ends(reader, written)
        await reader.seek_to_beginning(*written)
        records: list[ConsumerRecord] = []
        while any([await reader.position(partition) < end for partition, end in ends.items()]):
            for batch in (await reader.getmany(timeout_ms=200)).values():
                records.extend(batch)
        return records
    finally:
        await reader.stop()


async def topic_ends(servers: str, topic: str) -> dict[TopicPartition, int]:
    """Return the end of each partition, open transactions included."""
    reader = AIOKafkaConsumer(bootstrap_servers=servers)
    await reader.start()
    try:
        partitions = [TopicPartition(topic, number) for number in await partitions_of(servers, topic)]
        return dict(await reader.end_offsets(partitions))
    finally:
        await reader.stop()


async def committed_ends(
    reader: AIOKafkaConsumer, ends: dict[TopicPartition, int]
) -> dict[TopicPartition, int]:
    """Return the end of what is committed, which a commit reaches a moment after it is acknowledged.

    Waits for that, but not for a transaction that somebody left open.
    """
    deadline = time.monotonic() + 2
    while True:
        committed = dict(await reader.end_offsets(ends))
        if time.monotonic() > deadline or all(committed[one] >= end for one, end in ends.items()):
            return committed
        await asyncio.sleep(0.02)


async def partitions_of(servers: str, topic: str) -> list[int]:
    """Return the numbers of a topic's partitions."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        [found] = await admin.describe_topics([topic])
        return sorted(partition["partition"] for partition in found["partitions"])
    finally:
        await admin.close()
