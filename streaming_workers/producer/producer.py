"""The producer: polls the feeds and delivers their events to Kafka until a signal stops it."""

import asyncio
import signal

import structlog

from streaming_workers.producer.delivery import Delivery
from streaming_workers.producer.feeds import Feed, NewsFeed, PriceFeed
from streaming_workers.producer.outbox import Outbox
from streaming_workers.producer.poller import STALL_SECONDS, FeedPoller
from streaming_workers.settings import KafkaSettings, ProducerSettings

FLUSH_SECONDS = 2.5  # with closing the client and the monitoring, below the 5 s that stopping may take

log = structlog.get_logger(__name__)


class Producer:
    """The feeds, the outbox and the delivery of one process. Raises ValueError that names a bad setting."""

    def __init__(self, settings: ProducerSettings, kafka: KafkaSettings) -> None:
        self._outbox = Outbox()
        self._delivery = Delivery(kafka, self._outbox)
        self._pollers = [FeedPoller(feed, self._outbox) for feed in feeds(settings)]

    def health(self) -> str | None:
        """Return what is wrong, or None; for monitoring."""
        waited = self._outbox.longest_wait()
        if waited > STALL_SECONDS:
            return f"{len(self._outbox)} events wait for Kafka, the oldest for {waited:.0f} s"
        return next((problem for poller in self._pollers if (problem := poller.problem())), None)

    async def run(self) -> None:
        """Work until SIGTERM or SIGINT, then send what waits, within bounds."""
        stop = asyncio.Event()
        for signum in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(signum, stop.set)
        async with asyncio.TaskGroup() as tasks:
            delivery = tasks.create_task(self._delivery.run())
            pollers = [tasks.create_task(poller.run()) for poller in self._pollers]
            await stop.wait()
            for poller in pollers:
                poller.cancel()
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
    """Return the feeds that can run with these settings; log which cannot."""
    if settings.newsapi_key is None:
        log.warning("NEWSAPI_KEY is not set: the news feed stays off")
        return [PriceFeed(settings)]
    return [PriceFeed(settings), NewsFeed(settings)]
