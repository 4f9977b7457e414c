"""Look at dead letters and send them again: `python -m streaming_workers.dead_letters {list,replay}`."""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from streaming_workers.dead_letters.topic import (
    Message,
    close_producer,
    committed_reader,
    error_header,
    original_headers,
    read_to_end,
    send_all,
    transactional_producer,
)
from streaming_workers.events import STREAMS, Stream
from streaming_workers.settings import KafkaSettings
from streaming_workers.topics import partition_counts

REPLAY_GROUP = "warehouse-sink-replay"
REPLAY_BATCH = 200
PREVIEW_CHARACTERS = 60
START_SECONDS = 30

app = typer.Typer(help="Dead letters.", no_args_is_help=True, pretty_exceptions_enable=False)
console = Console(highlight=False)

Topic = Annotated[str, typer.Option(help="Only those of this topic (bitcoin-prices, say); default: all.")]
Limit = Annotated[int, typer.Option(min=1, help="How many of each partition, the newest.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be sent.")]


@app.command("list")
def list_letters(topic: Topic = "", limit: Limit = 20) -> None:
    """Show the newest dead letters."""
    letters = _run(lambda settings: newest(settings, _streams(topic), limit))
    if not letters:
        console.print("There are no dead letters.")
        return
    table = Table(*("Topic", "Partition", "Offset", "Time", "Reason", "Bytes", "Value"))
    for letter in letters:
        table.add_row(*(Text(cell) for cell in _cells(letter)))
    console.print(table)


@app.command()
def replay(topic: Topic = "", dry_run: DryRun = False) -> None:
    """Send dead letters to the topics they came from, each once, however often this is called.

    What is still no valid event comes back as a new dead letter.
    """
    sent = _run(lambda settings: replay_all(settings, _streams(topic), dry_run))
    verb = "would be sent again" if dry_run else "sent again"
    for name, count in sent.items():
        console.print(f"{name}: {count} dead letter(s) {verb}")


async def newest(settings: KafkaSettings, streams: list[Stream], limit: int) -> list[ConsumerRecord]:
    """Return up to `limit` dead letters of each partition, oldest first."""
    letters: list[ConsumerRecord] = []
    partitions = await _partitions(settings, streams)
    async with committed_reader(settings, partitions) as reader:
        for partition in partitions:
            begin = (await reader.beginning_offsets([partition]))[partition]
            end = (await reader.end_offsets([partition]))[partition]
            # Markers of transactions take offsets too, so some more are looked at.
            start = max(begin, end - 2 * limit)
            letters += [one async for one in read_to_end(reader, partition, start)][-limit:]
    return sorted(letters, key=lambda letter: letter.timestamp)


async def replay_all(settings: KafkaSettings, streams: list[Stream], dry_run: bool) -> Counter[str]:
    """Send every dead letter that no replay has sent; return how many of each topic.

    Each part is sent, and noted as sent, in one transaction. A second replay at the same time shuts out the
    first. Raises KafkaError.
    """
    sent = Counter({stream.topic: 0 for stream in streams})
    partitions = await _partitions(settings, streams)
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
    """Give a producer and a reader; once the one has shut out other replays, the other sees what they did."""
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


async def _partitions(settings: KafkaSettings, streams: list[Stream]) -> list[TopicPartition]:
    counts = await partition_counts(settings)
    names = [stream.dead_letter_topic for stream in streams]
    return [TopicPartition(name, number) for name in names for number in range(counts.get(name, 0))]


def _streams(topic: str) -> list[Stream]:
    if topic and topic not in STREAMS:
        raise typer.BadParameter(f"{topic} is none of {', '.join(STREAMS)}")
    return [STREAMS[topic]] if topic else list(STREAMS.values())


def _source_topic(partition: TopicPartition) -> str:
    return next(stream.topic for stream in STREAMS.values() if stream.dead_letter_topic == partition.topic)


def _cells(letter: ConsumerRecord) -> list[str]:
    time = datetime.fromtimestamp(letter.timestamp / 1000, UTC).isoformat(" ", "seconds")
    size = "none" if letter.value is None else str(len(letter.value))
    return [
        error_header(letter, "topic"),
        error_header(letter, "partition"),
        error_header(letter, "offset"),
        time,
        _printable(error_header(letter, "exception.message").encode()),
        size,
        _printable(letter.value or b""),
    ]


def _printable(value: bytes) -> str:
    """Return the start of a text as ASCII without control characters: a value may hold anything."""
    text = value[:PREVIEW_CHARACTERS].decode("utf-8", "backslashreplace")
    return text.encode("unicode_escape").decode("ascii")


def _run(command: Callable[[KafkaSettings], Coroutine[Any, Any, Any]]) -> Any:
    """Run a command; a cluster that does not answer is one sentence and exit code 1."""
    settings = KafkaSettings()
    try:
        return asyncio.run(command(settings))
    except (KafkaError, TimeoutError) as error:
        reason = str(error) or "no answer"
        console.print(f"Kafka at {settings.bootstrap_servers}: {reason}", style="red", markup=False)
        raise typer.Exit(1) from error


if __name__ == "__main__":
    sys.exit(app())
