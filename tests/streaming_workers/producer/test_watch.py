"""The schedule of a feed keeps its beat, gives way to its provider, and says when a feed is dead."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from streaming_workers.producer import __main__ as producer
from streaming_workers.producer.__main__ import Producer, Watch, next_look
from streaming_workers.producer.feeds import Look
from streaming_workers.producer.json_api import FeedError
from streaming_workers.producer.outbox import Outbox
from streaming_workers.settings import KafkaSettings
from streaming_workers.threads import in_daemon_thread
from tests.streaming_workers.feed_server import settings_for
from tests.streaming_workers.producer.test_outbox import news


class FakeFeed:
    """A feed that does what a test says, and counts."""

    name = "prices"
    topic = "bitcoin-prices"

    def __init__(self, action: Callable[[], Look], interval_seconds: float = 0.05) -> None:
        self.interval_seconds = interval_seconds
        self.action = action
        self.times: list[float] = []

    def look(self) -> Look:
        self.times.append(time.monotonic())
        return self.action()


def watch_for(seconds: float, *watches: Watch) -> None:
    async def run() -> None:
        tasks = [asyncio.create_task(watch.run()) for watch in watches]
        await asyncio.sleep(seconds)
        for task in tasks:
            assert not task.done()
            task.cancel()

    asyncio.run(run())


def fail(error: Exception) -> Look:
    raise error


def slow(wait: Callable[[float], object], seconds: float) -> Look:
    wait(seconds)
    return Look()


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    """What was logged, instead of the colourful kind of it."""
    with capture_logs() as entries:
        yield entries


@pytest.mark.parametrize(
    ("not_before", "expected"),
    [(100.0, 110.0), (100.2, 110.0), (109.9, 110.0), (110.0, 120.0), (134.0, 140.0)],
)
def test_looks_keep_the_beat_and_a_slow_one_skips_what_it_missed(not_before: float, expected: float) -> None:
    assert next_look(start=100, not_before=not_before, interval=10) == expected


def test_a_slow_look_does_not_stack_up() -> None:
    feed = FakeFeed(lambda: slow(time.sleep, 0.12))

    watch_for(0.6, Watch(feed, Outbox()))

    assert 2 <= len(feed.times) <= 4
    assert all(after - before >= 0.12 for before, after in zip(feed.times, feed.times[1:], strict=False))


@pytest.mark.parametrize("error", [FeedError("http_500", "HTTP 500"), KeyError("a bug")])
def test_a_feed_that_fails_is_looked_at_again_and_stops_no_other(
    error: Exception, logged: list[MutableMapping[str, Any]]
) -> None:
    failing, working = FakeFeed(lambda: fail(error)), FakeFeed(Look)

    watch_for(0.5, Watch(failing, Outbox()), Watch(working, Outbox()))

    assert len(failing.times) > 2
    assert len(working.times) > 2
    assert len([entry for entry in logged if entry["event"] == "feed failed"]) == 1  # and not each time


def test_a_feed_that_hangs_stops_no_other() -> None:
    release = threading.Event()
    hanging, working = FakeFeed(lambda: slow(release.wait, 20)), FakeFeed(Look)

    watch_for(0.5, Watch(hanging, Outbox()), Watch(working, Outbox()))

    release.set()
    assert len(hanging.times) == 1
    assert len(working.times) > 2


def test_a_provider_that_asks_for_a_pause_gets_it() -> None:
    feed = FakeFeed(lambda: fail(FeedError("http_429", "HTTP 429", retry_after=60)))

    watch_for(0.4, Watch(feed, Outbox()))

    assert len(feed.times) == 1


def test_a_feed_without_success_for_long_is_a_problem_until_it_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(producer, "STALL_SECONDS", 0.2)
    feed = FakeFeed(lambda: fail(FeedError("http_500", "HTTP 500")))
    watch = Watch(feed, Outbox())

    assert watch.problem() is None
    watch_for(0.4, watch)
    assert "no look at prices has succeeded" in str(watch.problem())
    assert "http_500" in str(watch.problem())

    feed.action = Look
    watch_for(0.1, watch)
    assert watch.problem() is None


def test_events_that_wait_for_long_are_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Producer(settings_for("http://127.0.0.1:1"), KafkaSettings())
    one._outbox.offer("news-events", news(1))
    assert one.health() is None

    monkeypatch.setattr(producer, "STALL_SECONDS", -1)
    assert str(one.health()).startswith("1 events wait for Kafka, the oldest for 0 s")


def test_an_error_in_a_thread_is_raised_where_it_is_awaited() -> None:
    with pytest.raises(FeedError, match="HTTP 500"):
        asyncio.run(in_daemon_thread(lambda: fail(FeedError("http_500", "HTTP 500"))))
