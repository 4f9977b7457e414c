"""What tests ask of this machine: ports, folders, a checkout, patience, and what a stack has left behind."""

import fcntl
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from include.settings import PROJECT_ROOT
from standalone.processes import MARKER
from tests import kafka

OUR_VARIABLES = (
    "AIRFLOW",
    "ARGS",
    "DBT_",
    "DUCKDB_PATH",
    "FEEDS",
    "KAFKA_",
    "LOCAL_DIR",
    "MAKE",  # what `make test` was given is not for the commands under test
    "MFLAGS",
    "PIPELINE_SCHEDULE",
    "PYTHONPATH",
    "SEGMENTS_SEED_FILE",
    "SOURCE_LOCATION",
    "WAREHOUSE",
)


def wait_until(look: Callable[[], Any], what: str, seconds: float = 120, every: float = 0.05) -> Any:
    """Return what `look` finds as soon as it finds something; fails after so many seconds."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain for {what}"
        time.sleep(every)
    return found


def free_port() -> int:
    """Return a port that nothing listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def users_environment() -> dict[str, str]:
    """Return this process's environment with none of our variables but ports that are free."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(OUR_VARIABLES)}
    ports = ("AIRFLOW_PORT", "SIMULATOR_PORT", "PRODUCER_METRICS_PORT", "CONSUMER_METRICS_PORT")
    return {
        **inherited,
        **{name: str(free_port()) for name in ports},
        "KAFKA_PORT": str(kafka.free_port()),
        "PYTHON": sys.executable,
    }


def cloned(folder: Path) -> Path:
    """Make `folder` what `git clone` brings, with the packages of this checkout, and return it."""
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=PROJECT_ROOT, capture_output=True, check=True
    ).stdout
    for name in filter(None, tracked.decode().split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(PROJECT_ROOT / name, folder / name)  # make compares times
    (folder / ".local").mkdir()
    (folder / ".local" / "venv").symlink_to(sys.prefix)
    return folder


def made_once(name: str, make: Callable[[Path], None]) -> Path:
    """Return the folder of this name, which the first process of a test run to ask makes for all of them."""
    folder = Path(os.environ["MARKETING_TESTS_DIR"], name)
    made = folder.with_suffix(".made")
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            folder.mkdir()
            make(folder)
            made.touch()
    return folder


def left_behind(local_dir: Path) -> list[str]:
    """Return the processes that work in local_dir."""
    found = []
    for process in psutil.process_iter():
        try:
            if MARKER in process.environ() and process.environ().get("LOCAL_DIR") == str(local_dir):
                found.append(" ".join(process.cmdline()))
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found
