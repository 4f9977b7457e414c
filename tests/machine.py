"""What tests ask of this machine: a free port, a folder for all of them, and what a stack has left behind."""

import fcntl
import os
import socket
from collections.abc import Callable
from pathlib import Path

import psutil

from standalone.processes import MARKER


def free_port() -> int:
    """Return a port that nothing listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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
