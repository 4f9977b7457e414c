"""Events and poison messages that go on coming, whatever is done to those who take them."""

import asyncio
import itertools
import json
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from aiokafka import AIOKafkaProducer

from streaming_workers.events import NEWS_TOPIC, PRICES_TOPIC
from tests.kafka import Broker
from tests.streaming_workers.harness import Message
from tests.streaming_workers.harness import price as price_event

from .exactly_once import POISON, Outcome

LONGEST_EVENT = 32_768
"""What the consumers are told as CONSUMER_MAX_EVENT_BYTES."""

TICK_SECONDS = 0.02
PATIENCE_MS = 90_000  # for a broker that is down


def price(number: int, bytes_long: int = 0, partition: int | None = None, **changes: Any) -> Message:
    """Return a valid event of bitcoin-prices with the id `event-<number>`, unless the changes spoil it."""
    return replace(price_event(number, bytes_long, **changes), partition=partition)


def article(number: int) -> Message:
    """Return a valid event of news-events with the id `article-<number>`."""
    now = datetime.now(UTC).isoformat()
    event = {
        "event_id": f"article-{number}",
        "source_name": "Reuters",
        "headline": f"Gold holds for the {number}th time",
        "description": None,
        "url": f"https://news.example/{number}",
        "author": None,
        "category": "business",
        "published_at": now,
        "fetched_at": now,
    }
    return Message(json.dumps(event).encode(), str(event["url"]).encode())


def poison(value: bytes | None, **fields: Any) -> Message:
    """Return a message that is no valid event, marked as such."""
    return Message(
        value, **{"key": b"key", **fields, "headers": ((POISON, b"1"), *fields.get("headers", ()))}
    )


def poisons(number: int) -> list[Message]:
    """Return one message of each kind that no consumer may store."""
    return [
        poison(None),
        poison(b""),
        poison(b"\xff\x00\xfe" + number.to_bytes(8)),
        poison(b"{", key=None),
        poison(price(number, price_usd="free").value),
        poison(json.dumps({"event_id": f"event-{number}"}).encode()),
        poison(price(number, bytes_long=LONGEST_EVENT + 1).value),
    ]


class Load:
    """A thread that produces to all partitions of both streams, some of it poison, while the block runs.

    After `stop`, or on leaving, everything is acknowledged; the same seed gives the same messages.
    """

    def __init__(
        self,
        broker: Broker,
        partitions: int,
        *,
        seed: int,
        per_second: int = 300,
        poison_share: float = 0.1,
        bytes_long: int = 400,
    ) -> None:
        self._servers = broker.bootstrap_servers
        self._partitions = partitions
        self._random = random.Random(seed)
        self._per_second = per_second
        self._poison_share = poison_share
        self._bytes_long = bytes_long
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self.acknowledged: set[tuple[str, int, int]] = set()
        """Topic, partition and offset of what Kafka has confirmed."""

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        if kind is None:
            self.stop()

    def stop(self) -> None:
        """Send no more; return when everything is acknowledged, raises what went wrong."""
        self._stop.set()
        self._thread.join()
        if self._error:
            raise self._error

    def assert_kept(self, outcomes: dict[str, Outcome]) -> None:
        """Everything that was acknowledged is in the topics, with rows and poison in both."""
        kept = {(topic, *source) for topic, outcome in outcomes.items() for source in outcome.log}
        assert self.acknowledged <= kept
        for outcome in outcomes.values():
            assert outcome.rows
            assert outcome.dead_letters
            assert {number for number, _ in outcome.log} == set(range(self._partitions))

    def _run(self) -> None:
        try:
            asyncio.run(self._produce())
        except BaseException as error:  # noqa: BLE001 (raised on leaving)
            self._error = error

    async def _produce(self) -> None:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._servers,
            acks="all",
            enable_idempotence=True,
            linger_ms=5,
            request_timeout_ms=PATIENCE_MS,
        )
        await producer.start()
        try:
            sent = [future async for future in self._send(producer)]
            for result in await asyncio.gather(*sent):
                self.acknowledged.add((result.topic, result.partition, result.offset))
        finally:
            await producer.stop()

    async def _send(self, producer: AIOKafkaProducer) -> Any:
        messages, start, count = self._messages(), time.monotonic(), 0
        while not self._stop.is_set():
            due = int((time.monotonic() - start) * self._per_second) - count
            for topic, message in itertools.islice(messages, due):
                yield await producer.send(
                    topic,
                    message.value,
                    key=message.key,
                    partition=message.partition,
                    headers=list(message.headers),
                )
            count += due
            await asyncio.sleep(TICK_SECONDS)

    def _messages(self) -> Iterator[tuple[str, Message]]:
        for number in itertools.count():
            topic = self._random.choices([PRICES_TOPIC, NEWS_TOPIC], [3, 1])[0]
            message = price(number, self._bytes_long) if topic == PRICES_TOPIC else article(number)
            if self._random.random() < self._poison_share:
                message = self._random.choice(poisons(number))
            yield topic, replace(message, partition=self._random.randrange(self._partitions))
