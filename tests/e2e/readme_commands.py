"""Runs commands as a person types them in a shell; in one process, since each starts slowly.

Reads a JSON list of lines from standard input; ends at the first that fails.
"""

import contextlib
import json
import os
import runpy
import shlex
import subprocess
import sys
from collections.abc import Callable

from include.garbage import OF_ONE_DBT, collect_less


def dbt() -> Callable[[list[str]], bool]:
    """Return what runs dbt on the project in the current folder, which it parses once."""
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from dbt.cli.main import dbtRunner

    manifest = dbtRunner().invoke(["--quiet", "parse"]).result

    def run(arguments: list[str]) -> bool:
        done = dbtRunner(manifest=manifest).invoke(arguments)
        DuckDBConnectionManager.close_all_connections()
        return bool(done.success)

    return run


def program(module: str, arguments: list[str]) -> bool:
    """Run `python -m module arguments` and return whether it ended well."""
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return not end.code
    return True


def main() -> None:
    """Run the lines."""
    collect_less(OF_ONE_DBT)
    run_dbt: Callable[[list[str]], bool] | None = None
    for line in json.load(sys.stdin):
        sys.stdout.write(f"$ {line}\n")
        sys.stdout.flush()
        match shlex.split(line, comments=True):
            case ["cd", folder]:
                os.chdir(folder)
                ended_well = True
            case ["dbt", *arguments]:
                run_dbt = run_dbt or dbt()
                ended_well = run_dbt(arguments)
            case ["airflow", *arguments]:
                ended_well = program("airflow", arguments)
            case ["make", *targets]:
                ended_well = subprocess.run(["make", *targets], check=False).returncode == 0
            case ["python", "-m", module, *arguments]:
                ended_well = program(module, arguments)
            case _:
                sys.exit(f"No test knows how to run: {line}")
        if not ended_well:
            sys.exit(f"It failed: {line}")


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        main()
