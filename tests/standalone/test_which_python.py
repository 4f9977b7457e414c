"""Which Python `make setup` takes, of those that a machine has."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from include.settings import PROJECT_ROOT
from standalone.which_python import FITS

SCRIPT = PROJECT_ROOT / "standalone" / "which_python.py"


@pytest.mark.parametrize(
    ("pythons", "taken"),
    [
        ({"a/python3": "3.12 optimised", "b/python3.11": "3.11 optimised"}, "a/python3"),
        ({"a/python3": "3.11 plain", "b/python3": "3.11 optimised"}, "b/python3"),
        ({"a/python3": "3.13 optimised", "a/python3.11": "3.11 optimised"}, "a/python3.11"),
        ({"a/python3": "3.11 plain", "b/python3": "3.13 optimised"}, "a/python3"),
        ({"a/python3": "", "b/python3.12": "3.12 plain"}, "b/python3.12"),
    ],
    ids=["first", "optimised", "version", "plain", "without venv"],
)
def test_the_first_that_fits_and_is_optimised_is_taken(
    tmp_path: Path, pythons: dict[str, str], taken: str
) -> None:
    run = which_python(tmp_path, pythons)

    assert run.stdout == f"{tmp_path / taken}\n", run.stderr
    assert ("without --enable-optimizations" in run.stderr) == pythons[taken].endswith("plain")


def test_where_none_fits_it_is_said_what_to_do(tmp_path: Path) -> None:
    run = which_python(tmp_path, {"a/python3": "3.13 optimised", "b/python3": ""})

    assert (run.returncode, run.stdout) == (1, "")
    assert "3.11 or 3.12" in run.stderr
    assert "make setup PYTHON=path" in run.stderr


def test_make_stops_where_none_fits(tmp_path: Path) -> None:
    on_path(tmp_path, {"a/python3": "3.13 optimised"})
    make, install = (shutil.which(name) for name in ("make", "install"))
    assert make
    assert install
    (tmp_path / "a" / "install").symlink_to(install)
    venv = tmp_path / "venv"

    run = subprocess.run(
        [make, "--silent", f"VENV={venv}", f"{venv}/.installed"],
        cwd=PROJECT_ROOT,
        env={"PATH": str(tmp_path / "a")},
        check=False,
        capture_output=True,
        text=True,
    )

    assert run.returncode == 2
    assert run.stderr.splitlines()[0].startswith("make setup: no Python on PATH is 3.11 or 3.12")
    assert not venv.exists()


@pytest.mark.parametrize(
    ("prefix", "options", "is_optimised"),
    [
        ("/opt/python", "'--enable-shared' '--enable-optimizations'", True),
        ("/opt/python", "'--enable-shared'", False),
        ("/usr", "'--enable-shared'", True),
    ],
    ids=["by its option", "not", "the system's"],
)
def test_a_python_is_optimised_by_its_option_or_as_the_systems(
    tmp_path: Path, prefix: str, options: str, is_optimised: bool
) -> None:
    built = (
        f"import sys, sysconfig; sys.base_prefix = {prefix!r};"
        f" sysconfig.get_config_var = {{'CONFIG_ARGS': {options!r}}}.get; exec(sys.argv[1])"
    )
    python = tmp_path / "python3"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -c {shlex.quote(built)} "$2"\n')
    python.chmod(0o755)

    run = subprocess.run(
        [sys.executable, SCRIPT], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=True
    )

    assert run.stdout == f"{python}\n"
    assert ("without --enable-optimizations" not in run.stderr) == is_optimised


def test_what_it_says_of_a_real_one_holds() -> None:
    path = str(Path(sys.base_prefix, "bin"))

    run = subprocess.run(
        [sys.executable, SCRIPT], env={"PATH": path}, capture_output=True, text=True, check=True
    )

    asked = "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2])"
    version = subprocess.check_output([run.stdout.strip(), "-c", asked], text=True)
    assert version.strip() in FITS


def test_it_takes_what_the_project_is_for() -> None:
    project = (PROJECT_ROOT / "pyproject.toml").read_text()

    [(least, below)] = re.findall(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', project)

    assert [f"3.{minor}" for minor in range(int(least), int(below))] == list(FITS)


def which_python(folder: Path, pythons: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run it where just these are on PATH."""
    path = on_path(folder, pythons)
    return subprocess.run(
        [sys.executable, SCRIPT], env={"PATH": path}, check=False, capture_output=True, text=True
    )


def on_path(folder: Path, pythons: dict[str, str]) -> str:
    """Make each of these, which says that of itself, or fails where it cannot make an environment."""
    for name, answer in pythons.items():
        python = folder / name
        python.parent.mkdir(exist_ok=True)
        says = f"echo {answer}" if answer else "exit 1"
        python.write_text(f'#!/bin/sh\n[ "$1" = -c ] || exec {sys.executable} "$@"\n{says}\n')
        python.chmod(0o755)
    return ":".join(dict.fromkeys(str((folder / name).parent) for name in pythons))
