"""What is no valid event goes to the dead letters once, as it came, and can be listed and replayed."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import ProducerFenced

from streaming_workers.dead_letters.topic import DeadLetterWriter, PartitionWriter
from streaming_workers.events import PRICES_TOPIC, STREAMS
from streaming_workers.validation import InvalidEventError, Rejected, parse_event
from tests.conftest import PROJECT_ROOT
from tests.kafka import Broker
from tests.streaming_workers.harness import Message, Stage, assert_exactly_once, price, prices

PARTITION = TopicPartition(PRICES_TOPIC, 0)
LONG_TEXT = "x" * 5000
POISON = {
    "not JSON": (Message(b"{not json", b"key"), "Invalid JSON"),
    "no value": (Message(None, b"key"), "no value"),
    "neither key nor value": (Message(None), "no value"),
    "empty": (Message(b"", b"key"), "Invalid JSON"),
    "binary": (Message(bytes(range(256)), b"\xff\x00"), "Invalid JSON"),
    "a list": (Message(b"[1, 2]", b"key"), "object"),
    "a wrong type": (price(1, price_usd="cheap"), "price_usd"),
    "a number as text": (price(1, price_usd="60000.5"), "price_usd"),
    "a missing field": (Message(b'{"event_id": "a"}', b"key"), "coin: Field required"),
    "a time without zone": (price(1, observed_at="2025-01-01T00:00:00"), "observed_at"),
    "a time that is no date in UTC": (price(1, observed_at="0001-01-01T00:00:00+14:00"), "observed_at"),
    "a time before any price": (price(1, observed_at="1999-12-31T23:59:59Z"), "observed_at"),
    "a constant that JSON has not": (Message((price(1).value or b"")[:-1] + b', "x": NaN}'), "NaN"),
    "too long": (price(1, 300_000), "300000 bytes, more than the 262144"),
    "far too long": (price(1, 1_000_000), "1000000 bytes"),
    "many complaints": (Message(json.dumps({"event_id": ""}).encode(), b"key"), "event_id"),
}


def list_letters(stage: Stage, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return run(stage, "list", *arguments)


def run(stage: Stage, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "streaming_workers.dead_letters", *arguments],
        cwd=PROJECT_ROOT,
        env={"KAFKA_BOOTSTRAP_SERVERS": stage.broker.bootstrap_servers, "COLUMNS": "240"},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )


@pytest.mark.parametrize(("message", "reason"), POISON.values(), ids=POISON.keys())
def test_what_is_no_event_is_refused_with_a_reason(message: Message, reason: str) -> None:
    with pytest.raises(InvalidEventError, match=reason) as raised:
        parse_event(STREAMS[PRICES_TOPIC], message.value, 262_144)

    assert "cheap" not in str(raised.value)


def test_every_kind_of_poison_is_kept_with_its_headers_and_the_rest_is_stored(stage: Stage) -> None:
    messages = [
        Message(one.value, one.key, [("trace", b"1"), ("trace", b"\xff")], partition=number % 3)
        for number, (one, _) in enumerate(POISON.values())
    ]
    places = stage.produce(messages)
    stage.produce(prices(range(50)))
    with stage.consumer() as consumer:
        stage.wait_for_offsets()
        assert consumer.metric("consumer_dead_letters_total", topic=PRICES_TOPIC) == len(POISON)
        assert consumer.health() == (200, None)

    assert_exactly_once(stage, [f"event-{number}" for number in range(50)])
    letters = stage.dead_letters()
    assert letters.keys() == set(places)
    for place, (_, reason) in zip(places, POISON.values(), strict=True):
        letter = letters[place]
        headers = dict(letter.headers)
        assert letter.partition == place[0]
        assert letter.headers[:2] == (("trace", b"1"), ("trace", b"\xff"))
        assert headers["__connect.errors.topic"] == PRICES_TOPIC.encode()
        assert reason in headers["__connect.errors.exception.message"].decode()


def test_a_reason_is_cut(stage: Stage) -> None:
    error = InvalidEventError("é" * 5000)
    written = asyncio.run(write(stage, [rejected(0, error=error)]))

    assert written == 1
    [letter] = stage.dead_letters().values()
    reason = dict(letter.headers)["__connect.errors.exception.message"].decode()
    assert reason == "é" * 999 + "…"


def rejected(offset: int, time_ms: int = 1_750_000_000_000, error: Exception | None = None) -> Rejected:
    value = f"poison {offset}".encode()
    record = ConsumerRecord(*PARTITION, offset, time_ms, 0, b"key", value, None, 3, len(value), ())
    return Rejected(record, InvalidEventError(str(error or "no event")))


async def write(stage: Stage, letters: list[Rejected]) -> int:
    """Write as a consumer does that has just been given the partition; return how many were new."""
    writer = PartitionWriter(stage.broker.kafka_settings(), "warehouse-sink", PARTITION)
    try:
        await writer.open(letters[0].record)
        return await writer.write(letters)
    finally:
        await writer.producer.stop()


def test_what_another_consumer_has_written_is_not_written_again(stage: Stage) -> None:
    first = asyncio.run(write(stage, [rejected(offset) for offset in (3, 5)]))
    second = asyncio.run(write(stage, [rejected(offset) for offset in (3, 5, 6)]))
    third = asyncio.run(write(stage, [rejected(offset) for offset in (5, 6)]))

    assert (first, second, third) == (2, 1, 0)
    assert [offset for _, offset in stage.dead_letters()] == [3, 5, 6]


def test_the_same_offset_of_a_recreated_topic_is_another_message(stage: Stage) -> None:
    asyncio.run(write(stage, [rejected(3)]))

    assert asyncio.run(write(stage, [rejected(3, time_ms=1_750_000_900_000)])) == 1


def test_a_writer_that_was_replaced_writes_no_more(stage: Stage) -> None:
    async def scenario() -> None:
        settings = stage.broker.kafka_settings()
        old, new = (DeadLetterWriter(settings, "warehouse-sink") for _ in range(2))
        await old.write({PARTITION: [rejected(1)]})
        await new.write({PARTITION: [rejected(1), rejected(2)]})
        with pytest.raises(ProducerFenced):
            await old.write({PARTITION: [rejected(2), rejected(3)]})
        await new.write({PARTITION: [rejected(3)]})
        for one in (old, new):
            await one.keep([])

    asyncio.run(scenario())

    assert [offset for _, offset in stage.dead_letters()] == [1, 2, 3]


def test_a_flood_of_dead_letters_is_written_in_order(stage: Stage) -> None:
    assert asyncio.run(write(stage, [rejected(offset) for offset in range(3000)])) == 3000

    assert [offset for _, offset in stage.dead_letters()] == list(range(3000))


def test_a_dead_letter_topic_with_too_few_partitions_is_said(broker: Broker, tmp_path: Path) -> None:
    async def scenario() -> None:
        writer = DeadLetterWriter(broker.kafka_settings(), "warehouse-sink")
        far = TopicPartition(PRICES_TOPIC, 9)
        record = ConsumerRecord(*far, 0, 1, 0, b"key", b"value", None, 3, 5, ())
        await writer.write({far: [Rejected(record, InvalidEventError("no event"))]})

    Stage(broker, tmp_path)
    with pytest.raises(Exception, match=r"bitcoin-prices\.dlq has no partition 9"):
        asyncio.run(scenario())


def test_list_shows_any_value_safely(stage: Stage) -> None:
    assert "There are no dead letters" in list_letters(stage).stdout
    stage.produce([Message(b"[red]\x1b[31m\x00\xff" + LONG_TEXT.encode(), b"key", partition=1)])
    stage.produce([Message(None, b"key", partition=2)])
    with stage.consumer():
        stage.wait_for_offsets()

    done = list_letters(stage, "--limit", "5")

    assert done.returncode == 0, done.stderr
    assert r"[red]\x1b[31m\x00\\xff" in done.stdout
    assert "\x1b" not in done.stdout
    assert "5012" in done.stdout
    assert "no value" in done.stdout
    assert "There are no" in list_letters(stage, "--topic", "news-events").stdout
    wrong = list_letters(stage, "--topic", "nothing")
    assert wrong.returncode == 2
    assert "none of bitcoin-prices" in wrong.stderr


def test_replay_sends_each_dead_letter_again_once(stage: Stage) -> None:
    limit = {"CONSUMER_MAX_EVENT_BYTES": "2000"}
    good = price(1, 5000)
    places = stage.produce([Message(good.value, good.key, [("trace", b"7")]), Message(b"{", b"bad")])
    with stage.consumer(**limit):
        stage.wait_for_offsets()
    assert len(stage.dead_letters()) == 2

    assert "2 dead letter(s) would be sent again" in run(stage, "replay", "--dry-run").stdout
    with stage.consumer():  # it takes longer events, which is why the replay
        first = run(stage, "replay", "--topic", PRICES_TOPIC)
        assert "bitcoin-prices: 2 dead letter(s) sent again" in first.stdout, first.stderr
        stage.wait_for_rows(1)
        stage.wait_until(lambda: len(stage.dead_letters()) == 3, "the bad one to come back")
        again = run(stage, "replay")
        assert "bitcoin-prices: 1 dead letter(s) sent again" in again.stdout
        stage.wait_until(lambda: len(stage.dead_letters()) == 4, "the bad one to come back again")

    assert_exactly_once(stage, ["event-1"])
    sent = [record for record in stage.log(PRICES_TOPIC) if (record.partition, record.offset) not in places]
    assert [record.value for record in sent if record.key == b"bad"] == [b"{", b"{"]
    [replayed] = [record for record in sent if record.key == good.key]
    assert (replayed.value, replayed.headers) == (good.value, (("trace", b"7"),))


def test_a_cluster_that_does_not_answer_is_one_sentence(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "streaming_workers.dead_letters", "list"],
        cwd=PROJECT_ROOT,
        env={"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )

    assert done.returncode == 1
    assert "Kafka at 127.0.0.1:1" in done.stdout
    assert "Traceback" not in done.stderr
