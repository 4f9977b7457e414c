"""What the benchmarks share: a ratio with its limit, a stop-watch, settings of their own, peak memory."""

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from include.settings import Settings
from tests.machine import free_port

GIB = 1 << 30


@dataclass(frozen=True)
class Ratio:
    """One measured ratio; `at_most` says on which side of the limit it must lie."""

    what: str
    value: float
    limit: float
    at_most: bool
    detail: str

    @property
    def holds(self) -> bool:
        """Whether the limit is kept."""
        return self.value <= self.limit if self.at_most else self.value >= self.limit


def seconds(work: Callable[[], object]) -> float:
    """Return how long `work` takes, in wall-clock seconds."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def settings_in(folder: Path) -> Settings:
    """Return settings with all state in `folder`, so that a benchmark meets nothing of another."""
    return Settings(
        local_dir=folder, duckdb_path=folder / "warehouse.duckdb", airflow_port=free_port(), feeds="none"
    )


def quietly(command: list[str], env: dict[str, str], folder: Path) -> None:
    """Run a command; raises RuntimeError with the end of its output if it fails."""
    done = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")


@contextmanager
def peak_memory() -> Iterator[list[int]]:
    """Yield a one-item list: the largest resident memory of one child process, sampled every 50 ms."""
    peak, stop = [0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.05):
            for child in psutil.Process().children(recursive=True):
                try:
                    peak[0] = max(peak[0], child.memory_info().rss)
                except psutil.NoSuchProcess:
                    continue

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()
