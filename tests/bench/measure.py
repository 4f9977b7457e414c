"""What the benchmarks share: a ratio with its limit, a stop-watch, settings of their own, peak memory."""

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import psutil

from include.settings import Settings
from tests.machine import free_port

GIB = 1 << 30

Histogram = dict[float, float]
"""Events by the upper bound, in seconds, of the bucket that they are within; each counts all below it."""


@dataclass(frozen=True)
class Ratio:
    """One measured ratio; `at_most` says on which side of the limit it must lie, `goal` what is aimed at."""

    what: str
    value: float
    limit: float
    at_most: bool
    detail: str
    goal: float | None = None

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


def quietly(command: list[str], env: dict[str, str], folder: Path) -> str:
    """Run a command and return what it prints; raises RuntimeError with the end of that if it fails."""
    done = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return done.stdout


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


def quantile(histogram: Histogram, share: float) -> float:
    """Return the time that this share of the events kept, interpolated in its bucket as Prometheus does.

    Where it lies beyond the last bound, it is that bound.
    """
    bounds = [(0.0, 0.0), *sorted(histogram.items())]
    wanted = share * bounds[-1][1]
    for (low, below), (high, within) in pairwise(bounds):
        if within >= wanted and within > below:
            return low if high == float("inf") else low + (high - low) * (wanted - below) / (within - below)
    raise RuntimeError("there was no event")
