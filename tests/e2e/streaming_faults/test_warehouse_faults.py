"""The warehouse is locked, full or read-only: that delays, is said, and loses nothing once it is repaired."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress

import psutil
import pytest

from streaming_workers.events import PRICES_TOPIC
from tests.streaming_workers.harness import ConsumerProcess, Stage
from tests.warehouse.locks import locked

from .exactly_once import assert_exactly_once, wait_for_the_end
from .load import Load
from .scenario import FAST

LOCKED_SECONDS = 30
STALL_SECONDS = 2
MIB = 2**20
RESTRICTED = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
"""Before a command of root's: the modes of files then hold for it too."""

Harm = Callable[[Stage, ConsumerProcess], AbstractContextManager[None]]


@pytest.fixture
def stage(stage: Stage) -> Stage:
    """The warehouse in a folder of its own, apart from the logs."""
    folder = stage.folder / "warehouse"
    folder.mkdir()
    stage.duckdb_path = folder / stage.duckdb_path.name
    return stage


@contextmanager
def full_disk(stage: Stage, consumer: ConsumerProcess) -> Iterator[None]:
    """Another program fills the file system."""
    ballast = stage.duckdb_path.with_name("ballast")
    try:
        with ballast.open("wb", buffering=0) as file, suppress(OSError):
            while file.write(bytes(64 * 1024)):
                pass
        assert os.statvfs(ballast).f_bavail == 0
        yield
    finally:
        ballast.unlink()


@contextmanager
def limited_file_size(stage: Stage, consumer: ConsumerProcess) -> Iterator[None]:
    """The process may not write beyond 128 KiB of any file, which its log does not reach."""
    process = psutil.Process(consumer.process.pid)
    before = process.rlimit(psutil.RLIMIT_FSIZE)
    process.rlimit(psutil.RLIMIT_FSIZE, (128 * 1024, before[1]))
    yield
    process.rlimit(psutil.RLIMIT_FSIZE, before)


@contextmanager
def read_only_file(stage: Stage, consumer: ConsumerProcess) -> Iterator[None]:
    """Nobody may write to the file."""
    stage.duckdb_path.chmod(0o444)
    yield
    stage.duckdb_path.chmod(0o644)


@contextmanager
def read_only_folder(stage: Stage, consumer: ConsumerProcess) -> Iterator[None]:
    """Nobody may make a file beside it, as DuckDB does for its log of changes."""
    stage.duckdb_path.parent.chmod(0o555)
    yield
    stage.duckdb_path.parent.chmod(0o755)


def test_a_read_only_file_and_a_read_only_folder(stage: Stage) -> None:
    assert_only_delay(stage, [read_only_file, read_only_folder], "Permission denied")


def test_a_full_disk(stage: Stage) -> None:
    """Only root may mount a small disk; for others a limit on the size of files is as good."""
    folder = str(stage.duckdb_path.parent)
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", folder], check=False)
    if mount.returncode:
        assert_only_delay(stage, [limited_file_size], "File too large")
        return
    try:
        assert_only_delay(stage, [full_disk], "No space left on device")
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def assert_only_delay(stage: Stage, harms: Sequence[Harm], complaint: str) -> None:
    """Harmed under load, the consumer says why and turns red; repaired, it catches up by itself."""
    prefix = RESTRICTED if os.geteuid() == 0 else []
    env = {**FAST, "CONSUMER_STALL_SECONDS": str(STALL_SECONDS)}
    with Load(stage.broker, stage.partitions, seed=7) as load, stage.consumer(*prefix, **env) as consumer:
        stage.wait_for_rows(100)
        for harm in harms:
            with harm(stage, consumer):
                stage.wait_until(lambda: is_red(consumer, complaint), "an alarm that says why")
                failed = consumer.said("a batch could not be stored, trying again")
                assert complaint in failed[-1]["error"]
            stage.wait_until(lambda: consumer.health() == (200, None), "the alarm to end")
        load.stop()
        wait_for_the_end(stage)

    load.assert_kept(assert_exactly_once(stage))


def is_red(consumer: ConsumerProcess, complaint: str) -> bool:
    status, reason = consumer.health()
    return status == 503 and complaint in str(reason)


def test_a_warehouse_that_is_locked_for_thirty_seconds(stage: Stage) -> None:
    slim = {
        **FAST,
        "CONSUMER_STALL_SECONDS": str(STALL_SECONDS),
        "CONSUMER_BATCH_BYTES": str(4 * MIB),
        # Well below the time that it is locked, and more than a busy machine takes to run a heartbeat.
        "CONSUMER_SESSION_TIMEOUT_SECONDS": str(LOCKED_SECONDS // 3),
    }
    load = Load(stage.broker, stage.partitions, seed=6, per_second=100, bytes_long=30_000)
    with load, stage.consumer(**slim) as consumer:
        stage.wait_for_rows(500)
        with locked(stage.duckdb_path):
            memory = list(watch_memory(consumer, LOCKED_SECONDS))
            status, reason = consumer.health()
        load.stop()
        wait_for_the_end(stage)
        stage.wait_until(lambda: consumer.health() == (200, None), "the alarm to end")
        assignments = consumer.said("partitions assigned")

    outcomes = assert_exactly_once(stage)
    load.assert_kept(outcomes)
    assert status == 503
    assert "Could not set lock on file" in str(reason)
    assert len(assignments) == 1, f"a slow warehouse is no reason to lose partitions: {assignments}"
    assert sum(len(row.payload) for row in outcomes[PRICES_TOPIC].rows) > 40 * MIB
    assert max(memory) - memory[0] < 25, f"memory grows with what waits: {memory[0]} to {max(memory)} MiB"


def watch_memory(consumer: ConsumerProcess, seconds: float) -> Iterator[float]:
    """Yield the resident memory twice a second, MiB."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield consumer.resident_mib()
        time.sleep(0.5)
