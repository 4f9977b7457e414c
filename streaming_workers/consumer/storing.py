"""Stores one batch at a time, retried until it is stored or its partitions are no longer this consumer's."""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError, ProducerFenced
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential

from streaming_workers.consumer.assignment import Assignment
from streaming_workers.consumer.batches import Batch
from streaming_workers.consumer.progress import CONFLICTS, Progress
from streaming_workers.consumer.sinks import OffsetConflictError, Sink, SinkError
from streaming_workers.dead_letters.topic import DeadLetterWriter
from streaming_workers.threads import in_daemon_thread

MAX_PAUSE_SECONDS = 2

RETRIED = (SinkError, KafkaError, TimeoutError)
"""Errors that may pass. Nothing was stored, or the stored offsets will show that it was."""

log = structlog.get_logger(__name__)


class Storer:
    """Writes the dead letters first, then rows and offsets in one transaction, in a thread."""

    def __init__(self, sink: Sink, dead_letters: DeadLetterWriter, progress: Progress) -> None:
        self._sink = sink
        self._dead_letters = dead_letters
        self._progress = progress
        self._task: asyncio.Task[None] | None = None

    @property
    def idle(self) -> bool:
        """Whether no batch is being stored."""
        return self._task is None or self._task.done()

    def begin(self, batch: Batch, assignment: Assignment, client: AIOKafkaConsumer) -> None:
        """Store the batch in the background; only while `idle`."""
        self._task = asyncio.create_task(self._store(batch, assignment, client))

    async def settled(self) -> None:
        """Return once no batch is being stored; raises what ended it, if that was a bug."""
        if self._task:
            await asyncio.wait({self._task})
            self._task.result()

    async def finish(self, seconds: float) -> None:
        """Give the batch that is being stored this long, then drop it."""
        if self._task and not self.idle:
            await asyncio.wait({self._task}, timeout=seconds)
            self._task.cancel()

    async def _store(self, batch: Batch, assignment: Assignment, client: AIOKafkaConsumer) -> None:
        start = time.monotonic()
        retry = retrying(
            assignment,
            batch.generation,
            self._progress,
            "a batch could not be stored, trying again",
            on_error=lambda: client.pause(*assignment.positions),  # memory then grows no further
            messages=batch.messages,
        )
        try:
            await retry(self._try, batch)
        except (OffsetConflictError, ProducerFenced) as error:
            CONFLICTS.inc()
            log.warning("another consumer has the partitions, the batch is dropped", reason=str(error))
            if batch.generation == assignment.generation:
                assignment.place_again()
        except RETRIED as error:
            log.warning("the partitions were revoked, the batch is dropped", last_error=str(error))
        else:
            self._progress.stored(batch, time.monotonic() - start)
            log.debug("stored", messages=batch.messages, seconds=round(time.monotonic() - start, 3))
        finally:
            client.resume(*assignment.positions)

    async def _try(self, batch: Batch) -> None:
        await self._dead_letters.write(batch.rejected)
        await in_daemon_thread(partial(self._sink.store, batch))


def retrying(
    assignment: Assignment,
    generation: int,
    progress: Progress,
    message: str,
    *,
    on_error: Callable[[], None] = lambda: None,
    **fields: Any,
) -> AsyncRetrying:
    """Return a retry of RETRIED errors while the assignment is of this generation; logs each as `message`.

    The pauses are short, so that storing resumes soon after the cause is gone.
    """

    def is_retried(error: BaseException) -> bool:
        still_ours = generation == assignment.generation
        return still_ours and isinstance(error, RETRIED) and not isinstance(error, ProducerFenced)

    def report(state: RetryCallState) -> None:
        on_error()
        error = state.outcome.exception() if state.outcome else None
        progress.failed(error)
        log.warning(
            message,
            error=str(error) or repr(error),
            tries=state.attempt_number,
            pause_seconds=round(state.upcoming_sleep, 2),
            **fields,
        )

    return AsyncRetrying(
        retry=retry_if_exception(is_retried),
        wait=wait_random_exponential(multiplier=0.2, max=MAX_PAUSE_SECONDS),
        before_sleep=report,
        reraise=True,
    )
