"""The gate before the streaming marts: no source is stale, and the consumer lag is within its limit."""

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from include.alert_kind import AlertKind
from include.settings import Settings
from include.warehouse import Session, Warehouse
from streaming_workers.events import NEWS_TOPIC, PRICES_TOPIC, STREAMS, Stream
from streaming_workers.settings import KafkaSettings
from streaming_workers.topics import partition_counts

log = logging.getLogger(__name__)

BROKER_TIMEOUT_SECONDS = 20
OFFSETS = "streaming.kafka_offsets"


@dataclass(frozen=True)
class Finding:
    """One problem of the streams, in a sentence."""

    kind: AlertKind
    sentence: str


class StreamsNotReadyError(Exception):
    """A source is stale or the lag too high; the message holds one sentence per finding."""

    def __init__(self, findings: list[Finding]) -> None:
        super().__init__("\n".join(finding.sentence for finding in findings))
        self.alert_kind = ",".join(dict.fromkeys(finding.kind for finding in findings))


class BrokerUnreachableError(Exception):
    """Kafka did not answer; the message says where and why."""


@dataclass(frozen=True)
class Span:
    """The offsets of a partition that Kafka holds: from `first` to before `end`."""

    first: int
    end: int


@dataclass(frozen=True)
class Stored:
    """What the warehouse holds of a stream: the time its newest event was stored, and the next offsets."""

    newest: datetime | None
    next_offsets: dict[int, int]

    def lag(self, spans: dict[int, Span]) -> int:
        """Return the consumer lag in messages; those that Kafka has deleted do not count."""
        return sum(
            max(0, span.end - max(span.first, self.next_offsets.get(partition, 0)))
            for partition, span in spans.items()
        )


Spans = dict[str, dict[int, Span]]  # by topic and partition; a topic that does not exist is missing


def check_streams(warehouse: Warehouse, kafka: KafkaSettings, settings: Settings) -> dict[str, int]:
    """Return each topic's consumer lag in messages.

    Raises StreamsNotReadyError where a source is stale, the consumer lag is too high or Kafka does not
    answer. News that never came are no finding: without a key that feed is off.
    """
    with warehouse.session() as session:
        stored = {topic: _stored(session, stream) for topic, stream in STREAMS.items()}
    max_age = {
        PRICES_TOPIC: timedelta(minutes=settings.max_price_age_minutes),
        NEWS_TOPIC: timedelta(minutes=settings.max_news_age_minutes),
    }
    now = datetime.now(UTC)
    findings = [
        finding
        for topic, found in stored.items()
        if found.newest and (finding := _stale(topic, now - found.newest, max_age[topic]))
    ]
    try:
        spans = asyncio.run(kafka_spans(kafka))
    except BrokerUnreachableError as error:
        raise StreamsNotReadyError([*findings, Finding(AlertKind.GATE_FAILED, str(error))]) from error
    for topic, found in stored.items():
        findings += _findings(topic, found, spans, settings.max_stream_lag)
    if findings:
        raise StreamsNotReadyError(findings)
    lags = {topic: found.lag(spans.get(topic, {})) for topic, found in stored.items()}
    for topic, lag in lags.items():
        newest = stored[topic].newest or "never"
        log.info("%s: newest event stored %s, messages that wait in Kafka: %s", topic, newest, lag)
    return lags


def _stale(topic: str, age: timedelta, limit: timedelta) -> Finding | None:
    if age <= limit:
        return None
    return Finding(
        AlertKind.FRESHNESS,
        f"The newest event of {topic} was stored {_minutes(age)} minutes ago, more than the {_minutes(limit)}"
        " allowed: the source is stale, or the producer or the consumer has stopped.",
    )


def _findings(topic: str, stored: Stored, spans: Spans, max_lag: int) -> Iterator[Finding]:
    """Yield the problems of one topic that Kafka's offsets show."""
    may_be_off = topic == NEWS_TOPIC and stored.newest is None
    if topic not in spans:
        if not may_be_off:
            yield Finding(
                AlertKind.FRESHNESS,
                f"Kafka has no topic {topic}: the producer has not created it yet, or it was deleted.",
            )
        return
    lag = stored.lag(spans[topic])
    if lag > max_lag:
        yield Finding(
            AlertKind.LAG,
            f"{lag} messages of {topic} wait in Kafka, more than the {max_lag} allowed: the consumer has"
            " stopped or is too slow.",
        )
    elif stored.newest is None and not may_be_off:
        yield Finding(
            AlertKind.FRESHNESS,
            f"No event of {topic} was ever stored, and {lag} messages wait in Kafka.",
        )


def _minutes(span: timedelta) -> int:
    return int(span.total_seconds() // 60)


def _stored(session: Session, stream: Stream) -> Stored:
    """Read what is stored of a stream: nothing where neither the consumer nor dbt has created the tables."""
    [(tables,)] = session.execute(
        "select count(*) from information_schema.tables"
        " where lower(table_schema) || '.' || lower(table_name) in (?, ?)",
        [stream.table, OFFSETS],
    )
    if tables < 2:
        return Stored(None, {})
    [(newest,)] = session.execute(f"select max(ingested_at) from {stream.table}")  # noqa: S608 (our names)
    offsets = session.execute(
        f"select kafka_partition, next_offset from {OFFSETS} where kafka_topic = ?",  # noqa: S608
        [stream.topic],
    )
    return Stored(newest, {int(partition): int(offset) for partition, offset in offsets})


async def kafka_spans(kafka: KafkaSettings) -> Spans:
    """Return what Kafka holds of each of STREAMS' topics that exists.

    Raises BrokerUnreachableError where there is no answer within BROKER_TIMEOUT_SECONDS.
    """
    try:
        async with asyncio.timeout(BROKER_TIMEOUT_SECONDS):
            counts = await partition_counts(kafka)
            partitions = [
                TopicPartition(topic, number) for topic in STREAMS for number in range(counts.get(topic, 0))
            ]
            # aiokafka raises CancelledError from a consumer that is stopped before it did anything.
            return await _spans(kafka, partitions) if partitions else {}
    except TimeoutError as error:
        raise BrokerUnreachableError(
            f"Kafka at {kafka.bootstrap_servers} did not answer within {BROKER_TIMEOUT_SECONDS} s."
        ) from error
    except KafkaError as error:
        raise BrokerUnreachableError(
            f"Kafka at {kafka.bootstrap_servers} cannot be reached: {str(error).rstrip('.')}."
        ) from error


async def _spans(kafka: KafkaSettings, partitions: list[TopicPartition]) -> Spans:
    consumer = AIOKafkaConsumer(**kafka.client_arguments())
    await consumer.start()
    try:
        first = await consumer.beginning_offsets(partitions)
        end = await consumer.end_offsets(partitions)
    finally:
        await consumer.stop()
    spans: Spans = {}
    for one in partitions:
        spans.setdefault(one.topic, {})[one.partition] = Span(first[one], end[one])
    return spans
