"""What the tests of sinks share: places to store in, sinks on them, batches for them."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiokafka import ConsumerRecord, TopicPartition

from include.warehouse import Session, Warehouse
from streaming_workers.consumer.batches import Batch
from streaming_workers.consumer.sinks import Sink
from streaming_workers.events import NEWS_TOPIC, PRICES_TOPIC
from tests.doubles.snowpipe_double import SnowpipeService
from tests.streaming_workers.harness import Message, price

FIRST, SECOND = TopicPartition(PRICES_TOPIC, 0), TopicPartition(PRICES_TOPIC, 1)
NEWS = TopicPartition(NEWS_TOPIC, 0)
TIME_MS = 1_750_000_000_123
TIME = dt.datetime(2025, 6, 15, 15, 6, 40, 123_000, tzinfo=dt.UTC)


@dataclass
class Place:
    """A warehouse with nothing in it, and how a consumer's sink on it is made, as often as one is wanted."""

    warehouse: Warehouse
    new_sink: Callable[[], Sink]
    error: Exception
    """What the warehouse raises when it cannot be reached."""
    session: Session | None = None
    """A session to query it with, where one locks nobody out."""
    snowpipe: SnowpipeService | None = None

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        if self.session:
            return self.session.execute(sql)
        with self.warehouse.session() as session:
            return session.execute(sql)

    def stored(self) -> list[tuple[Any, ...]]:
        """Return topic, partition, offset and event id of every price stored, a row that repeats twice."""
        return self.query(
            "select kafka_topic, kafka_partition, kafka_offset, event_id from streaming.bitcoin_prices_raw"
            " order by 1, 2, 3"
        )

    def offsets(self) -> list[int]:
        """Return the offsets of the prices stored, partition by partition."""
        return [row[2] for row in self.stored()]

    @property
    def session_type(self) -> type[Session]:
        """The class of the warehouse's sessions."""
        if self.session:
            return type(self.session)
        with self.warehouse.session() as session:
            return type(session)


def record(
    message: Message, offset: int, partition: TopicPartition = FIRST, time_ms: int = TIME_MS
) -> ConsumerRecord:
    """Return a message as Kafka's client gives it."""
    size = len(message.value or b"")
    return ConsumerRecord(*partition, offset, time_ms, 0, message.key, message.value, None, 0, size, ())


def batch(
    *numbers: int, partition: TopicPartition = FIRST, expected: int | None = None, end: int | None = None
) -> Batch:
    """Return a batch of one event an offset, from the first offset (or `expected`) on."""
    one = Batch(generation=1)
    one.add(partition, [record(price(number), number, partition) for number in numbers], 10_000)
    one.move(partition, numbers[0] if expected is None else expected, numbers[-1] + 1 if end is None else end)
    return one
