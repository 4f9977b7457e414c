"""Whatever lies in a topic that is no event ends in the dead letters as it came, and holds up nothing."""

import os
from collections.abc import Iterable
from dataclasses import replace

from streaming_workers.dead_letters.topic import HEADER_PREFIX
from streaming_workers.events import NEWS_TOPIC, PRICES_TOPIC
from tests.streaming_workers.harness import Message, Stage

from .exactly_once import assert_exactly_once, wait_for_the_end
from .load import LONGEST_EVENT, article, poison, poisons, price
from .scenario import FAST

LONGEST_MESSAGE = 1_048_588 - 256
"""Bytes of value that a broker takes by default, with room for a key, headers and Kafka's own."""

HEADERS = (
    ("trace", b"\x00\xff"),
    ("trace", b"again"),
    ("näme", b""),
    (HEADER_PREFIX + "topic", b"elsewhere"),  # it was a dead letter once, and was sent again
    (HEADER_PREFIX + "offset", b"7"),
)
ODD = [
    poison(None, key=None),
    poison(b"", key=None),
    poison(None, key=b""),
    poison(b"{", headers=HEADERS),
    poison(b"\x00" * 100, key=b"\xff\x00"),
    poison(b"null"),
    poison(b"[]"),
    poison(b"\xef\xbb\xbf{}"),
    poison(b"[" * 30_000),
    poison(b'{"event_id": "\xff"}'),
    poison(os.urandom(5_000)),
    poison(os.urandom(LONGEST_EVENT + 1)),
    poison(os.urandom(LONGEST_MESSAGE)),
    poison(b" " * LONGEST_MESSAGE),
    poison(price(0, bytes_long=LONGEST_MESSAGE).value),
]


def placed(messages: Iterable[Message], partition: int) -> list[Message]:
    return [replace(message, partition=partition) for message in messages]


def test_messages_that_are_no_events(stage: Stage) -> None:
    good = price(1, bytes_long=LONGEST_EVENT)
    for partition in range(stage.partitions):
        stage.produce(placed([price(2), *ODD, good, *poisons(3)], partition))
        stage.produce(placed([*ODD[:5], article(1), *poisons(3)], partition), NEWS_TOPIC)
    with stage.consumer(**FAST) as consumer:
        wait_for_the_end(stage)
        status = consumer.health()

    outcomes = assert_exactly_once(stage)
    assert status == (200, None)
    assert len(outcomes[PRICES_TOPIC].rows) == 2 * stage.partitions
    assert len(outcomes[NEWS_TOPIC].rows) == stage.partitions
