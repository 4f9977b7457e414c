"""A client that gives up is replaced and the rest is sent; a message that Kafka refuses holds up no other."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Sequence

import pytest
from aiokafka.errors import (
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    ProducerFenced,
    TopicAuthorizationFailedError,
)

from streaming_workers.events import NEWS_TOPIC
from streaming_workers.producer import delivery
from streaming_workers.producer.delivery import Delivery
from streaming_workers.producer.outbox import Outbox
from streaming_workers.settings import KafkaSettings
from streaming_workers.topics import TopicError
from tests.streaming_workers.producer.test_outbox import news


class Client:
    """A stand-in for the clients that a delivery makes, for errors that a healthy broker does not give."""

    def __init__(self, acknowledgements: list[KafkaError | None], at_once: KafkaError | None = None) -> None:
        self.acknowledgements = acknowledgements
        self.at_once = at_once
        self.got: list[str] = []

    async def send(self, topic: str, *, value: bytes, key: bytes) -> "asyncio.Future[None]":
        if not self.acknowledgements and self.at_once:
            raise self.at_once
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.got.append(key.decode().rpartition("/")[2])
        error = self.acknowledgements.pop(0) if self.acknowledgements else None
        if error:
            future.set_exception(error)
        else:
            future.set_result(None)
        return future


async def deliver(clients: Sequence[Client | Exception], monkeypatch: pytest.MonkeyPatch) -> Outbox:
    """Send three events through the clients, one after the other as each gives up."""
    remaining = deque(clients)

    @contextlib.asynccontextmanager
    async def next_client(kafka: KafkaSettings) -> AsyncIterator[Client]:
        one = remaining.popleft()
        if isinstance(one, Client):
            yield one
        else:
            raise one

    monkeypatch.setattr(delivery, "_client", next_client)
    monkeypatch.setattr(delivery, "MAX_PAUSE_SECONDS", 0)
    outbox = Outbox()
    for number in (1, 2, 3):
        outbox.offer(NEWS_TOPIC, news(number))
    task = asyncio.create_task(Delivery(KafkaSettings(), outbox).run())
    await asyncio.wait_for(outbox.emptied(), 10)
    task.cancel()
    return outbox


@pytest.mark.parametrize(
    "error", [OutOfOrderSequenceNumber(), ProducerFenced(), TopicAuthorizationFailedError("news-events")]
)
def test_a_client_that_gives_up_is_replaced_and_only_the_rest_is_sent(
    error: KafkaError, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, fresh = Client([None, error, error]), Client([])

    asyncio.run(deliver([broken, fresh], monkeypatch))

    assert (broken.got, fresh.got) == (["1", "2", "3"], ["2", "3"])


def test_a_full_buffer_is_waited_for_with_the_same_client(monkeypatch: pytest.MonkeyPatch) -> None:
    class FullOnce(Client):
        async def send(self, topic: str, *, value: bytes, key: bytes) -> "asyncio.Future[None]":
            if len(self.got) == 2 and (error := self.at_once):
                self.at_once = None
                raise error
            return await super().send(topic, value=value, key=key)

    client = FullOnce([None, None, None], at_once=KafkaTimeoutError())

    asyncio.run(deliver([client], monkeypatch))

    assert client.got == ["1", "2", "3"]


def test_a_client_that_takes_nothing_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = Client([])

    asyncio.run(deliver([Client([], at_once=KafkaTimeoutError()), fresh], monkeypatch))

    assert fresh.got == ["1", "2", "3"]


def test_a_message_that_kafka_refuses_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client([None, MessageSizeTooLargeError(), None])

    asyncio.run(deliver([client], monkeypatch))

    assert client.got == ["1", "2", "3"]


def test_a_cluster_that_cannot_make_the_topics_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client([])

    asyncio.run(deliver([TopicError("too few brokers"), TimeoutError(), client], monkeypatch))

    assert client.got == ["1", "2", "3"]
