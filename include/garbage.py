"""Fewer garbage collections, for programs that import and build much and end soon: dbt, the local Airflow.

A fifth of their processor time went into collections that found nothing, while modules and models were made;
and seconds into their exit, where the interpreter looks through all objects once more before it frees them.
"""

import atexit
import gc
import os
import sys

NEW_OBJECTS = 100_000  # that make up for a collection; Python's default is 700
OF_ONE_DBT = 5_000_000  # some 500 MB: a build of 600 nodes, each with its own 600 macros, leaves 3.5 million


def collect_less(new_objects: int = NEW_OBJECTS) -> None:
    """Collect from now on only after so many new objects, and nothing at the exit of the process."""
    gc.set_threshold(new_objects, 20, 100)
    atexit.register(_collect_nothing)


def _collect_nothing() -> None:
    if "duckdb" not in sys.modules:  # which complains at the exit of each object that was not collected
        gc.freeze()


def exit_at_once(code: object) -> None:
    """End as sys.exit(code) does, but free no module and no object, which takes a second."""
    atexit._run_exitfuncs()
    if isinstance(code, str):
        sys.stderr.write(f"{code}\n")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))
