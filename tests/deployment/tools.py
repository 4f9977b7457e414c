"""Runs the command-line checkers that requirements-dev.txt installs."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SEARCH_PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


def run(
    tool: str, *arguments: str | Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a tool of the virtualenv (else of PATH) from the project's root, with only PATH and env set."""
    program = shutil.which(tool, path=SEARCH_PATH)
    assert program, f"{tool} is missing: run `make setup`"
    return subprocess.run(
        [program, *arguments],
        cwd=ROOT,
        env={"PATH": SEARCH_PATH, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
