"""The consumer does what the state diagrams in docs/streaming.md say, and nothing else."""

import asyncio
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial, wraps
from typing import Any
from unittest.mock import AsyncMock, MagicMock

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka.errors import KafkaTimeoutError, ProducerFenced

from include.settings import PROJECT_ROOT
from streaming_workers.consumer import reader
from streaming_workers.consumer.assignment import Assignment
from streaming_workers.consumer.batches import Batch
from streaming_workers.consumer.progress import Progress
from streaming_workers.consumer.reader import Reader
from streaming_workers.consumer.sinks import OffsetConflictError, Sink, SinkError, snowpipe
from streaming_workers.consumer.sinks.snowpipe import SnowpipeSink
from streaming_workers.consumer.storing import Storer
from streaming_workers.dead_letters.topic import DeadLetterWriter
from streaming_workers.settings import ConsumerSettings
from tests.doubles.snowpipe_double import SnowpipeService
from tests.streaming_workers.consumer.sink_places import FIRST, Place, batch, record
from tests.streaming_workers.harness import price

PAGE = (PROJECT_ROOT / "docs" / "streaming.md").read_text(encoding="utf-8")
CLASSES = {one.__name__: one for one in (Assignment, Reader, Storer, SnowpipeSink)}
NOT_THERE = "[*]"

Transition = tuple[str, str, str]
"""State before, the method that changes it, state after."""


def transitions(heading: str) -> set[Transition]:
    """Return the transitions of a section's diagram that a method makes."""
    (diagram,) = re.findall(rf"^## {heading}\n.*?^```mermaid\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    found = re.findall(r"^ +(\S+) --> (\S+): (\w+\.\w+)\(\)", diagram, re.MULTILINE)
    return {(before, method, after) for before, after, method in found}


def test_every_method_that_the_page_names_exists() -> None:
    named = set(re.findall(r"\b([A-Z]\w+)\.(\w+)\(\)", PAGE))

    assert len(named) > 10
    assert [f"{owner}.{name}" for owner, name in named if not hasattr(CLASSES[owner], name)] == []


class Partition:
    """One partition of a consumer whose broker holds offsets 0 to 9, and how its state changes."""

    def __init__(self, stored: int) -> None:
        self.client = MagicMock(spec=AIOKafkaConsumer)
        self.client.beginning_offsets.return_value = {FIRST: 0}
        self.client.end_offsets.return_value = {FIRST: 10}
        self.client._client = MagicMock()
        self.client._client.send = AsyncMock(
            return_value=MagicMock(topics=[])
        )  # of a cluster without topic ids
        self.sink = MagicMock(spec=Sink)
        self.sink.stored_offsets.return_value = {FIRST: stored}
        self.sink.topic_ids.return_value = {}
        self.assignment = Assignment(self.client)
        self.progress = Progress(stall_seconds=60)
        self.dead_letters = MagicMock(spec=DeadLetterWriter)
        self.storer = Storer(self.sink, self.dead_letters, self.progress)
        self.reader = Reader(
            self.client,
            self.assignment,
            settings=ConsumerSettings(),
            sink=self.sink,
            storer=self.storer,
            dead_letters=self.dead_letters,
            progress=self.progress,
        )
        self.seen: set[Transition] = set()

    @property
    def state(self) -> str:
        """The collection of the assignment that holds the partition."""
        places = [
            name for name in ("unplaced", "positions", "refused") if FIRST in getattr(self.assignment, name)
        ]
        assert len(places) < 2
        return places[0] if places else NOT_THERE

    def do(self, method: Callable[..., Any], *arguments: Any) -> None:
        """Call a method of the protocol and note what it has changed."""
        before = self.state
        outcome = method(*arguments)
        if asyncio.iscoroutine(outcome):
            asyncio.run(outcome)
        self.seen.add((before, method.__qualname__, self.state))

    def store(self, one: Batch) -> None:
        """Store a batch and wait for the end of it."""

        async def run() -> None:
            self.storer.begin(one, self.assignment, self.client)
            await self.storer.settled()

        asyncio.run(run())


def placed(stored: int) -> Partition:
    """Return a partition that was assigned and placed."""
    one = Partition(stored)
    one.do(one.assignment.on_partitions_assigned, [FIRST])
    one.do(one.reader._place)
    return one


def test_a_partition_changes_as_the_diagram_says() -> None:
    waiting = Partition(stored=4)
    waiting.do(waiting.assignment.on_partitions_assigned, [FIRST])
    waiting.do(waiting.assignment.on_partitions_revoked, [FIRST])
    read, refused, ours_again = placed(4), placed(11), placed(11)
    read.do(read.assignment.place_again)
    read.do(read.reader._place)
    read.do(read.assignment.on_partitions_revoked, [FIRST])
    refused.do(refused.assignment.reconsider_refused)
    refused.do(refused.reader._place)
    refused.do(refused.assignment.on_partitions_revoked, [FIRST])
    ours_again.do(ours_again.assignment.place_again)

    seen = waiting.seen | read.seen | refused.seen | ours_again.seen
    assert seen == transitions("A partition: assignment and placement")


def test_only_what_starts_all_partitions_over_changes_the_generation() -> None:
    one = placed(11)
    generation = one.assignment.generation
    one.assignment.reconsider_refused()
    asyncio.run(one.reader._place())
    assert one.assignment.generation == generation

    for step in (
        one.assignment.place_again,
        partial(one.assignment.on_partitions_revoked, [FIRST]),
        partial(one.assignment.on_partitions_assigned, [FIRST]),
    ):
        step()
        generation += 1
        assert one.assignment.generation == generation


def batch_of(one: Partition) -> Batch:
    """Return a batch of one message of the generation that the partition is in."""
    found = batch(4)
    found.generation = one.assignment.generation
    return found


def test_a_batch_is_tried_until_it_is_stored() -> None:
    one = placed(4)
    one.sink.store.side_effect = [SinkError("locked"), TimeoutError(), None]
    one.dead_letters.write.side_effect = [KafkaTimeoutError(), None, None, None]

    one.store(batch_of(one))

    assert one.sink.store.call_count == 3
    assert one.progress.next_offsets == {FIRST: 5}
    assert one.state == "positions"


@pytest.mark.parametrize("error", [OffsetConflictError("moved"), ProducerFenced()])
def test_a_batch_in_conflict_is_dropped_and_its_partitions_are_placed_again(error: Exception) -> None:
    one = placed(4)
    one.dead_letters.write.side_effect = [error] if isinstance(error, ProducerFenced) else [None]
    one.sink.store.side_effect = [error]
    generation = one.assignment.generation

    one.store(batch_of(one))

    assert one.progress.next_offsets == {FIRST: 4}
    assert (one.state, one.assignment.generation) == ("unplaced", generation + 1)


@pytest.mark.parametrize("error", [SinkError("locked"), OffsetConflictError("moved"), ProducerFenced()])
def test_a_batch_of_an_earlier_generation_is_dropped_with_its_first_error(error: Exception) -> None:
    one = placed(4)

    def rebalance(batch: Batch) -> None:
        if one.sink.store.call_count == 1:
            one.assignment.on_partitions_revoked([FIRST])
            raise error

    one.sink.store.side_effect = rebalance

    one.store(batch_of(one))

    assert one.sink.store.call_count == 1
    assert one.progress.next_offsets == {FIRST: 4}
    assert one.state == NOT_THERE


def test_a_batch_whose_partitions_were_revoked_is_not_handed_over() -> None:
    one = placed(4)
    one.reader._batch = batch_of(one)
    one.reader._batch.began -= 60  # it is due
    one.assignment.place_again()

    asyncio.run(one.reader._hand_over())

    assert one.storer.idle
    one.sink.store.assert_not_called()
    assert one.reader._batch.moves == {}


class Feed:
    """The messages of a partition, given out poll after poll; a poll without any takes its time."""

    def __init__(self, one: Partition) -> None:
        self.left: Iterator[list[ConsumerRecord]] = iter([])
        self.next_offset = 4
        one.client.getmany.side_effect = self.getmany
        one.client.position.side_effect = self.position

    async def getmany(self, *_: object, timeout_ms: int, **__: object) -> dict[Any, list[ConsumerRecord]]:
        if records := next(self.left, None):
            self.next_offset = records[-1].offset + 1
            return {FIRST: records}
        await asyncio.sleep(timeout_ms / 1000)
        return {}

    async def position(self, _: object) -> int:
        return self.next_offset


async def while_reading(one: Partition, what: Callable[[], bool]) -> None:
    """Run the partition's reader until something holds."""

    async def held() -> None:
        while not what():
            await asyncio.sleep(0.001)

    reading = asyncio.create_task(one.reader.run())
    try:
        await asyncio.wait_for(held(), timeout=60)
    finally:
        reading.cancel()
        with suppress(asyncio.CancelledError):
            await reading


def test_a_partition_is_placed_as_soon_as_it_is_assigned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "POLL_SECONDS", 3600)
    one = Partition(stored=4)
    Feed(one)

    async def run() -> None:
        asyncio.get_running_loop().call_later(0.05, one.assignment.on_partitions_assigned, [FIRST])
        await while_reading(one, lambda: one.state == "positions")

    asyncio.run(run())


def test_what_came_while_a_batch_was_stored_is_stored_right_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "POLL_SECONDS", 3600)
    monkeypatch.setattr(reader, "BACKLOG_ROWS", 1)
    one = placed(4)
    feed, stored, released = Feed(one), [], threading.Event()

    def messages() -> Iterator[list[ConsumerRecord]]:
        yield [record(price(4), 4)]
        yield [record(price(5), 5)]
        released.set()  # at the poll that finds no more, while the first batch is being stored

    def store(batch: Batch) -> None:
        stored.append(batch.moves[FIRST].next)
        assert released.wait(60)

    one.sink.store.side_effect = store
    feed.left = messages()

    asyncio.run(while_reading(one, lambda: len(stored) == 2))

    assert stored == [5, 6]


class Recorder:
    """Notes how the state of a partition's channel changes, by the method that changed it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: set[Transition] = set()
        self._states: dict[int, str] = {}
        for name in ("_take_over", "_append", "_missing", "_forget", "store"):
            monkeypatch.setattr(SnowpipeSink, name, self._recorded(getattr(SnowpipeSink, name)))

    def _recorded(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def call(sink: SnowpipeSink, *arguments: Any, **named: Any) -> Any:
            try:
                return method(sink, *arguments, **named)
            finally:
                before, after = self._states.get(id(sink), "closed"), channel_state(sink)
                self._states[id(sink)] = after
                if before != after:
                    self.seen.add((before, method.__qualname__, after))

        return call


def channel_state(sink: SnowpipeSink) -> str:
    """Return the state of the first partition's channel, in the words of the page."""
    channel = sink._channels.get(FIRST)
    if channel is None:
        return "closed"
    if channel.token is not None:
        return "appended"
    return "committed" if channel.appended > (channel.next_offset or 0) else "open"


@pytest.fixture
def service(snowpipe_place: Place) -> SnowpipeService:
    assert snowpipe_place.snowpipe
    return snowpipe_place.snowpipe


@pytest.fixture
def sinks(snowpipe_place: Place, service: SnowpipeService) -> Sequence[Sink]:
    """Return two consumers' sinks on the same account."""
    return [snowpipe_place.new_sink() for _ in range(2)]


def test_a_channel_changes_as_the_diagram_says(
    sinks: Sequence[Sink],
    snowpipe_place: Place,
    service: SnowpipeService,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recorder = Recorder(monkeypatch)
    monkeypatch.setattr(snowpipe, "COMMIT_SECONDS", 0.05)
    one, other = sinks
    one.prepare()
    one.register({FIRST: 0})
    one.store(batch(0))
    service.holds = True
    with pytest.raises(SinkError, match="has not committed"):
        one.store(batch(1))
    service.holds = False
    with monkeypatch.context() as broken:
        broken.setattr(snowpipe_place.session_type, "execute", fails_to_move(snowpipe_place))
        with pytest.raises(SinkError):
            one.store(batch(1))
    one.stored_offsets([FIRST])
    one.store(batch(1))
    one.stored_offsets([FIRST])
    other.stored_offsets([FIRST])
    with pytest.raises(OffsetConflictError):
        one.store(batch(2))

    assert recorder.seen == transitions("Snowpipe Streaming")


def fails_to_move(place: Place) -> Callable[..., Any]:
    """Return an `execute` that cannot update the stored offsets."""
    original = place.session_type.execute

    def execute(session: Any, sql: str, parameters: Sequence[Any] = ()) -> Any:
        if sql.startswith("update streaming.kafka_offsets"):
            raise place.error
        return original(session, sql, parameters)

    return execute
