"""The check finds each way to break the promise; else the scenarios that rest on it would prove nothing."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from .exactly_once import POISON, DeadLetter, Entry, Outcome, Row, violations

TOPIC = "bitcoin-prices"
POISONED = Entry(b"{", b"key", (("trace", b"1"), (POISON, b"1")))


def event(number: int) -> Entry:
    return Entry(b'{"event_id": "event-%d"}' % number, b"key")


def row(partition: int, offset: int, number: int) -> Row:
    return Row((partition, offset), f"event-{number}", event(number).value.decode())  # type: ignore[union-attr]


def sound() -> Outcome:
    """Two partitions, three events and one poison message, all as it should be."""
    return Outcome(
        topic=TOPIC,
        log={(0, 0): event(1), (0, 1): POISONED, (0, 2): event(2), (1, 0): event(3)},
        ends={0: 3, 1: 1, 2: 0},
        rows=[row(0, 0, 1), row(0, 2, 2), row(1, 0, 3)],
        dead_letters=[DeadLetter(TOPIC, (0, 1), 0, POISONED)],
        next_offsets=[(0, 3), (1, 1), (2, 0)],
    )


def test_nothing_is_said_where_all_is_well() -> None:
    assert violations(sound()) == []


def lose_a_row(outcome: Outcome) -> None:
    del outcome.rows[1]


def store_twice(outcome: Outcome) -> None:
    outcome.rows.append(outcome.rows[0])


def store_poison(outcome: Outcome) -> None:
    outcome.rows.append(Row((0, 1), "event-9", "{"))


def store_from_nowhere(outcome: Outcome) -> None:
    outcome.rows.append(row(1, 7, 4))


def store_under_another_id(outcome: Outcome) -> None:
    outcome.rows[0] = replace(outcome.rows[0], event_id="event-9")


def store_another_payload(outcome: Outcome) -> None:
    outcome.rows[0] = replace(outcome.rows[0], payload='{"event_id":"event-1"}')


def lose_a_dead_letter(outcome: Outcome) -> None:
    outcome.dead_letters.clear()


def write_a_dead_letter_twice(outcome: Outcome) -> None:
    outcome.dead_letters *= 2


def write_a_valid_event_as_dead_letter(outcome: Outcome) -> None:
    outcome.dead_letters.append(DeadLetter(TOPIC, (1, 0), 1, event(3)))


def take_a_row_for_a_dead_letter(outcome: Outcome) -> None:
    lose_a_row(outcome)
    outcome.dead_letters.append(DeadLetter(TOPIC, (0, 2), 0, event(2)))


def write_a_dead_letter_elsewhere(outcome: Outcome) -> None:
    outcome.dead_letters[0] = replace(outcome.dead_letters[0], partition=1)


def write_a_dead_letter_of_another_topic(outcome: Outcome) -> None:
    outcome.dead_letters[0] = replace(outcome.dead_letters[0], topic="news-events")


def change_a_dead_letter(outcome: Outcome) -> None:
    outcome.dead_letters[0] = replace(outcome.dead_letters[0], entry=replace(POISONED, value=None))


def lose_a_header(outcome: Outcome) -> None:
    entry = replace(POISONED, headers=POISONED.headers[1:])
    outcome.dead_letters[0] = replace(outcome.dead_letters[0], entry=entry)


def stop_before_the_end(outcome: Outcome) -> None:
    outcome.next_offsets[0] = (0, 2)


def go_beyond_the_end(outcome: Outcome) -> None:
    outcome.next_offsets[2] = (2, 1)


def forget_a_partition(outcome: Outcome) -> None:
    del outcome.next_offsets[2]


def keep_two_offsets(outcome: Outcome) -> None:
    outcome.next_offsets.append((0, 3))


def keep_an_offset_of_no_partition(outcome: Outcome) -> None:
    outcome.next_offsets.append((3, 0))


def lose_a_message_in_kafka(outcome: Outcome) -> None:
    del outcome.log[0, 0]
    del outcome.rows[0]


@pytest.mark.parametrize(
    ("breach", "complaint"),
    [
        (lose_a_row, "(0, 2): 0 rows, 0 dead letters instead of 1 and 0"),
        (store_twice, "(0, 0): 2 rows, 0 dead letters instead of 1 and 0"),
        (store_poison, "(0, 1): 1 rows, 1 dead letters instead of 0 and 1"),
        (store_from_nowhere, "stored, but never produced: [(1, 7)]"),
        (store_under_another_id, "the row of (0, 0) is not what was produced"),
        (store_another_payload, "the row of (0, 0) is not what was produced"),
        (lose_a_dead_letter, "(0, 1): 0 rows, 0 dead letters instead of 0 and 1"),
        (write_a_dead_letter_twice, "(0, 1): 0 rows, 2 dead letters instead of 0 and 1"),
        (write_a_valid_event_as_dead_letter, "(1, 0): 1 rows, 1 dead letters instead of 1 and 0"),
        (take_a_row_for_a_dead_letter, "(0, 2): 0 rows, 1 dead letters instead of 1 and 0"),
        (write_a_dead_letter_elsewhere, "a dead letter of bitcoin-prices (0, 1) lies in partition 1"),
        (write_a_dead_letter_of_another_topic, "a dead letter of news-events (0, 1) lies in partition 0"),
        (change_a_dead_letter, "the dead letter of (0, 1) is not what was produced"),
        (lose_a_header, "the dead letter of (0, 1) is not what was produced"),
        (stop_before_the_end, "partition 0 ends at 3, stored next offsets are [2]"),
        (go_beyond_the_end, "partition 2 ends at 0, stored next offsets are [1]"),
        (forget_a_partition, "partition 2 ends at 0, stored next offsets are []"),
        (keep_two_offsets, "partition 0 ends at 3, stored next offsets are [3, 3]"),
        (keep_an_offset_of_no_partition, "offsets of partitions {3}, which are not there"),
        (lose_a_message_in_kafka, "partition 0 itself has no offsets [0]"),
    ],
)
def test_each_breach_is_found(breach: Callable[[Outcome], None], complaint: str) -> None:
    outcome = sound()
    breach(outcome)

    assert violations(outcome) == [complaint]
