#!/usr/bin/env python
"""`dbt` that ends with the process that started it, for whoever runs it from another program.

A killed Airflow task cannot end what it started: its dbt would go on writing beside the task's next try.
"""

import ctypes
import os
import signal
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import ManifestStateCheck

DBT_WITH_PARENT = Path(__file__).resolve()
RUNS_NODES = {"build", "run", "seed", "test"}
PARSED_VARS = ("dry_run",)
PR_SET_PDEATHSIG = 1  # of Linux's <sys/prctl.h>; other systems have no such thing


def end_with_parent() -> None:
    """Ask the kernel for SIGTERM when the parent ends. Raises OSError where it refuses."""
    parent = os.getppid()
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        sys.exit(128 + signal.SIGTERM)


def close_duckdb() -> None:
    """Close the file, if dbt has opened one: dbt-duckdb leaves that to the last reference to it."""
    if not (module := sys.modules.get("dbt.adapters.duckdb.connections")):
        return
    if environment := module.DuckDBConnectionManager._ENV:
        environment.close()
    module.DuckDBConnectionManager.close_all_connections()


def write_the_manifest_once() -> None:
    """Keep dbt from writing its manifest before nodes run: it does so after them, with the compiled SQL.

    Each takes a fifth of a second.
    """
    import dbt.parser.manifest  # noqa: PLC0415 (dbt is imported last)
    import dbt.task.runnable  # noqa: PLC0415 (writes it last, by the name that it has when imported)

    dbt.parser.manifest.write_manifest = lambda *_, **__: None


@cache
def start_from_any_parse() -> None:
    """Let dbt start from a parse that was made for another file, account or run: parsing takes three seconds.

    dbt parses the whole project again for any other connection or var. Of a connection our nodes have only
    the names of database and schema, and of the vars only those of PARSED_VARS, all false by default, decide
    what a node is.
    """
    from dbt.contracts.files import FileHash  # noqa: PLC0415 (dbt is imported last)
    from dbt.parser.manifest import ManifestLoader  # noqa: PLC0415
    from dbt.version import __version__  # noqa: PLC0415

    def state_of_parse(loader: ManifestLoader) -> "ManifestStateCheck":
        project = loader.root_project
        state = dbts_own(loader)
        switched_on = [name for name in PARSED_VARS if str(project.cli_vars.get(name)).lower() == "true"]
        to = project.credentials
        state.vars_hash = FileHash.from_contents(f"{switched_on} {__version__}")
        state.profile_hash = FileHash.from_contents(f"{to.type} {to.database} {to.schema}")
        return state

    dbts_own = ManifestLoader.build_manifest_state_check
    ManifestLoader.build_manifest_state_check = state_of_parse


if __name__ == "__main__":
    if sys.platform == "linux":
        end_with_parent()
    # The script's folder would come first, and with it include/dbt in dbt's place. A copy of the dbt project
    # has no include beside it, and its profile names a plugin there.
    sys.path[:] = [folder for folder in sys.path if folder != str(DBT_WITH_PARENT.parent)]
    sys.path.append(str(DBT_WITH_PARENT.parent.parent))
    from include.garbage import OF_ONE_DBT, collect_less, exit_at_once

    collect_less(OF_ONE_DBT)
    from dbt.cli.main import cli

    start_from_any_parse()
    if RUNS_NODES & set(sys.argv):
        write_the_manifest_once()
    try:
        cli()
    except SystemExit as ended:
        close_duckdb()
        exit_at_once(ended.code)
