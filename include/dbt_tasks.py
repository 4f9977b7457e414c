"""The one place that says how Cosmos turns the dbt project into Airflow tasks."""

from typing import Any

from airflow.sdk import TriggerRule, XComArg
from airflow.sdk.bases.operator import BaseOperator
from cosmos import DbtTaskGroup, ExecutionConfig, ProfileConfig, ProjectConfig, RenderConfig
from cosmos.constants import PRODUCER_WATCHER_TASK_ID, ExecutionMode, InvocationMode, LoadMode, TestBehavior

from include.settings import DBT_PROJECT_DIR, get_settings

Operator = BaseOperator | XComArg
MANIFEST = DBT_PROJECT_DIR / "target" / "manifest.json"

# What a run rebuilds, for the dbt project's vars: the run's parameters, else a backfill's data interval, else
# (scheduled and manual runs) whatever changed.
_BACKFILL = "dag_run.run_type == 'backfill'"
RUN_VARS = {
    "start_date": f"{{{{ params.start_date or (data_interval_start | ds if {_BACKFILL} else '') }}}}",
    "end_date": f"{{{{ params.end_date or (data_interval_end | ds if {_BACKFILL} else '') }}}}",
    "as_of_date": f"{{{{ params.as_of_date or (data_interval_end | ds if {_BACKFILL} else '') }}}}",
    "max_rejected_share": str(get_settings().max_rejected_share),
}
FULL_REFRESH = "{{ params.full_refresh }}"


def dbt_task_group(
    group_id: str,
    *,
    after: Operator,
    select: list[str] | None = None,
    dbt_vars: dict[str, str] | None = None,
    full_refresh: str = "false",
) -> DbtTaskGroup:
    """Return a task group of the selected (default: all) models, snapshots and seeds, with their tests.

    It runs when `after` has succeeded.

    WATCHER: one task runs `dbt build`, the others show what becomes of each node. So there is one dbt start
    and one writer a group. `dbt_vars` and `full_refresh` may hold Airflow templates.
    """
    settings = get_settings()
    group = DbtTaskGroup(
        group_id=group_id,
        project_config=ProjectConfig(
            dbt_project_path=DBT_PROJECT_DIR,
            manifest_path=MANIFEST,
            install_dbt_deps=False,
            # Cosmos runs dbt in a copy of the project, from which a relative path would lead elsewhere.
            env_vars={"DUCKDB_PATH": str(settings.duckdb_path)},
        ),
        profile_config=ProfileConfig(
            profile_name="marketing_insights",
            target_name=settings.warehouse,
            profiles_yml_filepath=DBT_PROJECT_DIR / "profiles.yml",
        ),
        execution_config=ExecutionConfig(
            execution_mode=ExecutionMode.WATCHER,
            invocation_mode=InvocationMode.SUBPROCESS,
            setup_operator_args={
                # Cosmos does not run the producer twice: after a failure each node retries by itself.
                "retries": 0,
                "pool": "warehouse",
                # Unit tests say that the code is right: CI's work, on no warehouse's time.
                "dbt_cmd_flags": ["--exclude-resource-type", "unit_test"],
            },
        ),
        render_config=RenderConfig(
            select=select or [],
            load_method=LoadMode.DBT_MANIFEST,
            test_behavior=TestBehavior.AFTER_EACH,
            should_detach_multiple_parents_tests=False,
            emit_datasets=False,
        ),
        operator_args=_operator_args(dbt_vars or {}, full_refresh),
    )
    _producer_first(group, after)
    return group


def _producer_first(group: DbtTaskGroup, after: Operator) -> None:
    """Let the nodes' tasks start when dbt has succeeded, or when Cosmos skipped it because it was cleared.

    Beside a running producer each of them would start twice (once to find nothing yet), and `airflow dags
    test`, which runs one task at a time, would wait for ever for a producer whose turn never comes.
    """
    (producer,) = (task for task in group.iter_tasks() if task.label == PRODUCER_WATCHER_TASK_ID)
    for root in list(group.get_roots()):
        after >> root
        if root is not producer:
            producer >> root
            root.trigger_rule = TriggerRule.NONE_FAILED


def _operator_args(dbt_vars: dict[str, str], full_refresh: str) -> dict[str, Any]:
    return {
        "append_env": True,
        "retries": 1,
        "vars": dbt_vars,
        "full_refresh": full_refresh,
        "poke_interval": 2,
    }
