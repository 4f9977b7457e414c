"""Child processes: recorded, found again, stopped with everything they started."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from standalone.processes import Command, ProcessSet
from tests.machine import wait_until

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "print('ready', flush=True)\n"
    "time.sleep(60)",
]
# Starts a grandchild in a session of its own and prints its pid, as a task runner does.
PARENT_OF_RUNAWAY = [
    sys.executable,
    "-c",
    "import subprocess, sys, time\n"
    "sleep = [sys.executable, '-c', 'import time; time.sleep(60)']\n"
    "child = subprocess.Popen(sleep, start_new_session=True)\n"
    "print(child.pid, flush=True)\n"
    "time.sleep(60)",
]


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[ProcessSet]:
    one = ProcessSet(tmp_path / "run" / "stack.json", tmp_path / "logs")
    yield one
    one.stop(timeout=0)


def start(processes: ProcessSet, **programs: list[str]) -> None:
    commands = [Command(name, argv) for name, argv in programs.items()]
    processes.start(commands, dict(os.environ), Path.cwd())


def recorded_pids(processes: ProcessSet) -> list[int]:
    return [one["pid"] for one in json.loads(processes.state_file.read_text())["processes"]]


def is_alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_stop_ends_every_program_and_forgets_them(processes: ProcessSet) -> None:
    start(processes, one=SLEEP, two=SLEEP)
    pids = recorded_pids(processes)
    assert processes.running() == ["one", "two"]

    assert processes.stop() is True

    assert not any(is_alive(pid) for pid in pids)
    assert processes.running() == []
    assert processes.stop() is False


def test_another_command_can_stop_them(processes: ProcessSet) -> None:
    start(processes, one=SLEEP)
    pid = recorded_pids(processes)[0]

    assert ProcessSet(processes.state_file, processes.log_dir).stop() is True

    assert not is_alive(pid)


def test_a_program_that_ignores_the_request_is_killed(processes: ProcessSet) -> None:
    start(processes, one=STUBBORN)
    wait_until(lambda: "ready" in processes.log_file("one").read_text(), "the program to be ready")
    pid = recorded_pids(processes)[0]

    processes.stop(timeout=0.3)

    assert not is_alive(pid)


def test_a_program_that_loses_nothing_is_killed_sooner(processes: ProcessSet) -> None:
    processes.start([Command("one", STUBBORN, patience=0.1)], dict(os.environ), Path.cwd())
    wait_until(lambda: "ready" in processes.log_file("one").read_text(), "the program to be ready")
    pid = recorded_pids(processes)[0]

    assert processes.stop(timeout=3600) is True

    assert not is_alive(pid)


def test_a_program_that_lost_the_request_is_asked_again(
    processes: ProcessSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("standalone.processes.ASKED_AGAIN", 0.1)
    lose_one = (
        "import signal, sys, time\n"
        "end = lambda *_: sys.exit(print('asked again', flush=True))\n"
        "signal.signal(signal.SIGTERM, lambda *_: signal.signal(signal.SIGTERM, end))\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)"
    )
    start(processes, one=[sys.executable, "-c", lose_one])
    log = processes.log_file("one")
    wait_until(lambda: "ready" in log.read_text(), "the program to be ready")

    processes.stop(timeout=3600)

    assert "asked again" in log.read_text()


def test_a_program_that_does_not_show_its_environment_is_stopped(processes: ProcessSet) -> None:
    """As each does not in its first microseconds."""
    start(processes, one=["env", "-i", *STUBBORN])
    wait_until(lambda: "ready" in processes.log_file("one").read_text(), "the program to be ready")
    pid = recorded_pids(processes)[0]

    assert processes.stop(timeout=0.3) is True

    assert not is_alive(pid)


@pytest.mark.parametrize("parent_dies_first", [False, True])
def test_stop_finds_a_grandchild_that_left_the_group(
    processes: ProcessSet, *, parent_dies_first: bool
) -> None:
    start(processes, one=PARENT_OF_RUNAWAY)
    log = processes.log_file("one")
    wait_until(lambda: log.read_text().strip(), "the first line of the log")
    grandchild = int(log.read_text())
    if parent_dies_first:
        os.kill(recorded_pids(processes)[0], signal.SIGKILL)
        wait_until(lambda: not processes.running(), "the end of all")
    assert is_alive(grandchild)

    processes.stop()

    assert not is_alive(grandchild)


def test_a_recycled_pid_is_not_killed(processes: ProcessSet) -> None:
    """After a reboot the recorded pid may belong to somebody else's program."""
    stranger = subprocess.Popen(SLEEP)
    record = {"name": "one", "pid": stranger.pid, "create_time": 1.0}
    processes.state_file.parent.mkdir(parents=True)
    processes.state_file.write_text(json.dumps({"id": "before-the-reboot", "processes": [record]}))

    assert processes.running() == []
    assert processes.stop() is False

    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


def test_a_program_that_died_is_named_and_its_output_kept(processes: ProcessSet) -> None:
    start(processes, good=SLEEP, bad=[sys.executable, "-c", "raise SystemExit('no such table')"])

    wait_until(processes.ended, "an end")

    assert processes.ended() == ["bad"]
    assert "no such table" in processes.log_file("bad").read_text()


def test_each_program_has_its_own_session(processes: ProcessSet) -> None:
    """Ctrl-C in a terminal goes to the terminal's group: the stack is stopped in order, not by that."""
    start(processes, one=SLEEP)
    pid = recorded_pids(processes)[0]

    assert os.getsid(pid) == pid
