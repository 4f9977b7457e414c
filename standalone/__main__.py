"""Command line of the local stack: `python -m standalone --help` lists its commands."""

import logging
import os
import signal
import sys
from contextlib import nullcontext
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import duckdb
import typer
from rich.console import Console

from include import backup as backups
from include.insights.snapshot import report_place
from include.settings import DBT_PROJECT_DIR, Settings, get_settings, run_command
from standalone.demo import run_demo, source_for
from standalone.environment import airflow_environment, shell_exports, write_env_file
from standalone.errors import StandaloneError
from standalone.kafka import BrokerError, uses_own_broker
from standalone.kafka.jars import fetch_jars, jar_dir
from standalone.manifest import is_current, refresh_manifest
from standalone.progress import waiting
from standalone.sources import make_room, recall, remember
from standalone.stack import Stack
from standalone.summary import render
from standalone.up import addresses, as_it_runs, ensure_live_views, run_all, what_next
from standalone.up import status as print_status
from standalone.upgrade import backup_before_upgrade

app = typer.Typer(help="The stack on this machine.", no_args_is_help=True, pretty_exceptions_enable=False)
console = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)

GENERATED = "generated"  # DATA_DIR for the made-up shop
# The last one: the DuckDB file is damaged, or another program has held it for minutes.
KNOWN_FAILURES = (StandaloneError, BrokerError, backups.BackupError, duckdb.IOException)

DataDir = Annotated[
    str,
    typer.Option(
        envvar="DATA_DIR",
        help="Folder or object-store URI of the shop's files; without it those of the last time, at first"
        " generated ones, as with the word 'generated'.",
    ),
]
Replace = Annotated[
    bool,
    typer.Option(
        envvar="REPLACE",
        help="Set a DuckDB file aside that holds generated files where these are a shop's, or the reverse.",
    ),
]
Run = Annotated[bool, typer.Option(envvar="RUN", help="Unpause every DAG and run each once.")]
State = Annotated[Path, typer.Option(help="Folder of a manifest and what it describes.")]
Scale = Annotated[int, typer.Option(min=1, help="Multiplies the generated order lines.")]


@app.callback()
def private_state() -> None:
    """Let nobody but its owner read the state on this machine: keys, login, warehouse, files."""
    folder = get_settings().local_dir
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)


@app.command()
def manifest() -> None:
    """Run `dbt parse` if the dbt project changed since the last time."""
    settings = get_settings()
    quick = is_current(DBT_PROJECT_DIR, settings.warehouse)
    with nullcontext() if quick else waiting(console, "Parsing the dbt project"):
        refresh_manifest(settings)
    if not Stack(settings).processes.running():  # env.sh describes the stack that runs
        write_env_file(settings)


@app.command()
def kafka() -> None:
    """Fetch the jars of the local broker, unless no local broker is wanted."""
    settings = get_settings()
    if settings.feeds != "none" and uses_own_broker(settings) and not jar_dir().exists():
        with waiting(console, "Fetching the local broker"):
            fetch_jars()


@app.command()
def env() -> None:
    """Print `export` lines that give a shell the environment of the stack."""
    sys.stdout.write(shell_exports(get_settings()))


@app.command()
def up(data_dir: DataDir = "", scale: Scale = 1, replace: Replace = False, run: Run = False) -> None:
    """Start the stack, unless it runs already, and keep it running; say where it is and what is next."""
    _make_ready()
    stack = Stack(_with_source(get_settings(), data_dir, scale, replace))
    if stack.processes.running():
        stack = as_it_runs(stack, replace=replace)
    else:
        with waiting(console, "Starting Airflow, the first time for a minute"):
            stack.start()
        if not run:
            ensure_live_views(stack.settings, console)
    console.print(addresses(stack), markup=False)
    if run:
        run_all(stack, console)
    console.print(what_next(stack), markup=False)


@app.command()
def status() -> None:
    """Say what runs, with which files, feeds and ports, and how each DAG stands; 1 if a process has ended."""
    if not print_status(Stack(get_settings()), console):
        raise typer.Exit(1)


@app.command()
def down() -> None:
    """Stop what `up` started."""
    stopped = Stack(get_settings()).stop()
    console.print("The stack has stopped." if stopped else "Nothing is running.")


@app.command()
def demo(data_dir: DataDir = "", scale: Scale = 1, replace: Replace = False) -> None:
    """Run the whole product once, print a summary, leave nothing running."""
    _make_ready()
    settings = _with_source(get_settings(), data_dir, scale, replace)
    console.print(render(run_demo(settings, console)))
    console.print(f"Report: {report_place(settings.insights_location)}")


@app.command()
def build(data_dir: DataDir = "", scale: Scale = 1, replace: Replace = False) -> None:
    """Load files into the DuckDB file, build and test dbt's models, print a summary; no Airflow, no Kafka.

    Segments come from the seed in use, unless that is another shop's. Streams hold what a consumer has
    stored: in a new file nothing. An unchanged file is not loaded again. DUCKDB_PATH names another file.
    """
    settings = _with_source(_in_stack_environment(), data_dir, scale, replace)
    from standalone.build import run_build  # noqa: PLC0415 (imports Airflow and dbt)

    backup_before_upgrade(settings)
    console.print(render(run_build(settings, console)))


@app.command()
def segments() -> None:
    """Train the customers' segments on what `build` built, and build the tables that follow from them."""
    settings = _in_stack_environment()
    logging.getLogger("ml").setLevel(logging.WARNING)
    from standalone.segments import run_segments  # noqa: PLC0415 (imports Airflow and dbt)

    seeded = run_segments(settings, console)
    console.print(f"{seeded.customers:,} customers are in segments: version {seeded.version}")


@app.command()
def restore(
    name: Annotated[str, typer.Argument(help="Name of the backup; default: the newest.")] = "",
) -> None:
    """Put a backup in place; the stack must have stopped. What was there is kept."""
    settings = get_settings()
    if Stack(settings).processes.running():
        raise StandaloneError("The stack is running. Stop it first: make down")
    backup, before = backups.restore(settings, name)
    console.print(f"{backup.folder.name} is restored. What was there before lies in {before}.")


@app.command()
def state(state: State) -> None:
    """Build all of dbt on generated files and leave manifest, warehouse and docs in a folder."""
    settings = _in_stack_environment()
    from standalone.dbt_state import make_state  # noqa: PLC0415 (imports Airflow)

    make_state(settings, state)
    console.print(f"Docs and state are in {state}")


@app.command()
def changes(state: State) -> None:
    """Build and test the dbt nodes that differ from a state, and what depends on them."""
    settings = _in_stack_environment()
    from standalone.dbt_state import build_changes  # noqa: PLC0415 (imports Airflow)

    build_changes(settings, state)


def _make_ready() -> None:
    """Do what Airflow and the broker need before they start, which is quick where nothing has changed."""
    manifest()
    kafka()


def _with_source(settings: Settings, data_dir: str, scale: int, replace: bool) -> Settings:
    """Return the settings with the files to use, once it is sure that the warehouse takes them."""
    named = data_dir or settings.source_location
    location = named or (recall(settings) if scale == 1 else "")
    location = source_for(settings, "" if location == GENERATED else location, scale)
    if Stack(settings).processes.running():
        return settings.model_copy(update={"source_location": location})  # what follows refuses it
    if aside := make_room(settings, location, replace=replace):
        console.print(f"The warehouse of other files was set aside: {aside}")
    remember(settings, location)
    os.environ["SOURCE_LOCATION"] = location  # a shell that sourced env.sh has that of the last time
    return settings.model_copy(update={"source_location": location})


def _in_stack_environment() -> Settings:
    """Return the settings, and let Airflow find the stack's home, which it reads when it is imported."""
    settings = get_settings()
    os.environ.update(airflow_environment(settings))
    return settings


class Interrupted(SystemExit):
    """A person or the system asked this program to end."""


def _exit_on_signal(signum: int, _: FrameType | None) -> NoReturn:
    """Turn a termination into an ordinary exit, so that what was started is stopped."""
    errors.print(f"\nInterrupted ({signal.Signals(signum).name}), stopping …")
    raise Interrupted(128 + signum)


def main() -> None:
    """Run the command line; a known failure is one clear message and exit code 1."""
    logging.getLogger("aiokafka").setLevel(logging.WARNING)  # its notes would stand among the figures
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, _exit_on_signal)
    try:
        run_command(app)
    except Interrupted:
        left = Stack(get_settings()).processes.running()
        errors.print("The stack goes on running. Stop it: make down" if left else "Nothing is left running.")
        raise
    except KNOWN_FAILURES as error:
        errors.print(str(error))
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
