"""Print the Python that `make setup` makes the environment with: the first on PATH that fits, optimised.

One built from source without profile-guided optimisation, as pyenv does by default, takes a tenth more
processor time for dbt and Airflow. Any Python from 3.7 on runs this, before there is an environment.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

FITS = ("3.11", "3.12")  # requires-python in pyproject.toml
NAMES = ("python3", "python3.12", "python3.11")
# Debian optimises its own Python by other means than this option. One without venv or ensurepip, which Debian
# has in a package of their own, cannot make an environment: it fails.
ASK = """
import ensurepip, sys, sysconfig, venv
options = sysconfig.get_config_var("CONFIG_ARGS") or ""
optimised = sys.base_prefix == "/usr" or "--enable-optimizations" in options
print("%d.%d" % sys.version_info[:2], "optimised" if optimised else "plain")
"""


def main() -> None:
    """Print one path; exits with a message where there is none."""
    kinds = {python: _asked(python) for python in _on_path()}
    fitting = {python: kind for python, (version, kind) in kinds.items() if version in FITS}
    if not fitting:
        sys.exit(
            f"make setup: no Python on PATH is {' or '.join(FITS)} and has the modules venv and ensurepip (in"
            " Debian the package python3-venv). Install one, or name it: make setup PYTHON=path"
        )
    first, *_ = sorted(fitting, key=lambda python: fitting[python] != "optimised")
    print(first)
    if fitting[first] != "optimised":
        print(
            f"make setup: {first} was built without --enable-optimizations, and all will take about a tenth"
            " longer. With another Python: make clean setup PYTHON=path",
            file=sys.stderr,
        )


def _on_path() -> list[Path]:
    """Return each Python on PATH: those named python3 first, otherwise in PATH's order."""
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep)]
    return [folder / name for name in NAMES for folder in folders if os.access(folder / name, os.X_OK)]


def _asked(python: Path) -> tuple[str, str]:
    """Return version and "optimised" or "plain", both "" where this Python cannot make an environment."""
    answer = subprocess.run(  # noqa: S603
        [python, "-c", ASK], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False
    )
    version, _, kind = answer.stdout.decode().strip().partition(" ")
    return version, kind


if __name__ == "__main__":
    main()
