"""What `make up`, `make up RUN=1` and `make status` tell of the stack, and the first run of every DAG."""

import subprocess
import time
from datetime import UTC, datetime

from rich.console import Console

from include.dbt_with_parent import DBT_WITH_PARENT
from include.orchestration.dbt_manifest import options_of_the_parse
from include.settings import DBT_PROJECT_DIR, Settings
from include.warehouse.duckdb import DuckDBWarehouse
from standalone.airflow_api import UNFINISHED_RUNS, AirflowApi, AirflowApiError, RunState
from standalone.demo import BATCH_DAG, INSIGHTS_DAG, SEGMENTS_DAG, STREAMING_DAG, follow
from standalone.environment import ADMIN_USER, VENV_BIN, admin_password, airflow_environment
from standalone.progress import waiting
from standalone.stack import Stack, StackError

DAGS = (BATCH_DAG, SEGMENTS_DAG, STREAMING_DAG, INSIGHTS_DAG)
FEEDS = {"simulator": "simulated", "live": "live", "none": "none"}
LIVE_VIEWS = ("bitcoin_prices_live", "news_live")
OWN_RUN_SECONDS = 15.0  # in which a DAG that was unpaused, or whose assets are new, starts a run by itself
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def as_it_runs(stack: Stack, *, replace: bool) -> Stack:
    """Return the stack that runs; raises StackError where the caller has asked for another one."""
    running = stack.as_started()
    if ended := stack.processes.ended():
        raise StackError(
            f"Of the stack at {running.url} has ended: {', '.join(ended)}. Read the logs in"
            f" {stack.log_dir}, then: make down, make up"
        )
    asked, has = stack.settings, running.settings
    differs = [
        f"{name}: {old}, not {new}"
        for name, old, new in (
            ("Files", has.source_location, asked.source_location),
            ("FEEDS", has.feeds, asked.feeds if "feeds" in asked.model_fields_set else has.feeds),
        )
        if old != new
    ]
    if differs or replace:
        what = "; ".join(differs) or "REPLACE=1 needs it stopped"
        raise StackError(f"The stack is already running at {running.url} ({what}). Stop it first: make down")
    return running


def addresses(stack: Stack) -> str:
    """Return where the stack is, what it works on, and how to stop it."""
    settings = stack.settings
    lines = {
        "Airflow UI": stack.url,
        "User": ADMIN_USER,
        "Password": admin_password(stack.env),
        "Insights": f"{stack.url}/plugin/insights",
        "Files": settings.source_location,
        "Feeds": FEEDS[settings.feeds],
        "Logs": str(stack.log_dir),
        "Shell": f"source {settings.local_dir / 'env.sh'}",
        "Status": "make status",
        "Stop": "make down",
    }
    return "\n".join(f"{name:<11} {value}" for name, value in lines.items())


def what_next(stack: Stack) -> str:
    """Return what a person does now: until a DAG is unpaused, nothing runs and no table is built."""
    paused = paused_dags(stack.api())
    if not paused:
        return "Next        nothing: every DAG is on its schedule"
    which = "every DAG is" if len(paused) == len(DAGS) else f"{', '.join(paused)}:"
    return (
        f"Next        make up RUN=1  ({which} paused, so no run starts; this unpauses them and runs"
        " each once, in minutes)"
    )


def paused_dags(api: AirflowApi) -> list[str]:
    """Return the DAGs that are paused, or that Airflow has not read yet, which begin so."""
    states = {dag_id: api.dag(dag_id) for dag_id in DAGS}
    return [dag_id for dag_id, state in states.items() if state is None or state.is_paused]


def run_all(stack: Stack, console: Console) -> None:
    """Unpause every DAG and follow one run of each: the one it starts by itself, else one by hand.

    Last night's run, or the one for a new asset, would come first anyway. Each DAG is unpaused in its turn:
    before, its run would find no facts, or no events. Without feeds the DAG of the streams stays paused.
    Raises DemoError where a run fails; the stack goes on running.
    """
    api, began = stack.api(), datetime.now(UTC)
    for dag_id in DAGS:
        stack.wait_for_dag(dag_id, since=LONG_AGO)
    api.set_paused(INSIGHTS_DAG, paused=False)  # it waits for two assets, which a paused DAG does not see
    for dag_id in DAGS:
        if dag_id == STREAMING_DAG and stack.settings.feeds == "none":
            console.print(f"DAG {dag_id} stays paused: FEEDS=none.")
            continue
        api.set_paused(dag_id, paused=False)
        follow(stack, dag_id, _own_run(api, dag_id, began) or api.trigger(dag_id), console)
    console.print(f"Every table is built. Open {stack.url}/plugin/insights")


def _own_run(api: AirflowApi, dag_id: str, since: datetime) -> RunState | None:
    """Return the run that the DAG has started since then by itself; None if it does not in a while."""
    deadline = time.monotonic() + OWN_RUN_SECONDS
    while time.monotonic() < deadline:
        for run in api.latest_runs(dag_id):
            if run.state in UNFINISHED_RUNS or (run.start and run.start >= since):
                return run
        time.sleep(0.5)
    return None


def status(stack: Stack, console: Console) -> bool:
    """Print what runs, with which files, feeds and ports, and how each DAG is; return whether all is well."""
    running, ended = stack.processes.running(), stack.processes.ended()
    if not running:
        console.print("Nothing is running. Start it: make up")
        return True
    ports = stack.processes.about().get("ports", [])
    stack = stack.as_started()
    console.print(addresses(stack), markup=False)
    warehouse = stack.settings.duckdb_path if stack.settings.warehouse == "duckdb" else "Snowflake"
    console.print(f"Warehouse   {warehouse}", markup=False)
    console.print(f"Ports       {', '.join(f'{port} ({setting})' for port, setting in ports)}")
    console.print(f"Running     {', '.join(running)}")
    if ended:
        console.print(f"Ended       {', '.join(ended)}: read the logs, then make down, make up")
    try:
        for dag_id in DAGS:
            console.print(f"DAG         {dag_id:<20} {_dag_state(stack.api(), dag_id)}")
    except (OSError, AirflowApiError) as error:  # requests' errors are OSErrors
        console.print(f"DAGs        unknown: Airflow does not answer ({type(error).__name__})")
        return False
    return not ended


def _dag_state(api: AirflowApi, dag_id: str) -> str:
    state = api.dag(dag_id)
    if state is None:
        return "not read yet"
    runs = api.latest_runs(dag_id)
    last = f"last run {runs[0].state}, {runs[0].run_id}" if runs else "never ran"
    return f"{'paused' if state.is_paused else 'on':<7} {last}"


def ensure_live_views(settings: Settings, console: Console) -> None:
    """Let dbt make the views of the newest prices and news where they are missing.

    As `streaming_marts` would, with what they read: empty tables, in a new warehouse.
    Raises StackError where dbt fails.
    """
    if settings.warehouse != "duckdb" or settings.feeds == "none":
        return
    with DuckDBWarehouse(settings.duckdb_path).session() as session:
        [(found,)] = session.execute(
            "select count(*) from information_schema.tables"
            " where table_schema = 'streaming' and table_name in (?, ?)",
            list(LIVE_VIEWS),
        )
    if found == len(LIVE_VIEWS):
        return
    own = settings.local_dir / "build"  # Airflow reads the project's own target folder
    argv = [str(VENV_BIN / "python"), str(DBT_WITH_PARENT), "--quiet", "--log-path", str(own), "run"]
    argv += [*options_of_the_parse("duckdb"), "--target-path", str(own / "target")]
    argv += ["--select", *(f"+{view}" for view in LIVE_VIEWS)]
    with waiting(console, "Making the live views"):
        done = subprocess.run(  # noqa: S603
            argv,
            cwd=DBT_PROJECT_DIR,
            env=airflow_environment(settings),
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise StackError(f"dbt cannot make the live views:\n{done.stdout}{done.stderr}".rstrip())
