"""Dead letters: the unchanged message on `<topic>.dlq`, with headers that say where it came from and why.

The headers are Kafka Connect's, so that its tools read them, and one more: the message's own time.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError
from prometheus_client import Counter

from streaming_workers.events import STREAMS, Stream
from streaming_workers.settings import KafkaSettings
from streaming_workers.topics import partition_counts
from streaming_workers.validation import Rejected

HEADER_PREFIX = "__connect.errors."
MAX_REASON_CHARACTERS = 1000
# Far above what a broker takes as one message: how long a message may be is the topic's to say.
MAX_REQUEST_BYTES = 64 * 1024 * 1024
MAX_BATCH_BYTES = 512 * 1024
REQUEST_TIMEOUT_MS = 15_000
ANSWER_SECONDS = 30  # with no answer for this long, the writer is closed and the next try makes another
CLOSE_SECONDS = 1

Headers = Sequence[tuple[str, bytes]]
Message = tuple[ConsumerRecord, Headers, int | None]
"""Key and value of the record, with these headers and this time (ms since 1970; None: now)."""

DEAD_LETTERS = Counter("consumer_dead_letters", "Messages written to the dead letters.", ["topic"])

log = structlog.get_logger(__name__)


def error_headers(rejected: Rejected, group: str) -> list[tuple[str, bytes]]:
    """Return the headers that a dead letter gets, with the consumer's group as Connect's connector."""
    record, error = rejected.record, rejected.error
    reason = str(error)
    if len(reason) > MAX_REASON_CHARACTERS:
        reason = f"{reason[: MAX_REASON_CHARACTERS - 1]}…"
    values = {
        "topic": record.topic,
        "partition": str(record.partition),
        "offset": str(record.offset),
        "timestamp": str(record.timestamp),
        "connector.name": group,
        "task.id": str(record.partition),
        "stage": "VALUE_CONVERTER",
        "class.name": "streaming_workers.validation",
        "exception.class.name": f"{type(error).__module__}.{type(error).__qualname__}",
        "exception.message": reason,
    }
    return [
        (HEADER_PREFIX + name, value.encode("utf-8", "backslashreplace")) for name, value in values.items()
    ]


def error_header(record: ConsumerRecord, name: str) -> str:
    """Return one of the headers by its name without prefix; empty where the record has none."""
    found = [value for key, value in record.headers if key == HEADER_PREFIX + name]
    return (found[-1] or b"").decode("utf-8", "replace") if found else ""


def original_headers(record: ConsumerRecord) -> list[tuple[str, bytes]]:
    """Return the headers that the message had before it became a dead letter."""
    return [(key, value) for key, value in record.headers if not key.startswith(HEADER_PREFIX)]


class DeadLetterWriter:
    """Writes each dead letter once, however often a batch is tried, and by whichever consumer.

    Each source partition has a transactional producer of its own. Making one fences the producer
    that wrote for the partition before; what that one has written is then read, and not written again.
    """

    def __init__(self, settings: KafkaSettings, group: str) -> None:
        self._settings = settings
        self._group = group
        self._writers: dict[TopicPartition, PartitionWriter] = {}

    async def write(self, rejected: dict[TopicPartition, list[Rejected]]) -> None:
        """Write those dead letters of a batch that the topic does not hold yet.

        Raises KafkaError or TimeoutError: whether they were written is then unknown, and to be tried again.
        ProducerFenced means that another consumer has the partition.
        """
        for partition, letters in rejected.items():
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    writer = await self._writer(partition, letters[0].record)
                    DEAD_LETTERS.labels(partition.topic).inc(await writer.write(letters))
            except (KafkaError, TimeoutError):
                await self._forget(partition)
                raise

    async def keep(self, partitions: Collection[TopicPartition]) -> None:
        """Close the producers of all other partitions."""
        revoked = self._writers.keys() - set(partitions)
        await asyncio.gather(*(self._forget(partition) for partition in revoked))

    async def _writer(self, partition: TopicPartition, first: ConsumerRecord) -> "PartitionWriter":
        if partition not in self._writers:
            self._writers[partition] = PartitionWriter(self._settings, self._group, partition)
            await self._writers[partition].open(first)
        return self._writers[partition]

    async def _forget(self, partition: TopicPartition) -> None:
        await close_producer(self._writers.pop(partition).producer)


class PartitionWriter:
    """Writes the dead letters of one source partition; not to be used again after an error."""

    def __init__(self, settings: KafkaSettings, group: str, source: TopicPartition) -> None:
        self._settings = settings
        self._group = group
        self._target = TopicPartition(STREAMS[source.topic].dead_letter_topic, source.partition)
        self.producer = transactional_producer(settings, f"{group}-{source.topic}-{source.partition}")
        # Offset and time: the time tells a recreated topic from the one that had the same offsets.
        self._there: set[tuple[int, int]] = set()

    async def open(self, first: ConsumerRecord) -> None:
        """Fence earlier writers, then read which letters they have written, from the record `first` on."""
        await self.producer.start()
        if self._target.partition not in await self.producer.partitions_for(self._target.topic):
            raise UnknownTopicOrPartitionError(
                f"{self._target.topic} has no partition {self._target.partition}: give it as many partitions"
                " as its stream has"
            )
        async with committed_reader(self._settings, [self._target]) as reader:
            # A dead letter has its message's time, so those at or after `first` lie from here on.
            found = await reader.offsets_for_times({self._target: max(first.timestamp, 0)})
            if found[self._target]:
                async for record in read_to_end(reader, self._target, found[self._target].offset):
                    self._there.add(_source_of(record))

    async def write(self, letters: Sequence[Rejected]) -> int:
        """Write those that the topic does not hold, in one transaction; return how many."""
        self._there = {one for one in self._there if one[0] >= letters[0].record.offset}
        new = [one for one in letters if (one.record.offset, one.record.timestamp) not in self._there]
        if new:
            async with self.producer.transaction():
                await send_all(self.producer, self._target, [self._message(one) for one in new])
            self._there.update((one.record.offset, one.record.timestamp) for one in new)
        return len(new)

    def _message(self, rejected: Rejected) -> Message:
        record = rejected.record
        headers = [*record.headers, *error_headers(rejected, self._group)]
        return record, headers, record.timestamp if record.timestamp >= 0 else None


def _source_of(record: ConsumerRecord) -> tuple[int, int]:
    try:
        return int(error_header(record, "offset")), int(error_header(record, "timestamp"))
    except ValueError:  # none of ours
        return -1, -1


def transactional_producer(settings: KafkaSettings, transactional_id: str) -> AIOKafkaProducer:
    """Return a producer for `send_all`, not yet started."""
    return AIOKafkaProducer(
        **settings.client_arguments(),
        transactional_id=transactional_id,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
        max_request_size=MAX_REQUEST_BYTES,
        max_batch_size=MAX_BATCH_BYTES,
    )


async def close_producer(producer: AIOKafkaProducer) -> None:
    """Close it within CLOSE_SECONDS, also where the broker does not answer."""
    if not await _close(producer.stop):
        await producer.client.close()


@asynccontextmanager
async def committed_reader(
    settings: KafkaSettings, partitions: Sequence[TopicPartition], group: str | None = None
) -> AsyncIterator[AIOKafkaConsumer]:
    """Give a reader of the partitions' committed messages for `read_to_end`; it joins no group."""
    reader = AIOKafkaConsumer(
        **settings.client_arguments(),
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        request_timeout_ms=REQUEST_TIMEOUT_MS,
        fetch_max_wait_ms=50,  # a broker answers nothing else on the connection while a fetch waits
    )
    try:
        await reader.start()
        reader.assign(partitions)  # once: aiokafka may hang on stopping after the assignment has changed
        reader.pause(*partitions)
        yield reader
    finally:
        await _close(reader.stop)


async def read_to_end(
    reader: AIOKafkaConsumer, partition: TopicPartition, start: int
) -> AsyncIterator[ConsumerRecord]:
    """Yield the partition's messages from offset `start` up to what is its end now."""
    end = (await reader.end_offsets([partition]))[partition]
    reader.seek(partition, start)
    reader.resume(partition)
    while await reader.position(partition) < end:
        records = await reader.getmany(partition, timeout_ms=500, max_records=500)
        for record in records.get(partition, []):
            yield record
    reader.pause(partition)


async def newest(settings: KafkaSettings, streams: list[Stream], limit: int) -> list[ConsumerRecord]:
    """Return up to `limit` dead letters of each partition, oldest first."""
    letters: list[ConsumerRecord] = []
    partitions = await letter_partitions(settings, streams)
    async with committed_reader(settings, partitions) as reader:
        for partition in partitions:
            begin = (await reader.beginning_offsets([partition]))[partition]
            end = (await reader.end_offsets([partition]))[partition]
            # Markers of transactions take offsets too, so more offsets are read than letters wanted.
            start = max(begin, end - 2 * limit)
            letters += [one async for one in read_to_end(reader, partition, start)][-limit:]
    return sorted(letters, key=lambda letter: letter.timestamp)


async def letter_partitions(settings: KafkaSettings, streams: list[Stream]) -> list[TopicPartition]:
    """Return the partitions of the streams' dead-letter topics, as far as those exist."""
    counts = await partition_counts(settings)
    names = [stream.dead_letter_topic for stream in streams]
    return [TopicPartition(name, number) for name in names for number in range(counts.get(name, 0))]


async def send_all(producer: AIOKafkaProducer, target: TopicPartition, messages: Iterable[Message]) -> None:
    """Send messages to a partition, in a transaction of the caller's; return once all are written.

    Batches are built here since `send` refuses a message that has neither key nor value.
    """
    results = []
    builder = producer.create_batch()
    for record, headers, time_ms in messages:
        part = {"timestamp": time_ms, "key": record.key, "value": record.value, "headers": headers}
        while builder.append(**part) is None:  # full
            results.append(await producer.send_batch(builder, target.topic, partition=target.partition))
            builder = producer.create_batch()
    builder.close()
    results.append(await producer.send_batch(builder, target.topic, partition=target.partition))
    await asyncio.gather(*results)


async def _close(stop: Callable[[], Awaitable[None]]) -> bool:
    """Stop a client; return whether it did within CLOSE_SECONDS."""
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await stop()
    except (KafkaError, TimeoutError) as error:
        log.info("a Kafka client was not closed in order", error=repr(error))
        return False
    return True
