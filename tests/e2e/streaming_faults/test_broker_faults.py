"""The broker is killed and frozen while events and poison keep coming; it is left running."""

import time

from tests.streaming_workers.harness import Stage

from .exactly_once import assert_exactly_once, wait_for_the_end
from .load import Load
from .scenario import FAST, SESSION_SECONDS, Crowd, wait_until_assigned


def test_the_broker_is_killed_twice(stage: Stage) -> None:
    with Load(stage.broker, stage.partitions, seed=4) as load, Crowd(stage, FAST) as crowd:
        wait_until_assigned(stage, crowd.join())
        for _ in range(2):
            stage.wait_for_rows(stage.count() + 200)
            stage.broker.kill()
            stage.broker.start()
        stage.wait_for_rows(stage.count() + 1)
        load.stop()
        wait_for_the_end(stage)

    load.assert_kept(assert_exactly_once(stage))


def test_the_broker_is_frozen_for_longer_than_the_session(stage: Stage) -> None:
    with Load(stage.broker, stage.partitions, seed=5) as load, Crowd(stage, FAST) as crowd:
        wait_until_assigned(stage, crowd.join())
        wait_until_assigned(stage, crowd.join())
        stage.wait_for_rows(200)
        stage.broker.freeze()
        try:
            time.sleep(2 * SESSION_SECONDS)
        finally:
            stage.broker.thaw()
        stage.wait_for_rows(stage.count() + 1)
        load.stop()
        wait_for_the_end(stage)

    load.assert_kept(assert_exactly_once(stage))
