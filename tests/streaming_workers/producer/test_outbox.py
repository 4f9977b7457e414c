"""An event waits until Kafka has it, is sent once by a process, and no outage fills the memory."""

import asyncio
import time
from datetime import UTC, datetime

import pytest

from streaming_workers.events import NEWS_TOPIC, NewsEvent
from streaming_workers.producer.outbox import MAX_EVENT_BYTES, Offer, Outbox

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def news(number: int, description: str = "") -> NewsEvent:
    return NewsEvent(
        event_id=str(number),
        source_name="Reuters",
        headline="Gold holds",
        description=description,
        url=f"https://news.example/{number}",
        author=None,
        category=None,
        published_at=NOW,
        fetched_at=NOW,
    )


def settle_all(outbox: Outbox) -> list[str]:
    messages = asyncio.run(outbox.next(1000))
    for message in messages:
        outbox.settle(message)
    return [message.event_id for message in messages]


def test_an_event_is_taken_once_while_it_waits_and_after_it_was_sent() -> None:
    outbox = Outbox()

    assert [outbox.offer(NEWS_TOPIC, news(number)) for number in (1, 2, 1)] == [
        Offer.NEW,
        Offer.NEW,
        Offer.KNOWN,
    ]
    assert settle_all(outbox) == ["1", "2"]
    assert outbox.offer(NEWS_TOPIC, news(1)) is Offer.KNOWN
    assert len(outbox) == 0


def test_what_is_not_settled_comes_again_and_first() -> None:
    outbox = Outbox()
    for number in (1, 2, 3):
        outbox.offer(NEWS_TOPIC, news(number))
    outbox.settle(asyncio.run(outbox.next(3))[1])

    assert [message.event_id for message in asyncio.run(outbox.next(3))] == ["1", "3"]


def test_a_full_outbox_takes_nothing_new_and_takes_it_later() -> None:
    outbox = Outbox(capacity=2)

    assert [outbox.offer(NEWS_TOPIC, news(number)) for number in (1, 2, 3)][-1] is Offer.NO_ROOM
    assert settle_all(outbox) == ["1", "2"]
    assert outbox.offer(NEWS_TOPIC, news(3)) is Offer.NEW


def test_the_memory_forgets_what_was_shown_longest_ago() -> None:
    outbox = Outbox(memory=2)
    for number in (1, 2):
        outbox.offer(NEWS_TOPIC, news(number))
    settle_all(outbox)
    outbox.offer(NEWS_TOPIC, news(1))  # still on the page
    outbox.offer(NEWS_TOPIC, news(3))
    settle_all(outbox)

    assert outbox.offer(NEWS_TOPIC, news(1)) is Offer.KNOWN
    assert outbox.offer(NEWS_TOPIC, news(2)) is Offer.NEW


def test_an_event_that_no_consumer_takes_is_not_sent() -> None:
    assert Outbox().offer(NEWS_TOPIC, news(1, "x" * MAX_EVENT_BYTES)) is Offer.TOO_LONG


def test_the_wait_of_the_oldest_is_known() -> None:
    outbox = Outbox()
    assert outbox.longest_wait() == 0
    outbox.offer(NEWS_TOPIC, news(1))
    time.sleep(0.05)
    outbox.offer(NEWS_TOPIC, news(2))

    assert outbox.longest_wait() >= 0.05


def test_emptied_waits_for_the_last_message() -> None:
    async def wait() -> None:
        outbox = Outbox()
        outbox.offer(NEWS_TOPIC, news(1))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(outbox.emptied(), 0.01)
        outbox.settle((await outbox.next(1))[0])
        await asyncio.wait_for(outbox.emptied(), 1)

    asyncio.run(wait())
