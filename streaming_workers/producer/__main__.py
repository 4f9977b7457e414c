"""The producer process: looks at the feeds on a schedule and sends what is new to Kafka.

    python -m streaming_workers.producer

Ends with 0 after SIGTERM or SIGINT (within 5 s, whatever the broker or a feed does), with 2 if a setting
cannot be used.
"""

import asyncio
import contextlib
import math
import signal
import sys
import time
from collections import Counter as Tally

import structlog
from prometheus_client import Counter, Gauge

from streaming_workers.logs import configure_logs
from streaming_workers.monitoring import MonitoringError, monitoring
from streaming_workers.producer.delivery import Delivery
from streaming_workers.producer.feeds import Feed, Look, NewsFeed, PriceFeed
from streaming_workers.producer.json_api import FeedError
from streaming_workers.producer.outbox import Offer, Outbox
from streaming_workers.settings import KafkaSettings, ProducerSettings
from streaming_workers.threads import in_daemon_thread

REJECTED = Counter("producer_items_rejected", "Items of a feed that are no event.", ["feed", "reason"])
FEED_ERRORS = Counter("producer_feed_errors", "Looks at a feed that gave nothing.", ["feed", "reason"])
LAST_LOOK = Gauge("producer_last_look_timestamp_seconds", "When a look last succeeded.", ["feed"])

FLUSH_SECONDS = 2.5  # with closing the client and the monitoring, below the 5 s that stopping may take
STALL_SECONDS = 180  # /healthz turns red when no look succeeds, or an event waits for Kafka, for this long

log = structlog.get_logger("streaming_workers.producer")  # __name__ is __main__


class Watch:
    """One feed on its schedule; a look that fails or hangs concerns no other feed."""

    def __init__(self, feed: Feed, outbox: Outbox) -> None:
        self._feed = feed
        self._outbox = outbox
        self._last_success = time.monotonic()
        self._failure: str | None = None
        self._failures = 0

    async def run(self) -> None:
        """Look for ever, at once and then at multiples of the interval."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        while True:
            pause = await self._look()
            now = loop.time()
            await asyncio.sleep(next_look(start, now + pause, self._feed.interval_seconds) - now)

    def problem(self) -> str | None:
        """Return what is wrong if no look has succeeded for long; safe in any thread."""
        silence = time.monotonic() - self._last_success
        if silence < max(STALL_SECONDS, 3 * self._feed.interval_seconds):
            return None
        return (
            f"no look at {self._feed.name} has succeeded for {silence:.0f} s ({self._failure or 'hanging'})"
        )

    async def _look(self) -> float:
        """Look once; return the seconds that the provider wants to be left alone."""
        try:
            look = await in_daemon_thread(self._feed.look)
        except FeedError as error:
            self._failed(error)
            return error.retry_after
        except Exception as error:  # a bug in one feed must not stop the other
            log.exception("a look failed for an unknown reason", feed=self._feed.name)
            self._failed(FeedError("unknown", type(error).__name__))
            return 0
        self._succeeded(look)
        return 0

    def _succeeded(self, look: Look) -> None:
        if self._failure:
            log.info("feed is back", feed=self._feed.name, failed_looks=self._failures)
        self._failure, self._failures = None, 0
        self._last_success = time.monotonic()
        LAST_LOOK.labels(self._feed.name).set_to_current_time()
        rejected = Tally(rejection.reason for rejection in look.rejections)
        offers = Tally(self._outbox.offer(self._feed.topic, event) for event in look.events)
        for offer in (Offer.TOO_LONG, Offer.NO_ROOM):
            if offers[offer]:
                rejected[offer.value] += offers[offer]
        for reason, count in rejected.items():
            REJECTED.labels(self._feed.name, reason).inc(count)
        if rejected:
            items = [f"{rejection.reason}: {rejection.item}" for rejection in look.rejections[:5]]
            log.warning("items rejected", feed=self._feed.name, reasons=dict(rejected), items=items)
        if offers[Offer.NEW]:
            log.info("new events", feed=self._feed.name, new=offers[Offer.NEW], of=len(look.events))

    def _failed(self, error: FeedError) -> None:
        """Count every failed look; log the first of a row with the same reason."""
        FEED_ERRORS.labels(self._feed.name, error.reason).inc()
        self._failures += 1
        if error.reason != self._failure:
            log.error("feed failed", feed=self._feed.name, error=str(error), retry_after=error.retry_after)
        self._failure = error.reason


class Producer:
    """The feeds, the outbox and the delivery of one process. Raises ValueError that names a bad setting."""

    def __init__(self, settings: ProducerSettings, kafka: KafkaSettings) -> None:
        self._outbox = Outbox()
        self._delivery = Delivery(kafka, self._outbox)
        self._watches = [Watch(feed, self._outbox) for feed in feeds(settings)]

    def health(self) -> str | None:
        """Return what is wrong, or None; for monitoring."""
        waited = self._outbox.longest_wait()
        if waited > STALL_SECONDS:
            return f"{len(self._outbox)} events wait for Kafka, the oldest for {waited:.0f} s"
        return next((problem for watch in self._watches if (problem := watch.problem())), None)

    async def run(self) -> None:
        """Work until SIGTERM or SIGINT, then send what waits, within bounds."""
        stop = asyncio.Event()
        for signum in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(signum, stop.set)
        async with asyncio.TaskGroup() as tasks:
            delivery = tasks.create_task(self._delivery.run())
            watches = [tasks.create_task(watch.run()) for watch in self._watches]
            await stop.wait()
            for watch in watches:
                watch.cancel()
            await self._flush()
            delivery.cancel()

    async def _flush(self) -> None:
        try:
            async with asyncio.timeout(FLUSH_SECONDS):
                await self._outbox.emptied()
        except TimeoutError:
            log.warning("stopped with events that Kafka has not acknowledged", events=len(self._outbox))
        else:
            log.info("stopped, every event sent")


def feeds(settings: ProducerSettings) -> list[Feed]:
    """Return the feeds that can run with these settings; says which cannot."""
    if settings.newsapi_key is None:
        log.warning("NEWSAPI_KEY is not set: the news feed stays off")
        return [PriceFeed(settings)]
    return [PriceFeed(settings), NewsFeed(settings)]


def next_look(start: float, not_before: float, interval: float) -> float:
    """Return the first time after `not_before` that is a whole number of intervals after `start`."""
    return start + (math.floor((not_before - start) / interval) + 1) * interval


def main() -> int:
    """Run the process; returns its exit code."""
    configure_logs()
    with contextlib.ExitStack() as stack:
        try:
            settings, kafka = ProducerSettings(), KafkaSettings()
            kafka.client_arguments()  # a certificate that cannot be read is an error now, not an outage later
            producer = Producer(settings, kafka)
            stack.enter_context(monitoring(settings.producer_metrics_port, producer.health))
        except (ValueError, OSError, MonitoringError) as error:
            log.error("a setting cannot be used", error=str(error))  # noqa: TRY400 (a traceback says no more)
            return 2
        asyncio.run(producer.run())
    return 0


if __name__ == "__main__":
    sys.exit(main())
