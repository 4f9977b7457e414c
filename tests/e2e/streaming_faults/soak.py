"""Random faults by the hundred while events and poison keep coming: `make soak [FAULTS=1000] [SEED=n]`.

Rounds of ROUND faults, each with fresh topics and a warehouse file that is not there yet. After each round
every message must be a row or a dead letter, once, and the offsets must say so. The first line names the
seed, which gives the same faults again; not the same moments, since the machine decides those.
"""

import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from tests.kafka import Broker, running_broker
from tests.streaming_workers.harness import ConsumerProcess, Stage
from tests.warehouse.locks import locked

from .exactly_once import assert_exactly_once, wait_for_the_end
from .load import Load
from .scenario import FAST, Crowd, wait_until_assigned

ROUND = 25
BIRTHS = 5  # first faults of a round, while the warehouse's file and its tables are being made

Fault = Callable[[random.Random, Stage, Crowd, ConsumerProcess], None]


def killed_at_birth(moments: random.Random, stage: Stage, crowd: Crowd, consumer: ConsumerProcess) -> None:
    """A consumer ends at any moment of its start; the one that runs must not notice."""
    newcomer = crowd.join()
    time.sleep(moments.uniform(0, 2))
    newcomer.kill()


def killed(moments: random.Random, stage: Stage, crowd: Crowd, consumer: ConsumerProcess) -> None:
    """The consumer that has the partitions ends."""
    time.sleep(moments.uniform(0, 1))
    consumer.kill()


def frozen(moments: random.Random, stage: Stage, crowd: Crowd, consumer: ConsumerProcess) -> None:
    """It does nothing for up to twice its session, and goes on beside the one that took over."""
    other = crowd.join()
    time.sleep(moments.uniform(0, 1))
    consumer.freeze()
    time.sleep(moments.uniform(0, 6))
    consumer.thaw()
    wait_until_assigned(stage, other)
    other.kill()


def warehouse_locked(moments: random.Random, stage: Stage, crowd: Crowd, consumer: ConsumerProcess) -> None:
    """Another process has the warehouse, and the consumer ends with a batch in its hands, or waits."""
    with locked(stage.duckdb_path):
        time.sleep(moments.uniform(0, 2))
        if moments.random() < 0.5:
            consumer.kill()


def broker_killed(moments: random.Random, stage: Stage, crowd: Crowd, consumer: ConsumerProcess) -> None:
    """The broker ends and comes back."""
    time.sleep(moments.uniform(0, 1))
    stage.broker.kill()
    stage.broker.start()


FAULTS: dict[Fault, int] = {killed_at_birth: 4, killed: 4, frozen: 2, warehouse_locked: 3, broker_killed: 1}


def run_round(broker: Broker, folder: Path, chance: random.Random, count: int) -> Counter[str]:
    """Do so many faults to a new stage; return how many of each. Raises AssertionError at a breach."""
    done: Counter[str] = Counter()
    stage = Stage(broker, folder)
    with Load(broker, stage.partitions, seed=chance.randrange(2**32), per_second=100) as load:
        with Crowd(stage, FAST) as crowd:
            for _ in range(min(BIRTHS, count)):
                newcomer = crowd.join()
                time.sleep(chance.uniform(0.5, 3))
                newcomer.kill()
                done["killed_at_birth_of_the_file"] += 1
            consumer = crowd.join()
            for _ in range(count - done.total()):
                if consumer.process.poll() is not None:
                    consumer = crowd.join()
                wait_until_assigned(stage, consumer)
                [fault] = chance.choices(list(FAULTS), list(FAULTS.values()))
                fault(chance, stage, crowd, consumer)
                done[fault.__name__] += 1
        load.stop()
        with stage.consumer(**FAST):
            wait_for_the_end(stage)
    load.assert_kept(assert_exactly_once(stage))
    return done


def main(
    faults: Annotated[int, typer.Option(min=1, help="How many faults.")] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of the faults; default: another one each time.")] = -1,
) -> None:
    """Do random faults to consumers, broker and warehouse, and check that nothing is lost or repeated."""
    seed = seed if seed >= 0 else random.SystemRandom().randrange(2**32)
    typer.echo(f"{faults} faults, seed {seed}")
    chance, total = random.Random(seed), Counter[str]()
    with tempfile.TemporaryDirectory(prefix="soak-") as name, running_broker(Path(name, "kafka")) as broker:
        while total.total() < faults:
            folder = Path(name, f"round-{total.total()}")
            folder.mkdir()
            total += run_round(broker, folder, chance, min(ROUND, faults - total.total()))
            typer.echo(f"{total.total()} faults, no breach: {dict(total)}")
            sys.stdout.flush()


if __name__ == "__main__":
    typer.run(main)
