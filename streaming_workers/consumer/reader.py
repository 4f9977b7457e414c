"""Reads the assigned partitions, starting at the stored offsets, and makes batches of their messages."""

import asyncio
import time
from collections.abc import Collection
from functools import partial

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import (
    CorruptRecordException,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    RecordTooLargeError,
)

from streaming_workers.consumer.assignment import Assignment
from streaming_workers.consumer.batches import Batch
from streaming_workers.consumer.placement import LogRange, RefusedPartitionError, TopicId, place
from streaming_workers.consumer.progress import LOST, Progress
from streaming_workers.consumer.sinks import Sink
from streaming_workers.consumer.storing import RETRIED, Storer, retrying
from streaming_workers.dead_letters.topic import DeadLetterWriter
from streaming_workers.settings import ConsumerSettings
from streaming_workers.threads import in_daemon_thread
from streaming_workers.topic_ids import topic_ids

POLL_SECONDS = 0.2
POLL_WHILE_STORING_SECONDS = 0.02
POLL_RECORDS = 2000
BACKLOG_ROWS = 5_000  # a batch of so many does not wait for more
RECONSIDER_SECONDS = 30

REREAD_AFTER = (
    CorruptRecordException,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    RecordTooLargeError,
)
"""What aiokafka raises of one partition; by then it may have skipped messages of any partition."""

StoredAndLog = tuple[dict[TopicPartition, int], dict[TopicPartition, LogRange], dict[TopicPartition, TopicId]]
"""The stored offset, the log's range and the topic's ids of each partition."""

log = structlog.get_logger(__name__)


class Reader:
    """Reads with one client; while one batch is being stored, the next one is read."""

    def __init__(
        self,
        client: AIOKafkaConsumer,
        assignment: Assignment,
        *,
        settings: ConsumerSettings,
        sink: Sink,
        storer: Storer,
        dead_letters: DeadLetterWriter,
        progress: Progress,
    ) -> None:
        self._settings = settings
        self._client = client
        self._assignment = assignment
        self._sink = sink
        self._storer = storer
        self._dead_letters = dead_letters
        self._progress = progress
        self._batch = Batch(assignment.generation)
        self._reconsider_at = 0.0

    async def run(self) -> None:
        """Read until cancelled. Raises KafkaError where the client has failed."""
        while True:
            if self._assignment.refused and time.monotonic() > self._reconsider_at:
                self._assignment.reconsider_refused()
            if self._assignment.unplaced:
                await self._storer.settled()  # the stored offsets must not change meanwhile
                await self._place()
            elif self._assignment.positions:
                await self._read()
                await self._hand_over()
            else:
                await self._assignment.changed(POLL_SECONDS)

    async def _read(self) -> None:
        """Add what the client has fetched to the batch."""
        generation = self._assignment.generation
        try:
            records = await self._client.getmany(
                *self._assignment.positions,
                timeout_ms=self._poll_timeout_ms,
                max_records=POLL_RECORDS,
            )
        except REREAD_AFTER as error:
            log.error("messages cannot be read, reading again from the stored offsets", error=repr(error))  # noqa: TRY400
            self._assignment.place_again()
            await asyncio.sleep(POLL_SECONDS)
            return
        if generation == self._assignment.generation:
            await self._take(records)

    async def _take(self, records: dict[TopicPartition, list[ConsumerRecord]]) -> None:
        if self._batch.generation != self._assignment.generation or not self._batch.moves:
            self._batch = Batch(self._assignment.generation)
        for partition, messages in records.items():
            self._batch.add(partition, messages, self._settings.max_event_bytes)
        for partition, expected in self._assignment.positions.items():
            # Not the last message's offset: behind it may lie markers of transactions, which are no messages.
            position = await self._client.position(partition)
            if position != expected:
                self._batch.move(partition, expected, position)
                self._assignment.positions[partition] = position

    async def _hand_over(self) -> None:
        """Store the batch if it is due; if it is full, wait for the one before first."""
        batch = self._batch
        if not (self._is_due(batch) or self._is_full(batch)):
            return
        await self._storer.settled()
        if batch.generation == self._assignment.generation:
            self._storer.begin(batch, self._assignment, self._client)
        self._batch = Batch(self._assignment.generation)

    def _is_due(self, batch: Batch) -> bool:
        """Return whether to store it now; while another is being stored, it keeps growing."""
        enough = batch.messages >= BACKLOG_ROWS or batch.age_seconds >= self._settings.batch_seconds
        return bool(batch.moves) and enough and self._storer.idle

    def _is_full(self, batch: Batch) -> bool:
        return batch.messages >= self._settings.batch_rows or batch.bytes >= self._settings.batch_bytes

    @property
    def _poll_timeout_ms(self) -> int:
        """Milliseconds to wait for messages, at most until the batch is due."""
        if not self._batch.moves:
            return int(POLL_SECONDS * 1000)
        if not self._storer.idle:  # then the batch may be due, however little comes meanwhile
            return int(POLL_WHILE_STORING_SECONDS * 1000)
        seconds = self._settings.batch_seconds - self._batch.age_seconds
        return int(min(POLL_SECONDS, max(0.0, seconds)) * 1000)

    async def _place(self) -> None:
        """Begin to read each unplaced partition at its stored offset."""
        generation = self._assignment.generation
        partitions = set(self._assignment.unplaced)
        self._progress.keep(self._assignment.partitions)
        await self._dead_letters.keep(self._assignment.partitions)
        message = "the stored offsets could not be read, trying again"
        try:
            found: StoredAndLog = await retrying(self._assignment, generation, self._progress, message)(
                self._read_offsets, partitions
            )
        except RETRIED:  # of partitions that are no longer ours
            return
        if generation != self._assignment.generation:
            return
        stored, ranges, ids = found
        for partition in partitions:
            self._begin(partition, stored[partition], ranges[partition], ids[partition])
        self._assignment.unplaced -= partitions
        self._reconsider_at = time.monotonic() + RECONSIDER_SECONDS
        begun = {partition: stored[partition] for partition in partitions - self._assignment.refused.keys()}
        self._progress.placed(begun, self._assignment.refused)
        self._client.resume(*self._assignment.positions)

    def _begin(self, partition: TopicPartition, stored: int, log_range: LogRange, topic_id: TopicId) -> None:
        try:
            start = place(partition, stored, log_range, topic_id)
        except RefusedPartitionError as error:
            log.error("a partition is not read", reason=str(error))  # noqa: TRY400 (said in the message)
            self._assignment.refused[partition] = str(error)
            return
        if start.lost:
            LOST.labels(partition.topic).inc(start.lost)
            log.error(
                "messages were deleted from the topic before they were read",
                topic=partition.topic,
                partition=partition.partition,
                first_lost=start.expected,
                lost=start.lost,
            )
        self._client.seek(partition, start.position)
        self._assignment.positions[partition] = start.expected

    async def _read_offsets(self, partitions: Collection[TopicPartition]) -> StoredAndLog:
        """Return what placing each partition needs; an offset or id that was not stored is now."""
        await in_daemon_thread(self._sink.prepare)
        stored = await in_daemon_thread(partial(self._sink.stored_offsets, partitions))
        # Read after the stored offsets: an earlier end could lie below what another consumer has stored.
        begins = await self._client.beginning_offsets(partitions)
        ends = await self._client.end_offsets(partitions)
        if new := {partition: begins[partition] for partition in partitions if partition not in stored}:
            await in_daemon_thread(partial(self._sink.register, new))
        ids = await self._topic_ids(partitions)
        return {**new, **stored}, {one: LogRange(begins[one], ends[one]) for one in partitions}, ids

    async def _topic_ids(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, TopicId]:
        found = await topic_ids(self._client, {partition.topic for partition in partitions})
        known = await in_daemon_thread(partial(self._sink.topic_ids, partitions))
        there = {one: found[one.topic] for one in partitions if one.topic in found}
        new = {one: topic_id for one, topic_id in there.items() if topic_id != known.get(one)}
        if new:
            await in_daemon_thread(partial(self._sink.remember_topic_ids, new))
            known = await in_daemon_thread(partial(self._sink.topic_ids, partitions))
        return {one: TopicId(known.get(one), there.get(one)) for one in partitions}
