"""One member of the consumer group: its Kafka client, and the reader and storer that work with it."""

import asyncio
import signal
import threading
import time
from collections.abc import Coroutine
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from streaming_workers.consumer.assignment import Assignment
from streaming_workers.consumer.progress import LAG_INTERVAL_SECONDS, Progress
from streaming_workers.consumer.reader import Reader
from streaming_workers.consumer.sinks import Sink
from streaming_workers.consumer.storing import Storer
from streaming_workers.dead_letters.topic import DeadLetterWriter
from streaming_workers.events import STREAMS
from streaming_workers.settings import ConsumerSettings, KafkaSettings
from streaming_workers.topics import ensure_topics, retry_while_unreachable

GROUP = "warehouse-sink"
FETCH_BYTES_PER_PARTITION = 2 * 1024 * 1024  # a longer message is fetched all the same, alone
REQUEST_TIMEOUT_MS = 15_000
HEARTBEAT_MS = 1000
NEW_PARTITIONS_SEEN_MS = 30_000
# aiokafka leaves the group where nobody polls for so long; a warehouse that is down is no reason to leave.
POLL_INTERVAL_MS = 2**31 - 1
RESTART_SECONDS = 2
FINISH_SECONDS = 2
COMMIT_SECONDS = 0.5
CLOSE_SECONDS = 1

log = structlog.get_logger(__name__)


class Consumer:
    """One member of the group: a Kafka client, what it reads, and the one batch that is being stored."""

    def __init__(self, settings: ConsumerSettings, kafka: KafkaSettings, sink: Sink) -> None:
        self._settings = settings
        self._kafka = kafka
        self._sink = sink
        self._progress = Progress(settings.stall_seconds)
        self._dead_letters = DeadLetterWriter(kafka, GROUP)
        self._storer = Storer(sink, self._dead_letters, self._progress)
        self._stopping = False

    def health(self) -> str | None:
        """Return what is wrong, or None; for monitoring."""
        return self._progress.health()

    async def run(self, deadline: threading.Timer) -> None:
        """Work until SIGTERM or SIGINT, then start the deadline and stop."""
        stop = asyncio.Event()
        for signum in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(signum, stop.set)
        work = asyncio.create_task(self._work())
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            stopped.cancel()
            work.result()
        deadline.start()
        self._stopping = True
        work.cancel()
        await asyncio.wait({work})
        await self._dead_letters.keep([])
        log.info("stopped")

    async def _work(self) -> None:
        """Consume until cancelled, with a new client after an error that the old one may not recover from."""
        while True:
            await retry_while_unreachable()(ensure_topics, self._kafka)
            try:
                await self._consume()
            except* KafkaError as group:
                errors = [repr(error) for error in group.exceptions]
                log.error("the Kafka client failed, starting a new one", errors=errors)  # noqa: TRY400
            await asyncio.sleep(RESTART_SECONDS)

    async def _consume(self) -> None:
        """Read and store with one client; raises KafkaError, bare or in a group, when it fails."""
        client = self._new_client()
        assignment = Assignment(client)
        reader = Reader(
            client,
            assignment,
            settings=self._settings,
            sink=self._sink,
            storer=self._storer,
            dead_letters=self._dead_letters,
            progress=self._progress,
        )
        try:
            await client.start()
            client.subscribe(list(STREAMS), listener=assignment)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(reader.run())
                tasks.create_task(self._track_lag(client, assignment))
        finally:
            if self._stopping:
                await self._storer.finish(FINISH_SECONDS)
            await self._close(client, assignment)
            assignment.on_partitions_revoked([])  # ends the retries of this client's batch

    async def _track_lag(self, client: AIOKafkaConsumer, assignment: Assignment) -> None:
        """Measure the lag and commit the stored offsets to the group, every LAG_INTERVAL_SECONDS.

        Raises KafkaError where there has been lag for long, but neither messages nor an error.
        """
        started = time.monotonic()
        while True:
            try:
                async with asyncio.timeout(REQUEST_TIMEOUT_MS / 1000):
                    await self._measure_lag(client, assignment)
                    await self._commit(client, assignment)
            except (KafkaError, TimeoutError) as error:
                log.warning("lag or committed offsets are out of date", error=repr(error))
            has_had_time = time.monotonic() - started > self._settings.stall_seconds
            if has_had_time and self._storer.idle and self._progress.stalled:
                raise KafkaError("the client brings no messages, although some wait")
            await asyncio.sleep(LAG_INTERVAL_SECONDS)

    async def _measure_lag(self, client: AIOKafkaConsumer, assignment: Assignment) -> None:
        if assignment.known and not assignment.unplaced:
            self._progress.ends_known(await client.end_offsets(list(assignment.partitions)))

    async def _commit(self, client: AIOKafkaConsumer, assignment: Assignment) -> None:
        """Commit the stored offsets to Kafka for tools that show lag; nothing here reads them."""
        stored = self._progress.next_offsets
        if mine := {one: offset for one, offset in stored.items() if one in assignment.positions}:
            await client.commit(mine)

    async def _close(self, client: AIOKafkaConsumer, assignment: Assignment) -> None:
        await _within(COMMIT_SECONDS, self._commit(client, assignment))
        await _within(CLOSE_SECONDS, client.stop())

    def _new_client(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            **self._kafka.client_arguments(),
            group_id=GROUP,
            enable_auto_commit=False,
            auto_offset_reset="none",  # the stored offsets decide; an offset out of range is ours to report
            isolation_level="read_committed",  # replayed dead letters come in transactions
            session_timeout_ms=int(self._settings.session_timeout_seconds * 1000),
            heartbeat_interval_ms=HEARTBEAT_MS,
            max_poll_interval_ms=POLL_INTERVAL_MS,
            max_partition_fetch_bytes=FETCH_BYTES_PER_PARTITION,
            metadata_max_age_ms=NEW_PARTITIONS_SEEN_MS,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
        )


async def _within(seconds: float, step: Coroutine[Any, Any, None]) -> None:
    """Run a step of closing within a bound: aiokafka waits much longer for a broker that is away."""
    try:
        async with asyncio.timeout(seconds):
            await step
    except (KafkaError, TimeoutError) as error:
        log.info("the Kafka client was not closed in order", error=repr(error))
