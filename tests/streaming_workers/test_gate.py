"""The gate before the streaming marts, on a real broker and a real DuckDB file."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from include.settings import Settings
from include.warehouse.duckdb import DuckDBWarehouse
from streaming_workers import gate
from streaming_workers.events import NEWS_TOPIC, PRICES_TOPIC, STREAMS
from streaming_workers.gate import StreamsNotReadyError, check_streams
from streaming_workers.settings import KafkaSettings
from streaming_workers.topics import ensure_topics
from tests.kafka import Broker, running_broker

LIMITS = Settings(max_price_age_minutes=60, max_news_age_minutes=600, max_stream_lag=5)
TOPICS = [name for stream in STREAMS.values() for name in (stream.topic, stream.dead_letter_topic)]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with running_broker(tmp_path_factory.mktemp("kafka")) as one:
        yield one


@pytest.fixture
def kafka(broker: Broker) -> Iterator[KafkaSettings]:
    """The broker with empty topics."""
    settings = broker.kafka_settings(partitions=2)
    asyncio.run(ensure_topics(settings))
    yield settings
    broker.delete_topics(*TOPICS)


@pytest.fixture
def warehouse(tmp_path: Path) -> DuckDBWarehouse:
    """A warehouse with the tables of the streams, empty."""
    found = DuckDBWarehouse(tmp_path / "shop.duckdb")
    with found.session() as session:
        session.execute("create schema streaming")
        for stream in STREAMS.values():
            session.execute(f"create table {stream.table} (event_id varchar, ingested_at timestamptz)")
        columns = "kafka_topic varchar, kafka_partition integer, next_offset bigint"
        session.execute(f"create table streaming.kafka_offsets ({columns})")
    return found


def store(warehouse: DuckDBWarehouse, topic: str, *, minutes_ago: float, next_offset: int = 0) -> None:
    """Store an event and the offset of partition 0."""
    with warehouse.session() as session:
        moment = datetime.now(UTC) - timedelta(minutes=minutes_ago)
        session.execute(f"insert into {STREAMS[topic].table} values ('id', ?)", [moment])
        session.execute("insert into streaming.kafka_offsets values (?, 0, ?)", [topic, next_offset])


def send(kafka: KafkaSettings, topic: str, messages: int, partition: int = 0) -> None:
    async def run() -> None:
        async with AIOKafkaProducer(**kafka.client_arguments()) as producer:
            for _ in range(messages):
                await producer.send_and_wait(topic, b"{}", partition=partition)

    asyncio.run(run())


def test_fresh_streams_pass_and_tell_their_lag(kafka: KafkaSettings, warehouse: DuckDBWarehouse) -> None:
    send(kafka, PRICES_TOPIC, 7)
    send(kafka, PRICES_TOPIC, 2, partition=1)
    send(kafka, NEWS_TOPIC, 3)
    store(warehouse, PRICES_TOPIC, minutes_ago=59, next_offset=4)
    store(warehouse, NEWS_TOPIC, minutes_ago=599, next_offset=3)

    assert check_streams(warehouse, kafka, LIMITS) == {PRICES_TOPIC: 5, NEWS_TOPIC: 0}


def test_a_news_feed_that_is_off_is_no_finding(kafka: KafkaSettings, warehouse: DuckDBWarehouse) -> None:
    store(warehouse, PRICES_TOPIC, minutes_ago=1)

    assert check_streams(warehouse, kafka, LIMITS) == {PRICES_TOPIC: 0, NEWS_TOPIC: 0}


def test_every_finding_is_one_sentence_with_its_figures(
    kafka: KafkaSettings, warehouse: DuckDBWarehouse
) -> None:
    send(kafka, PRICES_TOPIC, 8)
    send(kafka, NEWS_TOPIC, 4)
    send(kafka, NEWS_TOPIC, 2, partition=1)
    store(warehouse, PRICES_TOPIC, minutes_ago=61.5, next_offset=1)

    with pytest.raises(StreamsNotReadyError) as raised:
        check_streams(warehouse, kafka, LIMITS)

    slow = "more than the 5 allowed: the consumer has stopped or is too slow."
    assert str(raised.value).splitlines() == [
        "The newest event of bitcoin-prices was stored 61 minutes ago, more than the 60 allowed: the source"
        " is stale, or the producer or the consumer has stopped.",
        f"7 messages of bitcoin-prices wait in Kafka, {slow}",
        f"6 messages of news-events wait in Kafka, {slow}",
    ]


def test_stale_news_are_a_finding_once_there_were_some(
    kafka: KafkaSettings, warehouse: DuckDBWarehouse
) -> None:
    store(warehouse, PRICES_TOPIC, minutes_ago=1)
    store(warehouse, NEWS_TOPIC, minutes_ago=601)

    with pytest.raises(
        StreamsNotReadyError, match=r"newest event of news-events .* 601 minutes .* the 600 all"
    ):
        check_streams(warehouse, kafka, LIMITS)


def test_prices_that_never_came_are_a_finding_also_without_tables(
    kafka: KafkaSettings, tmp_path: Path
) -> None:
    with pytest.raises(StreamsNotReadyError) as raised:
        check_streams(DuckDBWarehouse(tmp_path / "new.duckdb"), kafka, LIMITS)

    assert str(raised.value) == "No event of bitcoin-prices was ever stored, and 0 messages wait in Kafka."


def test_a_missing_topic_is_named(broker: Broker, kafka: KafkaSettings, warehouse: DuckDBWarehouse) -> None:
    broker.delete_topics(*TOPICS)
    store(warehouse, PRICES_TOPIC, minutes_ago=1)

    with pytest.raises(StreamsNotReadyError) as raised:
        check_streams(warehouse, kafka, LIMITS)

    assert str(raised.value) == (
        "Kafka has no topic bitcoin-prices: the producer has not created it yet, or it was deleted."
    )


def test_messages_that_kafka_has_deleted_are_not_waiting() -> None:
    stored = gate.Stored(None, {0: 10, 1: 100})

    spans = {0: gate.Span(first=40, end=50), 1: gate.Span(first=0, end=101), 2: gate.Span(first=7, end=9)}

    assert stored.lag(spans) == 10 + 1 + 2


def test_a_broker_that_is_down_is_named_beside_stale_events(warehouse: DuckDBWarehouse) -> None:
    store(warehouse, PRICES_TOPIC, minutes_ago=90)
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        server = f"127.0.0.1:{listener.getsockname()[1]}"

    with pytest.raises(StreamsNotReadyError) as raised:
        check_streams(warehouse, KafkaSettings(bootstrap_servers=server), LIMITS)

    stale, unreachable = str(raised.value).splitlines()
    assert "bitcoin-prices was stored 90 minutes ago" in stale
    assert unreachable.startswith(f"Kafka at {server} cannot be reached: ")


def test_a_broker_that_does_not_answer_is_given_up(
    warehouse: DuckDBWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "BROKER_TIMEOUT_SECONDS", 1)
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        server = f"127.0.0.1:{silent.getsockname()[1]}"

        with pytest.raises(StreamsNotReadyError, match=rf"^Kafka at {server} did not answer within 1 s\.$"):
            check_streams(warehouse, KafkaSettings(bootstrap_servers=server), LIMITS)
