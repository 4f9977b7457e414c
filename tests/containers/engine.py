"""A Docker engine: the machine's where one answers, else one of the test's own that ends with it."""

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.deployment.tools import ROOT, SEARCH_PATH

START_SECONDS = 120
BUILD_SECONDS = 3600


@dataclass(frozen=True)
class Engine:
    """How to reach the engine."""

    env: Mapping[str, str]

    def docker(self, *arguments: str | Path, timeout: float = BUILD_SECONDS) -> str:
        """Return what a docker command prints; it fails with what it wrote to stderr."""
        return self.run("docker", *arguments, timeout=timeout)

    def answers(self, *arguments: str) -> bool:
        """Return whether a docker command ends with 0."""
        return self._run("docker", arguments, BUILD_SECONDS).returncode == 0

    def run(self, program: str, *arguments: str | Path, timeout: float = BUILD_SECONDS) -> str:
        """Return what a program prints that talks to the engine; it fails with its output."""
        done = self._run(program, arguments, timeout)
        if done.returncode:
            # No script, and no variable: some hold a password.
            words = [word for word in map(str, arguments) if not re.search("[=\n]", word)]
            output = f"{done.stdout[-8000:]}\n{done.stderr[-8000:]}"
            raise AssertionError(f"{program} {' '.join(words)}:\n{output}")
        return done.stdout

    def _run(
        self, program: str, arguments: Sequence[str | Path], timeout: float
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [shutil.which(program, path=SEARCH_PATH) or program, *arguments],
            cwd=ROOT,
            env={**self.env, "PATH": SEARCH_PATH},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )


@contextmanager
def engine(folder: Path) -> Iterator[Engine]:
    """Give the machine's engine, or start one whose images stay below folder for the next time."""
    found = Engine(_of_this_machine())
    if found.answers("info"):
        yield found
        return
    if not shutil.which("dockerd") or os.geteuid() != 0:
        raise AssertionError("no Docker engine answers; where dockerd is installed, root can start one")
    # A socket's path has 107 characters at most.
    with tempfile.TemporaryDirectory(prefix="engine-") as runtime, _started(folder, Path(runtime)) as own:
        yield own


def _of_this_machine() -> dict[str, str]:
    """Return what docker and the scripts need; a user's .env or shell must not reach the compose file."""
    return {name: value for name, value in os.environ.items() if re.match("DOCKER_|HOME$|PYENV_ROOT$", name)}


@contextmanager
def _started(folder: Path, runtime: Path) -> Iterator[Engine]:
    folder.mkdir(parents=True, exist_ok=True)
    host = f"unix://{runtime}/engine.sock"
    argv = ["dockerd", f"--data-root={folder / 'root'}", f"--exec-root={runtime / 'exec'}", f"--host={host}"]
    with (folder / "engine.log").open("wb") as log:
        # The pid file refuses a second engine on the same folder.
        process = subprocess.Popen(
            [*argv, f"--pidfile={folder / 'pid'}"], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    # Without BuildKit, which Debian's engine lacks; a user's registry logins are none of its business.
    own = {"DOCKER_HOST": host, "DOCKER_BUILDKIT": "0", "DOCKER_CONFIG": str(runtime)}
    found = Engine({**_of_this_machine(), **own})
    try:
        _wait_until_it_answers(found, process, folder / "engine.log")
        if left := found.docker("ps", "--all", "--quiet").split():  # of a run that was killed
            found.docker("rm", "--force", "--volumes", *left)
        yield found
    finally:
        process.terminate()
        process.wait(timeout=START_SECONDS)


def _wait_until_it_answers(found: Engine, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not found.answers("info"):
        assert process.poll() is None, log.read_text()[-5000:]
        assert time.monotonic() < deadline, log.read_text()[-5000:]
        time.sleep(0.2)
