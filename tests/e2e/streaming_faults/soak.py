"""Random faults by the hundred while events and poison keep coming: `make soak [FAULTS=1000] [SEED=n]`.

Rounds of ROUND faults, each with fresh topics and a warehouse file that is not there yet, in which another
process stores, too, as a run of a DAG does. After each round every message must be a row or a dead letter,
once, the offsets must say so, and each row of the other process must be there. The first line names the
seed, which gives the same faults again; not the same moments, since the machine decides those.
"""

import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from include.settings import PROJECT_ROOT
from include.warehouse.duckdb import DuckDBWarehouse
from tests.kafka import Broker, running_broker
from tests.streaming_workers.harness import ConsumerProcess, Stage
from tests.warehouse.locks import locked

from .exactly_once import assert_exactly_once, wait_for_the_end
from .load import Load
from .scenario import FAST, Crowd, wait_until_assigned

ROUND = 25
BIRTHS = 5  # first faults of a round, while the warehouse's file and its tables are being made

# A row a session until its input ends, then prints how many.
STORES_TOO = """
import select, sys
from itertools import count
from pathlib import Path
from include.warehouse.duckdb import DuckDBWarehouse
for number in count():
    if select.select([sys.stdin], [], [], 0)[0]:
        break
    with DuckDBWarehouse(Path(sys.argv[1])).session() as session:
        session.execute("create table if not exists stored_too (number integer)")
        session.execute(f"insert into stored_too values ({number})")
print(number)
"""

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
        with another_that_stores(stage.duckdb_path), Crowd(stage, FAST) as crowd:
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


@contextmanager
def another_that_stores(path: Path) -> Iterator[None]:
    """Let another process store in the file until the block ends; each of its rows must be there then."""
    process = subprocess.Popen(
        [sys.executable, "-c", STORES_TOO, path],
        cwd=PROJECT_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield
    finally:
        said, _ = process.communicate("")
    assert process.returncode == 0
    with DuckDBWarehouse(path).session() as session:
        stored = [number for (number,) in session.execute("select number from stored_too order by all")]
    assert stored == list(range(int(said))), f"{said} rows stored beside the consumers, these found: {stored}"


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
