"""Polls keep to their schedule, wait as their provider asks, and a feed without an answer is reported."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from streaming_workers.producer import poller, producer
from streaming_workers.producer.feeds import PollResult
from streaming_workers.producer.json_api import FeedError
from streaming_workers.producer.outbox import Outbox
from streaming_workers.producer.poller import FeedPoller, next_poll
from streaming_workers.producer.producer import Producer
from streaming_workers.settings import KafkaSettings
from streaming_workers.threads import in_daemon_thread
from tests.streaming_workers.feed_server import settings_for
from tests.streaming_workers.producer.test_outbox import news


class FakeFeed:
    """A feed that does what a test says, and counts."""

    name = "prices"
    topic = "bitcoin-prices"

    def __init__(self, action: Callable[[], PollResult], interval_seconds: float = 0.05) -> None:
        self.interval_seconds = interval_seconds
        self.action = action
        self.times: list[float] = []

    def poll(self) -> PollResult:
        self.times.append(time.monotonic())
        return self.action()


def poll_for(seconds: float, *pollers: FeedPoller) -> None:
    async def run() -> None:
        tasks = [asyncio.create_task(one.run()) for one in pollers]
        await asyncio.sleep(seconds)
        for task in tasks:
            assert not task.done()
            task.cancel()

    asyncio.run(run())


def fail(error: Exception) -> PollResult:
    raise error


def slow(wait: Callable[[float], object], seconds: float) -> PollResult:
    wait(seconds)
    return PollResult()


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    """What was logged, instead of the colourful kind of it."""
    with capture_logs() as entries:
        yield entries


@pytest.mark.parametrize(
    ("not_before", "expected"),
    [(100.0, 110.0), (100.2, 110.0), (109.9, 110.0), (110.0, 120.0), (134.0, 140.0)],
)
def test_polls_keep_to_the_schedule_and_skip_what_a_slow_one_missed(
    not_before: float, expected: float
) -> None:
    assert next_poll(start=100, not_before=not_before, interval=10) == expected


def test_slow_polls_do_not_overlap() -> None:
    feed = FakeFeed(lambda: slow(time.sleep, 0.12))

    poll_for(0.6, FeedPoller(feed, Outbox()))

    assert 2 <= len(feed.times) <= 4
    assert all(after - before >= 0.12 for before, after in zip(feed.times, feed.times[1:], strict=False))


@pytest.mark.parametrize("error", [FeedError("http_500", "HTTP 500"), KeyError("a bug")])
def test_a_feed_that_fails_is_polled_again_and_stops_no_other(
    error: Exception, logged: list[MutableMapping[str, Any]]
) -> None:
    failing, working = FakeFeed(lambda: fail(error)), FakeFeed(PollResult)

    poll_for(0.5, FeedPoller(failing, Outbox()), FeedPoller(working, Outbox()))

    assert len(failing.times) > 2
    assert len(working.times) > 2
    assert len([entry for entry in logged if entry["event"] == "feed failed"]) == 1  # and not each time


def test_a_feed_that_hangs_stops_no_other() -> None:
    release = threading.Event()
    hanging, working = FakeFeed(lambda: slow(release.wait, 20)), FakeFeed(PollResult)

    poll_for(0.5, FeedPoller(hanging, Outbox()), FeedPoller(working, Outbox()))

    release.set()
    assert len(hanging.times) == 1
    assert len(working.times) > 2


def test_a_provider_that_asks_for_a_pause_gets_it() -> None:
    feed = FakeFeed(lambda: fail(FeedError("http_429", "HTTP 429", retry_after=60)))

    poll_for(0.4, FeedPoller(feed, Outbox()))

    assert len(feed.times) == 1


def test_a_feed_without_success_for_long_is_a_problem_until_it_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(poller, "STALL_SECONDS", 0.2)
    feed = FakeFeed(lambda: fail(FeedError("http_500", "HTTP 500")))
    one = FeedPoller(feed, Outbox())

    assert one.problem() is None
    poll_for(0.4, one)
    assert "no poll of prices has succeeded" in str(one.problem())
    assert "http_500" in str(one.problem())

    feed.action = PollResult
    poll_for(0.1, one)
    assert one.problem() is None


def test_events_that_wait_for_long_are_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Producer(settings_for("http://127.0.0.1:1"), KafkaSettings())
    one._outbox.offer("news-events", news(1))
    assert one.health() is None

    monkeypatch.setattr(producer, "STALL_SECONDS", -1)
    assert str(one.health()).startswith("1 events wait for Kafka, the oldest for 0 s")


def test_an_error_in_a_thread_is_raised_where_it_is_awaited() -> None:
    with pytest.raises(FeedError, match="HTTP 500"):
        asyncio.run(in_daemon_thread(lambda: fail(FeedError("http_500", "HTTP 500"))))
