"""Creates the topics of the streams and of their dead letters where they are missing; changes no other."""

import asyncio
import time
from collections.abc import Iterator, Mapping

import structlog
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    BrokerResponseError,
    KafkaError,
    LeaderNotAvailableError,
    NoError,
    TopicAlreadyExistsError,
    for_code,
)
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential

from streaming_workers.events import STREAMS
from streaming_workers.settings import KafkaSettings

log = structlog.get_logger(__name__)

# A dead letter is an event, which may be 1 MiB long as Kafka's default goes, with headers that say why.
DEAD_LETTER_MAX_BYTES = 2 * 1024 * 1024
DEAD_LETTER_RETENTION = 4  # times the retention of the events: an operator needs time to decide
HOUR_MS = 3_600_000
MAX_PAUSE_SECONDS = 10
SHOWN_WITHIN_SECONDS = 30


class TopicError(RuntimeError):
    """The cluster refuses to create a topic; the message names the topic, the reason and the settings."""


def retry_while_unreachable() -> AsyncRetrying:
    """Return a retry without limit, each try logged, while the cluster cannot be reached.

    `await retry_while_unreachable()(ensure_topics, settings)`; cancelling the task ends it at once.
    Other errors, and refusals by a cluster that is reached, are raised.
    """
    return AsyncRetrying(
        retry=retry_if_exception(_is_retriable),
        wait=wait_random_exponential(multiplier=0.5, max=MAX_PAUSE_SECONDS),
        before_sleep=_log_pause,
        reraise=True,
    )


async def ensure_topics(settings: KafkaSettings) -> None:
    """Create the topics of STREAMS and their dead-letter topics that are missing; change no other.

    When it returns, clients see the topics. Several workers may call it at once. Raises TopicError if the
    cluster refuses, and a KafkaError that is `retriable` if it cannot be reached.
    """
    admin = AIOKafkaAdminClient(**settings.client_arguments())
    try:
        await admin.start()
        existing = await _partition_counts(admin)
        missing = list(missing_topics(existing, settings))
        if missing:
            await _create(admin, missing, settings)
            await _wait_until_shown(admin, {topic.name for topic in missing})
        _warn_of_narrow_dead_letters(existing)
    finally:
        await admin.close()


async def partition_counts(settings: KafkaSettings) -> dict[str, int]:
    """Return the number of partitions of every topic that we may see, by name."""
    admin = AIOKafkaAdminClient(**settings.client_arguments())
    try:
        await admin.start()
        return await _partition_counts(admin)
    finally:
        await admin.close()


def missing_topics(existing: Mapping[str, int], settings: KafkaSettings) -> Iterator[NewTopic]:
    """Yield the topics to create, given the number of partitions of each that exists.

    A dead letter keeps its event's partition, so its topic has as many partitions as the event's.
    """
    for stream in STREAMS.values():
        if stream.topic not in existing:
            yield _new_topic(stream.topic, settings.partitions, settings, settings.retention_hours)
        if stream.dead_letter_topic not in existing:
            partitions = existing.get(stream.topic, settings.partitions)
            hours = settings.retention_hours * DEAD_LETTER_RETENTION
            limit = {"max.message.bytes": str(DEAD_LETTER_MAX_BYTES)}
            yield _new_topic(stream.dead_letter_topic, partitions, settings, hours, **limit)


def _new_topic(name: str, partitions: int, settings: KafkaSettings, hours: int, **configs: str) -> NewTopic:
    return NewTopic(
        name,
        partitions,
        settings.replication,
        topic_configs={
            "cleanup.policy": "delete",
            "retention.ms": str(hours * HOUR_MS),
            # acks=all then means that an event outlives the loss of a broker, and one may be down.
            "min.insync.replicas": str(max(1, settings.replication - 1)),
            **configs,
        },
    )


async def _create(admin: AIOKafkaAdminClient, topics: list[NewTopic], settings: KafkaSettings) -> None:
    response = await admin.create_topics(topics)
    partitions = {topic.name: topic.num_partitions for topic in topics}
    for name, code, *message in response.topic_errors:
        error = for_code(code)
        if error is NoError:
            log.info(
                "created a topic", topic=name, partitions=partitions[name], replicas=settings.replication
            )
        elif error.retriable:
            raise error(*message)
        elif error is not TopicAlreadyExistsError:  # another worker was quicker
            raise TopicError(_refusal(name, partitions[name], settings, error, message[0] if message else ""))


async def _wait_until_shown(admin: AIOKafkaAdminClient, names: set[str]) -> None:
    """Return once the brokers show what the controller has created, some milliseconds later."""
    deadline = time.monotonic() + SHOWN_WITHIN_SECONDS
    while absent := names - (await _partition_counts(admin)).keys():
        if time.monotonic() > deadline:
            raise LeaderNotAvailableError(f"no broker shows the new topics {', '.join(sorted(absent))}")
        await asyncio.sleep(0.05)


def _refusal(
    name: str, partitions: int, settings: KafkaSettings, error: type[BrokerResponseError], reason: str
) -> str:
    return (
        f"The cluster at {settings.bootstrap_servers} does not make topic {name} with {partitions} partitions"
        f" and {settings.replication} replicas: {reason or error.description} ({error.message})"
    )


async def _partition_counts(admin: AIOKafkaAdminClient) -> dict[str, int]:
    # All topics: asking for a missing one would create it on a cluster with auto.create.topics.enable.
    return {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics()}


def _warn_of_narrow_dead_letters(existing: Mapping[str, int]) -> None:
    for stream in STREAMS.values():
        events, dead_letters = existing.get(stream.topic, 0), existing.get(stream.dead_letter_topic)
        if dead_letters is not None and dead_letters < events:
            log.warning(
                "the dead-letter topic has fewer partitions than its stream; add some",
                topic=stream.dead_letter_topic,
                partitions=dead_letters,
                needed=events,
            )


def _is_retriable(error: BaseException) -> bool:
    return isinstance(error, KafkaError) and error.retriable


def _log_pause(state: RetryCallState) -> None:
    log.warning(
        "Kafka cannot be reached, trying again",
        error=str(state.outcome.exception()) if state.outcome else None,
        tries=state.attempt_number,
        pause_seconds=round(state.upcoming_sleep, 1),
    )
