"""Polls one feed on its schedule and puts what is new into the outbox."""

import asyncio
import math
import time
from collections import Counter as Tally

import structlog
from prometheus_client import Counter, Gauge

from streaming_workers.producer.feeds import Feed, PollResult
from streaming_workers.producer.json_api import FeedError
from streaming_workers.producer.outbox import Offer, Outbox
from streaming_workers.threads import in_daemon_thread

REJECTED = Counter("producer_items_rejected", "Items of a feed that are no event.", ["feed", "reason"])
FEED_ERRORS = Counter("producer_feed_errors", "Polls of a feed that failed.", ["feed", "reason"])
LAST_POLL = Gauge("producer_last_poll_timestamp_seconds", "When a poll last succeeded.", ["feed"])

STALL_SECONDS = 180  # /healthz turns red when no poll succeeds, or an event waits for Kafka, for this long

log = structlog.get_logger(__name__)


class FeedPoller:
    """Polls one feed; a poll that fails or hangs concerns no other feed."""

    def __init__(self, feed: Feed, outbox: Outbox) -> None:
        self._feed = feed
        self._outbox = outbox
        self._last_success = time.monotonic()
        self._failure: str | None = None
        self._failures = 0

    async def run(self) -> None:
        """Poll until cancelled, at once and then at multiples of the interval."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        while True:
            pause = await self._poll()
            now = loop.time()
            await asyncio.sleep(next_poll(start, now + pause, self._feed.interval_seconds) - now)

    def problem(self) -> str | None:
        """Return what is wrong if no poll has succeeded for long; safe in any thread."""
        silence = time.monotonic() - self._last_success
        if silence < max(STALL_SECONDS, 3 * self._feed.interval_seconds):
            return None
        return (
            f"no poll of {self._feed.name} has succeeded for {silence:.0f} s ({self._failure or 'hanging'})"
        )

    async def _poll(self) -> float:
        """Poll once; return the seconds that the provider asks to wait."""
        try:
            result = await in_daemon_thread(self._feed.poll)
        except FeedError as error:
            self._failed(error)
            return error.retry_after
        except Exception as error:  # a bug in one feed must not stop the other
            log.exception("a poll failed for an unknown reason", feed=self._feed.name)
            self._failed(FeedError("unknown", type(error).__name__))
            return 0
        self._succeeded(result)
        return 0

    def _succeeded(self, result: PollResult) -> None:
        if self._failure:
            log.info("feed is back", feed=self._feed.name, failed_polls=self._failures)
        self._failure, self._failures = None, 0
        self._last_success = time.monotonic()
        LAST_POLL.labels(self._feed.name).set_to_current_time()
        rejected = Tally(rejection.reason for rejection in result.rejections)
        offers = Tally(self._outbox.offer(self._feed.topic, event) for event in result.events)
        for offer in (Offer.TOO_LONG, Offer.NO_ROOM):
            if offers[offer]:
                rejected[offer.value] += offers[offer]
        for reason, count in rejected.items():
            REJECTED.labels(self._feed.name, reason).inc(count)
        if rejected:
            items = [f"{rejection.reason}: {rejection.item}" for rejection in result.rejections[:5]]
            log.warning("items rejected", feed=self._feed.name, reasons=dict(rejected), items=items)
        if offers[Offer.NEW]:
            log.info("new events", feed=self._feed.name, new=offers[Offer.NEW], of=len(result.events))

    def _failed(self, error: FeedError) -> None:
        """Count every failed poll; log the first of consecutive ones with the same reason."""
        FEED_ERRORS.labels(self._feed.name, error.reason).inc()
        self._failures += 1
        if error.reason != self._failure:
            log.error("feed failed", feed=self._feed.name, error=str(error), retry_after=error.retry_after)
        self._failure = error.reason


def next_poll(start: float, not_before: float, interval: float) -> float:
    """Return the first time after `not_before` that is a whole number of intervals after `start`."""
    return start + (math.floor((not_before - start) / interval) + 1) * interval
