"""Sends dead letters to the topics they came from, each once."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition

from streaming_workers.dead_letters.topic import (
    Message,
    close_producer,
    committed_reader,
    letter_partitions,
    original_headers,
    read_to_end,
    send_all,
    transactional_producer,
)
from streaming_workers.events import STREAMS, Stream
from streaming_workers.settings import KafkaSettings

REPLAY_GROUP = "warehouse-sink-replay"
REPLAY_BATCH = 200
START_SECONDS = 30


async def replay_all(settings: KafkaSettings, streams: list[Stream], dry_run: bool) -> Counter[str]:
    """Send every dead letter that no replay has sent; return how many of each topic.

    Each part is sent, and noted as sent, in one transaction. A second replay at the same time fences the
    first. Raises KafkaError.
    """
    sent = Counter({stream.topic: 0 for stream in streams})
    partitions = await letter_partitions(settings, streams)
    async with _replayer(settings, partitions) as (producer, reader):
        for partition in partitions:
            topic = _source_topic(partition)
            start = await reader.committed(partition)
            async for part in _parts(read_to_end(reader, partition, start or 0)):
                sent[topic] += len(part)
                if not dry_run:
                    await _send_again(producer, partition, part)
    return sent


async def _send_again(
    producer: AIOKafkaProducer, partition: TopicPartition, letters: list[ConsumerRecord]
) -> None:
    async with producer.transaction():
        target = TopicPartition(_source_topic(partition), partition.partition)
        messages: list[Message] = [(letter, original_headers(letter), None) for letter in letters]
        await send_all(producer, target, messages)
        await producer.send_offsets_to_transaction({partition: letters[-1].offset + 1}, REPLAY_GROUP)


@asynccontextmanager
async def _replayer(
    settings: KafkaSettings, partitions: list[TopicPartition]
) -> AsyncIterator[tuple[AIOKafkaProducer, AIOKafkaConsumer]]:
    """Give a producer, which has fenced other replays, and a reader, which sees what they have sent."""
    producer = transactional_producer(settings, REPLAY_GROUP)
    try:
        async with asyncio.timeout(START_SECONDS):
            await producer.start()
        async with committed_reader(settings, partitions, REPLAY_GROUP) as reader:
            yield producer, reader
    finally:
        await close_producer(producer)


async def _parts(letters: AsyncIterator[ConsumerRecord]) -> AsyncIterator[list[ConsumerRecord]]:
    part: list[ConsumerRecord] = []
    async for letter in letters:
        part.append(letter)
        if len(part) == REPLAY_BATCH:
            yield part
            part = []
    if part:
        yield part


def _source_topic(partition: TopicPartition) -> str:
    return next(stream.topic for stream in STREAMS.values() if stream.dead_letter_topic == partition.topic)
