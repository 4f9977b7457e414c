"""Long-running child processes that are known by a file, so that another command can stop them."""

import json
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

# Every descendant inherits this variable, so that it is found even after its parents have gone.
MARKER = "MARKETING_STACK_ID"
PATIENCE = 15.0  # seconds
# After which a program is asked again: Airflow's scheduler raises its exit wherever the signal meets it, and
# in a callback of the garbage collector Python ignores what is raised.
ASKED_AGAIN = 3.0


@dataclass(frozen=True)
class Command:
    """A named program to run; the name is also its log's.

    `patience`: the seconds that it has to end by itself. Few for one that loses nothing when it is killed.
    """

    name: str
    argv: Sequence[str]
    patience: float = PATIENCE


@dataclass(frozen=True)
class Started:
    """A running program; create_time (seconds since the epoch) tells it from a recycled pid."""

    name: str
    pid: int
    create_time: float
    patience: float = PATIENCE

    def process(self) -> psutil.Process | None:
        """Return the live process, or None if it ended or its pid belongs to another one now."""
        try:
            process = psutil.Process(self.pid)
            alive = process.create_time() == self.create_time and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return None
        return process if alive else None


class ProcessSet:
    """Programs started together, each in its own session, with its own log, recorded in one file."""

    def __init__(self, state_file: Path, log_dir: Path) -> None:
        self.state_file = state_file
        self.log_dir = log_dir

    def start(
        self,
        commands: Sequence[Command],
        env: Mapping[str, str],
        cwd: Path,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        """Start every command; whatever was started before is the caller's to check with running().

        `about` (JSON) is what about() tells another program of them.
        """
        self.state_file.parent.mkdir(parents=True, exist_ok=True)
        self._write({"id": uuid.uuid4().hex, "about": about, "processes": []})
        self.add(commands, env, cwd)

    def add(self, commands: Sequence[Command], env: Mapping[str, str], cwd: Path) -> None:
        """Start more commands beside those that were started."""
        self.log_dir.mkdir(parents=True, exist_ok=True)
        state = self._state()
        # Airflow sets process titles; without SPT_NOENV a title overwrites the marker that ps can read.
        marked = {**env, MARKER: state["id"], "SPT_NOENV": "1"}
        for command in commands:
            state["processes"].append(asdict(self._start_one(command, marked, cwd)))
            self._write(state)

    def about(self) -> dict[str, Any]:
        """Return what was said of the programs when they were started."""
        about = self._state().get("about")
        return dict(about) if isinstance(about, dict) else {}

    def running(self) -> list[str]:
        """Return the names of the programs that are running; a stale record (crash, reboot) gives none."""
        return [one.name for one in self._recorded() if one.process()]

    def ended(self) -> list[str]:
        """Return the names of the programs that were started and have ended."""
        return [one.name for one in self._recorded() if not one.process()]

    def log_file(self, name: str) -> Path:
        """Return the file that holds a program's stdout and stderr."""
        return self.log_dir / f"{name}.log"

    def stop(self, timeout: float = PATIENCE) -> bool:
        """Terminate every program and its descendants; kill each after its patience, at most timeout seconds.

        Returns whether anything was running. Afterwards nothing that was started here is left.
        """
        left = self._family()
        for one in self._recorded():
            if one.process():
                _signal_group(one.pid, signal.SIGTERM)
        asked, again = time.monotonic(), ASKED_AGAIN
        while self._wait_for(time.monotonic() - asked, timeout):
            _reap(left)
            time.sleep(0.1)
            if time.monotonic() - asked >= again:
                again = float("inf")
                self._ask_again()
        self._sweep()
        self.state_file.unlink(missing_ok=True)
        return bool(left)

    def _start_one(self, command: Command, env: Mapping[str, str], cwd: Path) -> Started:
        with self.log_file(command.name).open("wb") as log:
            child = subprocess.Popen(  # noqa: S603
                list(command.argv),
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        created = psutil.Process(child.pid).create_time()
        return Started(command.name, child.pid, created, command.patience)

    def _write(self, state: Mapping[str, Any]) -> None:
        self.state_file.write_text(json.dumps(state, indent=2), encoding="utf-8")

    def _state(self) -> dict[str, Any]:
        if not self.state_file.exists():
            return {}
        return dict(json.loads(self.state_file.read_text(encoding="utf-8")))

    def _recorded(self) -> list[Started]:
        processes = self._state().get("processes", [])
        return [Started(**one) for one in processes] if isinstance(processes, list) else []

    def _ask_again(self) -> None:
        for one in self._recorded():
            if process := one.process():
                with suppress(psutil.NoSuchProcess):
                    process.terminate()

    def _wait_for(self, seconds: float, timeout: float) -> bool:
        """Kill each program that has had its time, and return whether another is alive."""
        alive = [(one, process) for one in self._recorded() if (process := one.process())]
        for one, process in alive:
            if seconds >= min(one.patience, timeout):
                _kill(process)
        return any(seconds < min(one.patience, timeout) for one, _ in alive)

    def _family(self) -> list[psutil.Process]:
        """Return all live processes that we started or that carry our marker, also without their parents."""
        stack_id = self._state().get("id")
        if stack_id is None:
            return []
        # A program shows no environment yet in its first microseconds.
        roots = {process for one in self._recorded() if (process := one.process())}
        return [
            *roots,
            *(one for one in psutil.process_iter() if one not in roots and _marker(one) == stack_id),
        ]

    def _sweep(self) -> None:
        """Kill what is left until nothing is, since a process may fork while it is being killed."""
        while left := self._family():
            for process in left:
                _kill(process)
            psutil.wait_procs(left, timeout=5)


def tail(path: Path, lines: int = 15) -> str:
    """Return the last lines of a text file, or an empty string if it does not exist."""
    if not path.exists():
        return ""
    return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


def _marker(process: psutil.Process) -> str | None:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return process.environ().get(MARKER)
    except (psutil.NoSuchProcess, psutil.AccessDenied):  # another user's process is none of ours
        return None


def _signal_group(pid: int, signum: signal.Signals) -> None:
    try:
        os.killpg(pid, signum)
    except ProcessLookupError:  # it ended between our check and the signal
        return


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:  # it ended by itself
        return


def _reap(processes: Sequence[psutil.Process]) -> None:
    """Collect the exit codes of our own children, which otherwise stay as zombies."""
    psutil.wait_procs(processes, timeout=0)
