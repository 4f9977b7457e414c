"""From the outbox to Kafka: acknowledged, in order, through outages, without avoidable duplicates."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from prometheus_client import Counter, Gauge

from streaming_workers.producer.outbox import Message, Outbox
from streaming_workers.settings import KafkaSettings
from streaming_workers.topics import TopicError, ensure_topics

SENT = Counter("producer_events_sent", "Events that Kafka has acknowledged.", ["topic"])
REFUSED = Counter("producer_events_refused", "Events that Kafka would not take.", ["topic"])
WAITING = Gauge("producer_events_waiting", "Events that wait for Kafka.")

BATCH_MESSAGES = 1000  # messages handed to the client before their acknowledgements are awaited
START_SECONDS = 30
CLOSE_SECONDS = 0.5
MAX_PAUSE_SECONDS = 5  # between two tries to connect
SILENCE_SECONDS = 30  # a wait for Kafka is logged this often

log = structlog.get_logger(__name__)


class Delivery:
    """Sends what the outbox holds.

    The client is idempotent and itself repeats a message until Kafka has it, once. Only when it gives up
    (its producer id is lost, a topic was deleted, a permission is missing) a new client sends the rest; then
    a message whose acknowledgement was lost may be there twice, with the same event_id.
    """

    def __init__(self, kafka: KafkaSettings, outbox: Outbox) -> None:
        self._kafka = kafka
        self._outbox = outbox
        self._failures = 0
        WAITING.set_function(lambda: len(outbox))

    async def run(self) -> None:
        """Send until cancelled; after an error of Kafka's, which is logged, connect again."""
        while True:
            try:
                async with _client(self._kafka) as client:
                    log.info("connected to Kafka", brokers=self._kafka.bootstrap_servers)
                    await self._send_all(client)
            except (KafkaError, TopicError, OSError) as error:
                pause = min(MAX_PAUSE_SECONDS, 2**self._failures) * random.uniform(0.5, 1)  # noqa: S311
                self._failures = min(self._failures + 1, 10)
                log.warning(
                    "waiting for Kafka",
                    error=str(error) or type(error).__name__,
                    events_waiting=len(self._outbox),
                    next_try_seconds=round(pause, 1),
                )
                await asyncio.sleep(pause)

    async def _send_all(self, client: AIOKafkaProducer) -> None:
        """Send until an error that this client cannot recover from, and raise that."""
        while True:
            handed_over, error = await self._hand_over(client, await self._outbox.next(BATCH_MESSAGES))
            await self._wait(handed_over)
            failed = [
                problem for one in handed_over if (problem := one.exception()) and not _is_refusal(problem)
            ]
            if failed:
                raise failed[0]
            if error and not handed_over:
                raise error

    async def _hand_over(
        self, client: AIOKafkaProducer, messages: list[Message]
    ) -> tuple[list["asyncio.Future[Any]"], KafkaError | None]:
        """Give messages to the client; ends early with the error if its buffer is full."""
        handed_over: list[asyncio.Future[Any]] = []
        for message in messages:
            try:
                future = await client.send(message.topic, value=message.value, key=message.key)
            except KafkaError as error:
                return handed_over, error
            # A callback counts also what is acknowledged while this task is being cancelled.
            future.add_done_callback(partial(self._settle, message))
            handed_over.append(future)
        return handed_over, None

    async def _wait(self, handed_over: list["asyncio.Future[Any]"]) -> None:
        pending = set(handed_over)
        while pending:
            _, pending = await asyncio.wait(pending, timeout=SILENCE_SECONDS)
            if pending:
                log.warning(
                    "Kafka has not acknowledged",
                    events_waiting=len(self._outbox),
                    seconds=round(self._outbox.longest_wait()),
                )

    def _settle(self, message: Message, acknowledged: "asyncio.Future[Any]") -> None:
        if acknowledged.cancelled():
            return
        error = acknowledged.exception()
        if error is None:
            self._failures = 0
            SENT.labels(message.topic).inc()
            self._outbox.settle(message)
        elif _is_refusal(error):
            REFUSED.labels(message.topic).inc()
            log.error(
                "Kafka refuses an event", topic=message.topic, event_id=message.event_id, error=str(error)
            )
            self._outbox.settle(message)


def _is_refusal(error: BaseException) -> bool:
    """Return whether the message itself is wrong, so that a retry cannot succeed."""
    return isinstance(error, MessageSizeTooLargeError)


@contextlib.asynccontextmanager
async def _client(kafka: KafkaSettings) -> AsyncIterator[AIOKafkaProducer]:
    """Give a connected client, with the topics there; raises KafkaError, TopicError or OSError."""
    await ensure_topics(kafka)
    client = AIOKafkaProducer(
        **kafka.client_arguments(),
        client_id="marketing-producer",
        acks="all",
        enable_idempotence=True,
        compression_type="lz4",
        linger_ms=5,
        max_batch_size=131_072,
        request_timeout_ms=10_000,
        retry_backoff_ms=250,
    )
    try:
        async with asyncio.timeout(START_SECONDS):
            await client.start()
        yield client
    finally:
        # Without a bound it would wait for a broker that is away; the flush, if any, is over by now.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(client.stop(), CLOSE_SECONDS)
