"""Consumers are killed, frozen, and join and leave while events and poison keep coming."""

import random
import time
from functools import partial

from tests.streaming_workers.harness import Stage
from tests.warehouse.locks import locked

from .exactly_once import assert_exactly_once, wait_for_the_end
from .load import Load, poison, price
from .scenario import FAST, Crowd, given_up, wait_until_assigned

EVERY_PARTITION = 6  # three of each topic
QUICK_SESSION = {**FAST, "CONSUMER_SESSION_TIMEOUT_SECONDS": "2"}


def test_two_consumers_are_killed_eight_times(stage: Stage) -> None:
    """Every second time not before they have stored something, else at any moment after the assignment."""
    moments = random.Random(1)
    stored = [0]
    with Load(stage.broker, stage.partitions, seed=1) as load:
        for number in range(8):
            with stage.consumer(**QUICK_SESSION) as one, stage.consumer(**QUICK_SESSION) as two:
                wait_until_assigned(stage, one)
                if number % 2:
                    stage.wait_until(partial(one.metric, "consumer_batches_total"), "a batch")
                time.sleep(moments.uniform(0, 1))
                one.kill()
                two.kill()
            stored.append(stage.count())
    with stage.consumer(**FAST):
        wait_for_the_end(stage)

    load.assert_kept(assert_exactly_once(stage))
    assert len(set(stored)) > 3, f"killed too early to store anything: {stored}"


def test_consumers_join_and_leave_in_order_and_killed(stage: Stage) -> None:
    with Load(stage.broker, stage.partitions, seed=2) as load, Crowd(stage, QUICK_SESSION) as crowd:
        first = crowd.join()
        wait_until_assigned(stage, first, EVERY_PARTITION)
        second, third = crowd.join(), crowd.join()
        wait_until_assigned(stage, second)
        wait_until_assigned(stage, third)
        crowd.leave(second)
        first.kill()
        fourth = crowd.join()
        wait_until_assigned(stage, fourth)
        third.kill()
        fifth = crowd.join()
        wait_until_assigned(stage, fifth)
        crowd.leave(fourth)
        wait_until_assigned(stage, fifth, EVERY_PARTITION)
        load.stop()
        wait_for_the_end(stage)
        crowd.leave(fifth)

    load.assert_kept(assert_exactly_once(stage))


def test_consumers_are_frozen_at_random_until_others_took_over(stage: Stage) -> None:
    moments = random.Random(3)
    with Load(stage.broker, stage.partitions, seed=3) as load, Crowd(stage, QUICK_SESSION) as crowd:
        active, idle = crowd.join(), crowd.join()
        wait_until_assigned(stage, active)
        wait_until_assigned(stage, idle)
        for _ in range(3):
            time.sleep(moments.uniform(0, 1))
            active.freeze()
            wait_until_assigned(stage, idle, EVERY_PARTITION)
            time.sleep(moments.uniform(0, 1))
            active.thaw()
            active, idle = idle, active
        load.stop()
        wait_for_the_end(stage)

    load.assert_kept(assert_exactly_once(stage))


def test_a_consumer_that_wakes_up_while_storing_writes_no_rows(stage: Stage) -> None:
    """It is frozen with its dead letters written and its rows waiting for the warehouse."""
    with Crowd(stage, FAST) as crowd:
        frozen = crowd.join()
        stage.produce([price(1, partition=0), poison(b"{", partition=0)])
        wait_for_the_end(stage)
        with locked(stage.duckdb_path):
            stage.produce([price(2, partition=0), poison(b"[", partition=0)])
            stage.wait_until(lambda: frozen.said("a batch could not be stored, trying again"), "a try")
            frozen.freeze()
            heir = crowd.join()
            wait_until_assigned(stage, heir, EVERY_PARTITION)
        wait_for_the_end(stage)
        frozen.thaw()
        stage.wait_until(lambda: len(frozen.said("partitions assigned")) == 2, "the frozen one to join again")
        stage.produce([price(3, partition=0), poison(b"", partition=0)])
        wait_for_the_end(stage)

    assert_exactly_once(stage)
    assert given_up(frozen), "it did not even try"


def test_a_consumer_that_wakes_up_before_storing_writes_no_dead_letters(stage: Stage) -> None:
    """It is frozen with a batch that it still gathers, and a producer of dead letters at hand."""
    with Crowd(stage, FAST) as crowd:
        frozen = crowd.join(CONSUMER_BATCH_SECONDS="3")
        stage.produce([price(1, partition=0), poison(b"{", partition=0)])
        wait_for_the_end(stage)
        stage.produce([price(2, partition=0), poison(b"[", partition=0)])
        time.sleep(1)  # it has read them by then
        frozen.freeze()
        wait_until_assigned(stage, crowd.join(), EVERY_PARTITION)
        wait_for_the_end(stage)
        frozen.thaw()
        stage.wait_until(lambda: len(frozen.said("partitions assigned")) == 2, "the frozen one to join again")
        stage.produce([price(3, partition=0), poison(b"", partition=0)])
        wait_for_the_end(stage)

    assert_exactly_once(stage)
    assert given_up(frozen), "it did not even try"
