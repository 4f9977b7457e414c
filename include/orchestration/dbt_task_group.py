"""The one place that says how Cosmos turns the dbt project into Airflow tasks."""

from typing import Any

from airflow.sdk import Context
from cosmos import DbtTaskGroup, ExecutionConfig, ProjectConfig, RenderConfig
from cosmos.constants import DbtResourceType, ExecutionMode, InvocationMode, LoadMode, TestBehavior

from include.dbt_with_parent import DBT_WITH_PARENT
from include.orchestration.cosmos_watcher import (
    Operator,
    build_again,
    leave_no_backup_of_xcoms,
    log_what_dbt_says,
    read_lineage_if_asked,
    start_producer_first,
)
from include.orchestration.dbt_errors import raise_what_failed
from include.orchestration.dbt_manifest import MANIFEST, usual_vars
from include.orchestration.dbt_nodes import NODE_TYPES, node_task, tell_the_nodes
from include.orchestration.dbt_profile import dbt_profile
from include.orchestration.parameters import check_parameters
from include.settings import DBT_PROJECT_DIR, Settings, get_settings

OF_OTHER_DAGS = ["tag:segments", "tag:streaming", "tag:insights"]  # what marketing_pipeline leaves to them

# For models that only need to know the day that recency counts from.
AS_OF_VARS = {"as_of_date": "{{ params.as_of_date or '' }}"}
# A dry run's features go into a table of their own.
FEATURE_VARS = {**AS_OF_VARS, "dry_run": "{{ params.dry_run }}"}

# What a run compares with the files, for the dbt project's vars: the run's parameters, else a backfill's
# data interval, else (scheduled and manual runs) everything. What describes "now" is built for now in a
# backfill, too, so only a parameter names an as-of date.
_BACKFILL = "dag_run.run_type == 'backfill'"
RUN_VARS = {
    "start_date": f"{{{{ params.start_date or (data_interval_start | ds if {_BACKFILL} else '') }}}}",
    "end_date": f"{{{{ params.end_date or (data_interval_end | ds if {_BACKFILL} else '') }}}}",
    **AS_OF_VARS,
}
# Backfills do not count against max_active_runs, and on Snowflake the pool may have more than one slot.
ONE_RUN_AT_A_TIME = {"max_active_tis_per_dag": 1}
FULL_REFRESH = "{{ params.full_refresh }}"
# The same for the streams, whose intervals are hours.
STREAM_VARS = {
    "start_date": f"{{{{ params.start_date or (data_interval_start | ts if {_BACKFILL} else '') }}}}",
    "end_date": f"{{{{ params.end_date or (data_interval_end | ts if {_BACKFILL} else '') }}}}",
}


def dbt_task_group(
    group_id: str,
    *,
    after: Operator | None = None,
    select: list[str] | None = None,
    exclude: list[str] | None = None,
    dbt_vars: dict[str, str] | None = None,
    full_refresh: str = "false",
) -> DbtTaskGroup:
    """Return a task group of the selected (default: all) models, snapshots and seeds, with their tests.

    `select` and `exclude` are dbt's selectors, as in ["tag:streaming"]. It runs when `after` has succeeded; a
    group without it stands first.

    WATCHER: one task runs `dbt build`, the others show what becomes of each node. So there is one dbt start
    and one writer a group. `dbt_vars` and `full_refresh` may hold Airflow templates.
    """
    settings = get_settings()
    group = DbtTaskGroup(
        group_id=group_id,
        project_config=_project(settings),
        profile_config=dbt_profile(settings),
        execution_config=ExecutionConfig(
            execution_mode=ExecutionMode.WATCHER,
            invocation_mode=InvocationMode.SUBPROCESS,
            dbt_executable_path=DBT_WITH_PARENT,
            setup_operator_args={
                # It alone runs dbt, and in the pool: it is what is tried again, never a node by itself.
                "retries": 1,
                "pre_execute": before_dbt,
                "pool": "warehouse",
                **ONE_RUN_AT_A_TIME,
                # Unit tests say that the code is right: CI's work, on no warehouse's time.
                "dbt_cmd_flags": ["--exclude-resource-type", "unit_test"],
            },
        ),
        render_config=RenderConfig(
            select=select or [],
            exclude=exclude or [],
            load_method=LoadMode.DBT_MANIFEST,
            test_behavior=TestBehavior.AFTER_EACH,
            node_converters={DbtResourceType(kind): node_task for kind in NODE_TYPES},
            emit_datasets=False,
        ),
        operator_args=_operator_args({**usual_vars(), **(dbt_vars or {})}, full_refresh),
    )
    start_producer_first(group, after)
    leave_no_backup_of_xcoms(group)
    log_what_dbt_says(group)
    return group


def _project(settings: Settings) -> ProjectConfig:
    project = ProjectConfig(
        dbt_project_path=DBT_PROJECT_DIR,
        manifest_path=MANIFEST,
        install_dbt_deps=False,
        # Cosmos runs dbt in a copy of the project: a relative path would lead elsewhere from there, and the
        # debug log, a sixteenth of dbt's time, is gone with it.
        env_vars={"DUCKDB_PATH": str(settings.duckdb_path), "DBT_LOG_LEVEL_FILE": "none"},
    )
    # Cosmos makes an ObjectStoragePath of it, whose first open() imports each provider's file system (boto3,
    # for one) and all plugins: four times what else a parse takes, in each task.
    project.manifest_path = MANIFEST
    return project


def before_dbt(context: Context) -> None:
    """Judge the run's parameters, as before any other task, and make each try of the producer build."""
    check_parameters(context)
    build_again(context)
    read_lineage_if_asked(context)


def _operator_args(dbt_vars: dict[str, str], full_refresh: str) -> dict[str, Any]:
    return {
        **ONE_RUN_AT_A_TIME,
        "append_env": True,
        "retries": 1,
        "vars": dbt_vars,
        "full_refresh": full_refresh,
        "callback": [tell_the_nodes, raise_what_failed],
    }
