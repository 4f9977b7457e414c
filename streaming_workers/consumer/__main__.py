"""The consumer process: stores every event of the topics in the warehouse, once.

    python -m streaming_workers.consumer

Ends with 0 after SIGTERM or SIGINT, within 5 s: the batch that is being stored is finished if it can be, all
else is read again by the next consumer. Ends with 2 if a setting cannot be used.
"""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Coroutine
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from streaming_workers.consumer.assignment import Assignment
from streaming_workers.consumer.progress import WATCH_SECONDS, Progress
from streaming_workers.consumer.reader import Reader
from streaming_workers.consumer.sinks import Sink, get_sink
from streaming_workers.consumer.storing import Storer
from streaming_workers.dead_letters.topic import DeadLetterWriter
from streaming_workers.events import STREAMS
from streaming_workers.logs import configure_logs
from streaming_workers.monitoring import MonitoringError, monitoring
from streaming_workers.settings import ConsumerSettings, KafkaSettings
from streaming_workers.threads import still_working
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
EXIT_SECONDS = 4.5  # whatever happens: 5 s are allowed

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
        """Work until SIGTERM or SIGINT, then start the deadline and come to an end."""
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
        """Consume for ever, with a new client after an error that the old one may not get over."""
        while True:
            await retry_while_unreachable()(ensure_topics, self._kafka)
            try:
                await self._consume()
            except* KafkaError as group:
                errors = [repr(error) for error in group.exceptions]
                log.error("the Kafka client failed, starting a new one", errors=errors)  # noqa: TRY400
            await asyncio.sleep(RESTART_SECONDS)

    async def _consume(self) -> None:
        """Read and store with one client; raises KafkaError, bare or in a group, when it is of no use."""
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
                tasks.create_task(self._watch(client, assignment))
        finally:
            if self._stopping:
                await self._storer.finish(FINISH_SECONDS)
            await self._close(client, assignment)
            assignment.on_partitions_revoked([])  # what is still being tried is not this client's any more

    async def _watch(self, client: AIOKafkaConsumer, assignment: Assignment) -> None:
        """Look at the lag, and tell the group how far this consumer is, every WATCH_SECONDS.

        Raises KafkaError where messages wait for long, nothing is wrong, and none arrives.
        """
        started = time.monotonic()
        while True:
            try:
                async with asyncio.timeout(REQUEST_TIMEOUT_MS / 1000):
                    await self._look_at_lag(client, assignment)
                    await self._commit(client, assignment)
            except (KafkaError, TimeoutError) as error:
                log.warning("lag or committed offsets are out of date", error=repr(error))
            has_had_time = time.monotonic() - started > self._settings.stall_seconds
            if has_had_time and self._storer.idle and self._progress.stalled:
                raise KafkaError("the client brings no messages, although some wait")
            await asyncio.sleep(WATCH_SECONDS)

    async def _look_at_lag(self, client: AIOKafkaConsumer, assignment: Assignment) -> None:
        if assignment.known and not assignment.unplaced:
            self._progress.ends_known(await client.end_offsets(list(assignment.partitions)))

    async def _commit(self, client: AIOKafkaConsumer, assignment: Assignment) -> None:
        """Commit the stored offsets to Kafka, for tools that look at the group; nothing here reads them."""
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
            auto_offset_reset="none",  # the stored offsets decide; an offset that is gone is for us to report
            isolation_level="read_committed",  # replayed dead letters come in transactions
            session_timeout_ms=int(self._settings.session_timeout_seconds * 1000),
            heartbeat_interval_ms=HEARTBEAT_MS,
            max_poll_interval_ms=POLL_INTERVAL_MS,
            max_partition_fetch_bytes=FETCH_BYTES_PER_PARTITION,
            metadata_max_age_ms=NEW_PARTITIONS_SEEN_MS,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
        )


async def _within(seconds: float, step: Coroutine[Any, Any, None]) -> None:
    """Take a step of closing if the broker answers; aiokafka would wait for it much longer."""
    try:
        async with asyncio.timeout(seconds):
            await step
    except (KafkaError, TimeoutError) as error:
        log.info("the Kafka client was not closed in order", error=repr(error))


def _collect_garbage_rarely() -> None:
    """Rows are many objects without cycles; looking through them again and again took a fifth of the time."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def _exit_deadline() -> threading.Timer:
    """Return what ends the process EXIT_SECONDS after it is started: a broker may not answer for long."""
    timer = threading.Timer(EXIT_SECONDS, _exit_now)
    timer.daemon = True
    return timer


def _exit_now() -> None:
    """End the process while a thread still works; its transaction is committed or not, both are well."""
    log.warning("stopped without waiting for the warehouse or the broker any longer")
    logging.shutdown()
    os._exit(0)


def main() -> int:
    """Run the process; returns its exit code."""
    configure_logs()
    with contextlib.ExitStack() as stack:
        try:
            settings, kafka = ConsumerSettings(), KafkaSettings()
            kafka.client_arguments()  # a certificate that cannot be read is an error now, not an outage later
            consumer = Consumer(settings, kafka, get_sink(consumer=settings))
            stack.enter_context(monitoring(settings.metrics_port, consumer.health))
        except (ValueError, OSError, MonitoringError) as error:
            log.error("a setting cannot be used", error=str(error))  # noqa: TRY400 (a traceback says no more)
            return 2
        _collect_garbage_rarely()
        deadline = _exit_deadline()
        asyncio.run(consumer.run(deadline))
        deadline.cancel()
        gc.unfreeze()  # or the interpreter leaves things behind, which DuckDB's binding complains of
    if still_working():  # the interpreter must not go away under a thread that is inside the warehouse
        _exit_now()
    return 0


if __name__ == "__main__":
    sys.exit(main())
