"""The one place that says how Cosmos turns the dbt project into Airflow tasks."""

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from airflow.sdk import Context, TriggerRule, XComArg
from airflow.sdk.bases.operator import BaseOperator
from airflow.sdk.exceptions import AirflowException
from cosmos import DbtTaskGroup, ExecutionConfig, ProfileConfig, ProjectConfig, RenderConfig
from cosmos.constants import PRODUCER_WATCHER_TASK_ID, ExecutionMode, InvocationMode, LoadMode, TestBehavior
from cosmos.operators._watcher.state import is_dbt_node_status_success
from cosmos.profiles import (
    BaseProfileMapping,
    SnowflakeEncryptedPrivateKeyFilePemProfileMapping,
    SnowflakeEncryptedPrivateKeyPemProfileMapping,
    SnowflakePrivateKeyFilePemProfileMapping,
    SnowflakePrivateKeyPemProfileMapping,
    SnowflakeUserPasswordProfileMapping,
)

from include.alerts import AlertKind
from include.settings import (
    DBT_PROJECT_DIR,
    SNOWFLAKE_CONNECTION,
    Settings,
    SnowflakeSettings,
    get_settings,
    uses_airflow_connection,
)

Operator = BaseOperator | XComArg
CLEARINGS = "clearings_of_the_run"  # XCom: how often the run had been cleared when the producer ran
QUARANTINE_TEST = "rejected_share_within_limit"
OF_OTHER_DAGS = ["tag:segments", "tag:streaming"]  # what marketing_pipeline leaves to them
PROFILE, PROFILES = "marketing_insights", DBT_PROJECT_DIR / "profiles.yml"
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
# For models that only need to know the day that recency counts from.
AS_OF_VARS = {"as_of_date": "{{ params.as_of_date or '' }}"}
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
        project_config=ProjectConfig(
            dbt_project_path=DBT_PROJECT_DIR,
            manifest_path=MANIFEST,
            install_dbt_deps=False,
            # Cosmos runs dbt in a copy of the project, from which a relative path would lead elsewhere.
            env_vars={"DUCKDB_PATH": str(settings.duckdb_path)},
        ),
        profile_config=dbt_profile(settings),
        execution_config=ExecutionConfig(
            execution_mode=ExecutionMode.WATCHER,
            invocation_mode=InvocationMode.SUBPROCESS,
            setup_operator_args={
                # Cosmos does not retry the producer: after a failure each node retries by itself.
                "retries": 0,
                "pre_execute": build_again_when_cleared,
                "pool": "warehouse",
                # Unit tests say that the code is right: CI's work, on no warehouse's time.
                "dbt_cmd_flags": ["--exclude-resource-type", "unit_test"],
            },
        ),
        render_config=RenderConfig(
            select=select or [],
            exclude=exclude or [],
            load_method=LoadMode.DBT_MANIFEST,
            test_behavior=TestBehavior.AFTER_EACH,
            should_detach_multiple_parents_tests=False,
            emit_datasets=False,
        ),
        operator_args=_operator_args(dbt_vars or {}, full_refresh),
    )
    (producer,) = (task for task in group.iter_tasks() if task.label == PRODUCER_WATCHER_TASK_ID)
    if exclude:
        _expect_no_excluded_test(group, producer)
    _producer_first(group, producer, after)
    return group


def dbt_profile(settings: Settings) -> ProfileConfig:
    """Return how dbt reaches the warehouse: profiles.yml, or on Snowflake Airflow's connection.

    The connection is read when dbt starts: DAGs are parsed without it.
    """
    target = settings.warehouse
    if uses_airflow_connection(settings):
        mapping = SnowflakeConnection(SNOWFLAKE_CONNECTION, SnowflakeSettings())
        return ProfileConfig(PROFILE, target, profile_mapping=mapping)
    return ProfileConfig(PROFILE, target, profiles_yml_filepath=PROFILES)


class SnowflakeConnection(BaseProfileMapping):
    """A Snowflake connection as dbt's profile, whichever credentials it holds.

    Cosmos has a mapping for each kind of credentials and asks the connection which one fits: here when dbt
    starts.
    """

    airflow_connection_type = "snowflake"
    dbt_profile_type = "snowflake"
    kinds: tuple[type[BaseProfileMapping], ...] = (
        SnowflakeEncryptedPrivateKeyFilePemProfileMapping,
        SnowflakeEncryptedPrivateKeyPemProfileMapping,
        SnowflakePrivateKeyFilePemProfileMapping,
        SnowflakePrivateKeyPemProfileMapping,
        SnowflakeUserPasswordProfileMapping,
    )

    def __init__(self, conn_id: str, snowflake: SnowflakeSettings) -> None:
        """Take role and warehouse from `snowflake`, and what is no secret from profiles.yml."""
        self._settings = snowflake
        profiles = yaml.safe_load(PROFILES.read_text(encoding="utf-8"))
        target = profiles[PROFILE]["outputs"]["snowflake"]
        super().__init__(
            conn_id,
            {
                **{name: target[name] for name in ("schema", "threads", "reuse_connections", "query_tag")},
                "role": snowflake.transformer_role,
                "warehouse": snowflake.transformer_warehouse,
                **snowflake.endpoint(),
            },
        )

    @cached_property
    def _fitting(self) -> BaseProfileMapping:
        """Return Cosmos's mapping for this connection; raises ValueError where it has no credentials."""
        database = self._settings.database_of(self.conn.extra_dejson.get("database"))
        for kind in self.kinds:
            mapping = kind(self.conn_id, {**self.profile_args, "database": database})
            if mapping.can_claim_connection():
                return mapping
        raise ValueError(
            f"The Airflow connection {self.conn_id} needs conn_type snowflake, a login, an account, and"
            " a private key (private_key_file, or private_key_content in base64) or, for trials, a password."
        )

    @property
    def profile(self) -> dict[str, Any]:
        """See BaseProfileMapping."""
        return self._fitting.profile

    @property
    def env_vars(self) -> dict[str, str]:
        """See BaseProfileMapping: the secrets, which the profile's file only names."""
        return self._fitting.env_vars


def _expect_no_excluded_test(group: DbtTaskGroup, producer: Any) -> None:
    """Let the tasks not wait for a test that dbt leaves out because one of its parents is excluded.

    Cosmos counts each test of a node, and a node's tests have no outcome before all have reported.
    """
    graph = group.dbt_graph
    excluded = {node_id for node_id in graph.nodes if node_id not in graph.filtered_nodes}
    for tests in producer.tests_per_model.values():
        tests[:] = [test for test in tests if excluded.isdisjoint(graph.nodes[test].depends_on)]


def _producer_first(group: DbtTaskGroup, producer: BaseOperator, after: Operator | None) -> None:
    """Let the nodes' tasks start when dbt has ended, well or badly, but not when it could not start.

    Beside a running producer each of them would start twice (once to find nothing yet), and `airflow dags
    test`, which runs one task at a time, would wait for ever for a producer whose turn never comes.
    """
    for root in list(group.get_roots()):
        if after is not None:
            after >> root
        if root is not producer:
            producer >> root
            root.trigger_rule = TriggerRule.ALL_DONE_MIN_ONE_SUCCESS


def _operator_args(dbt_vars: dict[str, str], full_refresh: str) -> dict[str, Any]:
    return {
        "append_env": True,
        "retries": 1,
        "vars": dbt_vars,
        "full_refresh": full_refresh,
        "poke_interval": 2,
        "pre_execute": watch_the_cleared_build,
        "callback": raise_what_failed,
    }


class DbtNodesFailedError(AirflowException):
    """dbt ended badly; the message names each node that failed and what dbt said of it."""

    def __init__(self, failures: dict[str, str]) -> None:
        super().__init__(" ".join(f"{node}: {said}" for node, said in failures.items()))
        too_many_rejected = any(node.startswith(QUARANTINE_TEST) for node in failures)
        self.alert_kind = AlertKind.QUARANTINE_SHARE if too_many_rejected else AlertKind.RUN_FAILED


def raise_what_failed(project_dir: str, context: Context) -> None:
    """Raise DbtNodesFailedError where dbt's run_results.json names a failed node.

    Cosmos' hook after each dbt command; by itself it would only say that the command failed.
    """
    results = Path(project_dir) / "target" / "run_results.json"
    if not results.exists():  # dbt ended before it ran anything, and has said why
        return
    failures = {
        result["unique_id"].split(".")[2]: _said_by_dbt(result["message"] or result["status"])
        for result in json.loads(results.read_text(encoding="utf-8"))["results"]
        if result["status"] in {"error", "fail", "runtime error"}
    }
    if failures:
        raise DbtNodesFailedError(failures)


def _said_by_dbt(message: str) -> str:
    """Return a message without the heading, the call stack and the paths that dbt puts around it."""
    lines = [line.strip() for line in message.splitlines()]
    body = lines[1:] if len(lines) > 1 and " Error in " in lines[0] else lines
    ends = (
        n for n, line in enumerate(body) if line.startswith((">", "compiled code at", "compiled Code at"))
    )
    return " ".join(filter(None, body[: next(ends, len(body))])).rstrip(".") + "."


def build_again_when_cleared(context: Context) -> None:
    """Make a cleared producer run `dbt build` again; Cosmos skips every try of it but the first.

    Airflow's hook before the producer's execute().
    """
    context["ti"].xcom_push(key=CLEARINGS, value=context["dag_run"].clear_number)
    context["ti"] = _as_first_try(context["ti"])


def watch_the_cleared_build(context: Context) -> None:
    """Make a node's cleared task report the build that was cleared with it, if that built the node.

    Airflow's hook before the task's execute(). Any other second try runs the node by itself, as Cosmos does.
    """
    node: Any = context["task"]
    ti: Any = context["ti"]
    if ti.try_number == 1:
        return
    built_in = ti.xcom_pull(task_ids=node.producer_task_id, key=CLEARINGS)
    is_of_this_build = built_in == context["dag_run"].clear_number
    if is_of_this_build and is_dbt_node_status_success(node._get_node_status(ti, context)):
        context["ti"] = _as_first_try(ti)


def _as_first_try(ti: Any) -> Any:
    return ti.model_copy(update={"try_number": 1})
