"""What tests ask of this machine: a free port, and what a stack has left behind."""

import socket
from pathlib import Path

import psutil

from standalone.processes import MARKER


def free_port() -> int:
    """Return a port that nothing listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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
