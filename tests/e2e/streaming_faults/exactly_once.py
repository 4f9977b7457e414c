"""The promise, as a check: every message is a row or a dead letter, once, and the offsets say so."""

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from aiokafka import ConsumerRecord

from streaming_workers.dead_letters.topic import HEADER_PREFIX
from streaming_workers.events import STREAMS, Stream
from tests.streaming_workers.harness import Source, Stage, source_of, topic_ends

POISON = "poison"
"""A header with this name marks what the consumer must refuse; all other messages are valid events."""

CONNECT_HEADERS = tuple(
    f"{HEADER_PREFIX}{name}"
    for name in (
        "topic",
        "partition",
        "offset",
        "timestamp",
        "connector.name",
        "task.id",
        "stage",
        "class.name",
        "exception.class.name",
        "exception.message",
    )
)
"""What a dead letter has behind the headers of its message."""


@dataclass(frozen=True)
class Entry:
    """A message of a stream, as its producer gave it to Kafka."""

    value: bytes | None
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = ()

    @property
    def is_poison(self) -> bool:
        """Whether it belongs into the dead letters."""
        return any(name == POISON for name, _ in self.headers)


@dataclass(frozen=True)
class Row:
    """A row of a raw table."""

    source: Source
    event_id: str
    payload: str


@dataclass(frozen=True)
class DeadLetter:
    """A message of a dead-letter topic, without the headers that it got there."""

    topic: str
    source: Source
    partition: int
    entry: Entry


@dataclass
class Outcome:
    """What Kafka and the warehouse hold of one stream; `ends` and `next_offsets` are by partition."""

    topic: str
    log: dict[Source, Entry]
    ends: dict[int, int]
    rows: list[Row]
    dead_letters: list[DeadLetter]
    next_offsets: list[tuple[int, int]]


def violations(outcome: Outcome) -> list[str]:
    """Return each breach of the promise as a sentence; none where it holds."""
    return [
        *_of_the_offsets(outcome),
        *_of_the_messages(outcome),
        *_of_the_dead_letters(outcome),
        *_of_the_rows(outcome),
    ]


def _of_the_offsets(outcome: Outcome) -> Iterator[str]:
    stored = defaultdict(list)
    for partition, offset in outcome.next_offsets:
        stored[partition].append(offset)
    for partition, end in outcome.ends.items():
        if stored[partition] != [end]:
            yield f"partition {partition} ends at {end}, stored next offsets are {stored[partition]}"
        if missing := set(range(end)) - {offset for number, offset in outcome.log if number == partition}:
            yield f"partition {partition} itself has no offsets {sorted(missing)[:5]}"
    if unknown := stored.keys() - outcome.ends.keys():
        yield f"offsets of partitions {unknown}, which are not there"


def _of_the_messages(outcome: Outcome) -> Iterator[str]:
    rows = Counter(row.source for row in outcome.rows)
    letters = Counter(letter.source for letter in outcome.dead_letters)
    for source, entry in outcome.log.items():
        found, due = (rows[source], letters[source]), (0, 1) if entry.is_poison else (1, 0)
        if found != due:
            yield f"{source}: {found[0]} rows, {found[1]} dead letters instead of {due[0]} and {due[1]}"
    if unknown := (rows.keys() | letters.keys()) - outcome.log.keys():
        yield f"stored, but never produced: {sorted(unknown)[:5]}"


def _of_the_dead_letters(outcome: Outcome) -> Iterator[str]:
    for letter in outcome.dead_letters:
        if (letter.topic, letter.partition) != (outcome.topic, letter.source[0]):
            yield f"a dead letter of {letter.topic} {letter.source} lies in partition {letter.partition}"
        elif letter.entry != outcome.log.get(letter.source):
            yield f"the dead letter of {letter.source} is not what was produced"


def _of_the_rows(outcome: Outcome) -> Iterator[str]:
    for row in outcome.rows:
        entry = outcome.log.get(row.source)
        if entry is None or entry.is_poison or entry.value is None:
            continue  # said already
        if (row.payload.encode(), row.event_id) != (entry.value, json.loads(entry.value)["event_id"]):
            yield f"the row of {row.source} is not what was produced"


def outcome_of(stage: Stage, stream: Stream) -> Outcome:
    """Read what there is of a stream, dead letters as a reader with read_committed sees them."""
    rows = stage.query(f"select kafka_partition, kafka_offset, event_id, payload from {stream.table}")
    return Outcome(
        topic=stream.topic,
        log={(one.partition, one.offset): _entry(one) for one in stage.log(stream.topic)},
        ends=ends_of(stage, stream.topic),
        rows=[Row((partition, offset), event_id, payload) for partition, offset, event_id, payload in rows],
        dead_letters=[_dead_letter(one) for one in stage.log(stream.dead_letter_topic)],
        next_offsets=stage.query(
            "select kafka_partition, next_offset from streaming.kafka_offsets"
            f" where kafka_topic = '{stream.topic}'"
        ),
    )


def assert_exactly_once(stage: Stage) -> dict[str, Outcome]:
    """The promise holds for every stream; return what was compared, by topic."""
    outcomes = {topic: outcome_of(stage, stream) for topic, stream in STREAMS.items()}
    found = [f"{topic}: {one}" for topic, outcome in outcomes.items() for one in violations(outcome)]
    assert not found, f"{len(found)} breaches, the first of them:\n" + "\n".join(found[:20])
    return outcomes


def wait_for_the_end(stage: Stage) -> None:
    """Return when the stored offsets are the ends of all partitions, to which nobody adds any more."""
    ends = {topic: ends_of(stage, topic) for topic in STREAMS}
    stage.wait_until(
        lambda: {topic: stage.next_offsets(topic) for topic in STREAMS} == ends, f"the stored offsets {ends}"
    )


def ends_of(stage: Stage, topic: str) -> dict[int, int]:
    """Return the end of each partition of a topic."""
    ends = asyncio.run(topic_ends(stage.broker.bootstrap_servers, topic))
    return {one.partition: end for one, end in ends.items()}


def _entry(record: ConsumerRecord) -> Entry:
    return Entry(record.value, record.key, tuple(record.headers))


def _dead_letter(record: ConsumerRecord) -> DeadLetter:
    added = record.headers[-len(CONNECT_HEADERS) :]
    assert tuple(name for name, _ in added) == CONNECT_HEADERS
    return DeadLetter(
        topic=dict(added)[f"{HEADER_PREFIX}topic"].decode(),
        source=source_of(record),
        partition=record.partition,
        entry=Entry(record.value, record.key, tuple(record.headers[: -len(CONNECT_HEADERS)])),
    )
