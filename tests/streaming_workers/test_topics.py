"""The topics are made as the settings say, once, and what is there already stays as it is."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaConnectionError
from structlog.testing import capture_logs

from streaming_workers.events import STREAMS
from streaming_workers.settings import KafkaSettings
from streaming_workers.topics import (
    DEAD_LETTER_MAX_BYTES,
    TopicError,
    ensure_topics,
    partition_counts,
    retry_while_unreachable,
)
from tests.kafka import Broker, free_port

pytestmark = pytest.mark.slow  # files and processes: some seconds in all

NAMES = {name for stream in STREAMS.values() for name in (stream.topic, stream.dead_letter_topic)}
DAY_MS = 24 * 3_600_000


@pytest.fixture
def kafka(broker: Broker) -> KafkaSettings:
    """Settings that lead to a broker without the topics."""
    broker.delete_topics(*NAMES)
    return broker.kafka_settings(partitions=4, retention_hours=24)


def test_topics_are_made_as_the_settings_say(kafka: KafkaSettings) -> None:
    asyncio.run(ensure_topics(kafka))

    assert stream_topics(kafka) == {
        "bitcoin-prices": 4,
        "bitcoin-prices.dlq": 4,
        "news-events": 4,
        "news-events.dlq": 4,
    }
    for stream in STREAMS.values():
        events, dead_letters = configs(kafka, stream.topic), configs(kafka, stream.dead_letter_topic)
        assert events["retention.ms"] == str(DAY_MS)
        assert dead_letters["retention.ms"] == str(4 * DAY_MS)
        assert events["cleanup.policy"] == dead_letters["cleanup.policy"] == "delete"
        assert int(dead_letters["max.message.bytes"]) > int(events["max.message.bytes"])


def test_the_largest_event_with_headers_fits_into_the_dead_letters(kafka: KafkaSettings) -> None:
    asyncio.run(ensure_topics(kafka))
    largest = int(configs(kafka, "bitcoin-prices")["max.message.bytes"])

    async def send() -> Any:
        arguments = kafka.client_arguments() | {"max_request_size": DEAD_LETTER_MAX_BYTES}
        async with AIOKafkaProducer(**arguments, acks="all") as producer:
            headers = [("__connect.errors.exception.stacktrace", b"x" * 100_000)]
            return await producer.send_and_wait("bitcoin-prices.dlq", bytes(largest), headers=headers)

    assert asyncio.run(send()).offset == 0


def test_making_them_again_changes_and_says_nothing(kafka: KafkaSettings) -> None:
    asyncio.run(ensure_topics(kafka))
    before = {name: configs(kafka, name) for name in NAMES}
    other = kafka.model_copy(update={"partitions": 9, "retention_hours": 1})

    with capture_logs() as logs:
        asyncio.run(ensure_topics(other))

    assert logs == []
    assert stream_topics(kafka) == dict.fromkeys(NAMES, 4)
    assert {name: configs(kafka, name) for name in NAMES} == before


def test_workers_that_start_together_make_each_topic_once(kafka: KafkaSettings) -> None:
    async def start_together() -> None:
        await asyncio.gather(*(ensure_topics(kafka) for _ in range(5)))

    with capture_logs() as logs:
        asyncio.run(start_together())

    assert stream_topics(kafka) == dict.fromkeys(NAMES, 4)
    assert sorted(line["topic"] for line in logs if line["event"] == "created a topic") == sorted(NAMES)


def test_dead_letters_get_the_partitions_that_a_topic_made_by_others_has(kafka: KafkaSettings) -> None:
    make(kafka, NewTopic("news-events", 6, 1, topic_configs={"retention.ms": "1234567"}))

    asyncio.run(ensure_topics(kafka))

    assert stream_topics(kafka)["news-events.dlq"] == 6
    assert stream_topics(kafka)["news-events"] == 6
    assert configs(kafka, "news-events")["retention.ms"] == "1234567"


def test_a_dead_letter_topic_that_is_too_narrow_is_named_in_the_log(kafka: KafkaSettings) -> None:
    make(kafka, NewTopic("news-events", 6, 1), NewTopic("news-events.dlq", 2, 1))

    with capture_logs() as logs:
        asyncio.run(ensure_topics(kafka))

    (warning,) = [line for line in logs if line["log_level"] == "warning"]
    assert (warning["topic"], warning["partitions"], warning["needed"]) == ("news-events.dlq", 2, 6)
    assert stream_topics(kafka)["news-events.dlq"] == 2


def test_a_refusal_names_topic_reason_and_settings(kafka: KafkaSettings) -> None:
    """There is one broker, so nobody can hold the second and third replica."""
    with pytest.raises(TopicError, match=r"bitcoin-prices with 4 partitions and 3 replicas: .*replication"):
        asyncio.run(ensure_topics(kafka.model_copy(update={"replication": 3})))

    assert stream_topics(kafka) == {}


def test_a_cluster_that_cannot_be_reached_is_an_error_unless_one_waits() -> None:
    nowhere = KafkaSettings(bootstrap_servers=f"127.0.0.1:{free_port()}")

    with pytest.raises(KafkaConnectionError):
        asyncio.run(ensure_topics(nowhere))


def test_a_worker_waits_for_a_cluster_that_is_not_up_yet() -> None:
    tries = 0

    async def third_time_lucky() -> str:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise KafkaConnectionError("nobody listens")
        return "done"

    with capture_logs() as logs:
        assert asyncio.run(wait_for(third_time_lucky)) == "done"

    assert [(line["error"], line["tries"]) for line in logs] == [
        ("KafkaConnectionError: nobody listens", 1),
        ("KafkaConnectionError: nobody listens", 2),
    ]


def test_waiting_does_not_hide_a_refusal() -> None:
    async def refuse() -> None:
        raise TopicError("not allowed")

    with pytest.raises(TopicError, match="not allowed"):
        asyncio.run(wait_for(refuse))


def test_a_worker_that_waits_can_be_stopped_at_once() -> None:
    nowhere = KafkaSettings(bootstrap_servers=f"127.0.0.1:{free_port()}")

    async def cancel_after(seconds: float) -> float:
        waiting: asyncio.Task[None] = asyncio.create_task(retry_while_unreachable()(ensure_topics, nowhere))
        await asyncio.sleep(seconds)
        assert not waiting.done()
        began = time.monotonic()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        return time.monotonic() - began

    assert asyncio.run(cancel_after(2)) < 0.2


async def wait_for(action: Callable[[], Awaitable[Any]]) -> Any:
    return await retry_while_unreachable()(action)


def stream_topics(kafka: KafkaSettings) -> dict[str, int]:
    """Return the number of partitions of those topics that exist, of the four."""
    counts = asyncio.run(partition_counts(kafka))
    return {name: count for name, count in counts.items() if name in NAMES}


def configs(kafka: KafkaSettings, topic: str) -> dict[str, str]:
    async def describe(admin: AIOKafkaAdminClient) -> Any:
        return await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])

    (response,) = asyncio.run(as_admin(kafka, describe))
    ((_, _, _, _, entries),) = response.resources
    return {name: value for name, value, *_ in entries}


def make(kafka: KafkaSettings, *topics: NewTopic) -> None:
    async def create(admin: AIOKafkaAdminClient) -> Any:
        return await admin.create_topics(list(topics))

    response = asyncio.run(as_admin(kafka, create))
    assert {code for _, code, *_ in response.topic_errors} == {0}
    while not {topic.name for topic in topics} <= stream_topics(kafka).keys():
        time.sleep(0.05)


async def as_admin(kafka: KafkaSettings, action: Callable[[AIOKafkaAdminClient], Awaitable[Any]]) -> Any:
    admin = AIOKafkaAdminClient(**kafka.client_arguments())
    try:
        await admin.start()
        return await action(admin)
    finally:
        await admin.close()
