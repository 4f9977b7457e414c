"""What holds for every DAG, whoever writes it."""

import os
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG, Asset
from airflow.sdk.bases.operator import BaseOperator
from airflow.sdk.definitions.mappedoperator import MappedOperator
from airflow.sdk.exceptions import ParamValidationError
from airflow.serialization.serialized_objects import DagSerialization
from cosmos.operators.watcher import DbtProducerWatcherOperator

from include.orchestration.dbt_nodes import DbtNodeOperator
from include.orchestration.heartbeat import HeartbeatNotifier
from include.orchestration.parameters import ParametersError
from include.settings import PROJECT_ROOT

DAGS_FOLDER = PROJECT_ROOT / "dags"
EXPECTED = {"marketing_insights", "marketing_pipeline", "segment_retraining", "streaming_marts"}
MAX_LINES = 80
PAYLOADS = [
    "2019-01-01' || (select content from read_text('/proc/self/environ')) || '",
    "2019-01-01'; copy (select 1) to '/tmp/here.py'; --",
    "2019-01-01T00:00:00Z' as timestamptz) or 1=1 --",
    "{{ conn.snowflake_default.password }}",
    "{% for one in [].__class__.__mro__ %}{% endfor %}",
    "2019-02-30\n'",
]
GOOD_TIMES = ["2026-01-05T10:00:00Z", "2026-01-05T10:00:00+00:00", "2026-01-05T10:00:00.25-05:00"]


WITHOUT_NETWORK = """
import socket
from airflow.dag_processing.dagbag import DagBag

def refuse(*_):
    raise AssertionError("a connection was opened")

socket.socket.connect = refuse
bag = DagBag(%r)
assert not bag.import_errors, bag.import_errors
"""


@pytest.fixture(scope="module")
def bag() -> DagBag:
    return DagBag(DAGS_FOLDER)


@pytest.fixture(params=sorted(EXPECTED))
def dag(request: pytest.FixtureRequest, bag: DagBag) -> DAG:
    found: DAG = bag.dags[request.param]
    return found


def test_every_file_imports(bag: DagBag) -> None:
    assert bag.import_errors == {}
    assert set(bag.dags) == EXPECTED


def test_import_does_no_work(tmp_path: Path) -> None:
    """No connection is opened and nothing written, not even the folder of the warehouse."""
    local_dir = tmp_path / "local"
    script = WITHOUT_NETWORK % str(DAGS_FOLDER)
    environment = {**os.environ, "LOCAL_DIR": str(local_dir), "PYTHONPATH": str(PROJECT_ROOT)}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, cwd=tmp_path)
    assert not local_dir.exists()


def test_dag_has_owner_tags_and_docs(dag: DAG) -> None:
    assert dag.tags
    assert dag.doc_md
    assert len(dag.doc_md) > 200
    assert dag.dag_display_name == dag.dag_id.replace("_", " ").capitalize()
    assert dag.description
    assert dag.description.endswith(".")
    assert {task.owner for task in dag.tasks} == {"data-platform"}


def test_the_weekly_schedule_is_in_the_description(bag: DagBag) -> None:
    """Beside an asset, the UI shows no cron."""
    description = bag.dags["segment_retraining"].description
    assert description
    assert description.endswith("Besides by the clock: 0 3 * * 0 (cron, UTC).")


def test_dag_runs_once_at_a_time_without_catching_up(dag: DAG) -> None:
    assert dag.max_active_runs == 1
    assert dag.catchup is False


def test_dag_says_when_it_fails_or_is_late(dag: DAG) -> None:
    assert dag.has_on_failure_callback
    assert isinstance(dag.on_success_callback, HeartbeatNotifier)
    assert dag.deadline


def test_airflow_knows_what_the_deadline_counts_from(dag: DAG) -> None:
    """A reference of our own works only if a plugin brings it, and no other may be used: see RunQueuedAt."""
    brought = runpy.run_path(str(PROJECT_ROOT / "plugins" / "deadlines.py"))["DeadlinesPlugin"]
    deadlines: Any = dag.deadline  # Airflow makes it a list
    assert [type(one.reference) for one in deadlines] == brought.deadline_references


def test_tasks_retry_with_back_off(dag: DAG) -> None:
    for task in dag.tasks:
        assert task.retries, task.task_id
        assert task.retry_exponential_backoff, task.task_id


def test_tasks_that_write_share_the_warehouse_pool(dag: DAG) -> None:
    """DuckDB has one writer. Who only watches dbt stays outside, and a training, which reads for a moment."""
    for task in dag.tasks:
        assert (task.pool == "warehouse") is _writes(dag, task), task.task_id


def test_no_two_runs_build_one_model_at_once(dag: DAG) -> None:
    """Backfills do not count against max_active_runs, and the pool may have more slots on Snowflake."""
    for task in dag.tasks:
        if isinstance(task, DbtProducerWatcherOperator) or task.task_id == "reseed":
            assert task.max_active_tis_per_dag == 1, task.task_id


def _writes(dag: DAG, task: BaseOperator | MappedOperator) -> bool:
    if task.task_id == "publish":
        return "start_date" in dag.params  # it says whether there was anything in the range
    watches = "." in task.task_id and not task.task_id.endswith("dbt_producer_watcher")
    elsewhere = {"due", "fit", "gate", "register", "ask", "score", "outcome", "report", "audiences"}
    return not watches and task.task_id not in elsewhere


def test_every_parameter_has_a_title_and_is_described(dag: DAG) -> None:
    for name in dag.params:
        parameter = dag.params.get_param(name)
        assert parameter.schema["title"], name
        assert parameter.description, name


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_parameter_takes_sql_or_jinja(dag: DAG, payload: str) -> None:
    for name in dag.params:
        with pytest.raises(ParamValidationError):
            _params_of_a_run(dag, {name: payload})


def test_parameters_take_what_they_are_for(dag: DAG) -> None:
    """Their defaults, and a day or a time with its zone."""
    _params_of_a_run(dag, {})
    for name in dag.params:
        form = dag.params.get_param(name).schema.get("format")
        for value in {"date": ["2019-02-28"], "date-time": GOOD_TIMES}.get(str(form), []):
            assert _params_of_a_run(dag, {name: value})[name] == value


def _params_of_a_run(dag: DAG, conf: dict[str, Any]) -> dict[str, Any]:
    """Return what Airflow's API, backfills and command line make of a run's configuration."""
    as_stored = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    found: dict[str, Any] = as_stored.params.deep_merge(conf).validate()
    return found


def test_a_runs_parameters_are_judged_before_anything_runs(dag: DAG) -> None:
    for task in dag.roots:
        hook = (
            task.partial_kwargs["pre_execute"] if isinstance(task, MappedOperator) else task._pre_execute_hook
        )
        context: Any = {
            "dag": dag,
            "dag_run": SimpleNamespace(conf={"start_dat": "2019-01-01"}),
            "params": {},
        }
        assert hook is not None, task.task_id
        with pytest.raises(ParametersError, match="no parameter 'start_dat'"):
            hook(context)


@pytest.mark.parametrize("path", sorted(DAGS_FOLDER.glob("*.py")), ids=lambda path: path.name)
def test_file_fits_one_screen(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES
    assert not path.name.startswith("dbt_"), "Cosmos and dbt mistake such a module for their own"


def test_every_dbt_node_has_its_task_and_its_tests_in_one_dag(bag: DagBag) -> None:
    """The whole project is in the DAGs, streams and segments in theirs; each node's tests run after it."""
    models = _models("")
    built = {dag_id: _built_models(bag.dags[dag_id]) for dag_id in EXPECTED}
    streaming = _models("staging/streams") | _models("marts/market")
    segments = {"int_customer_features", "int_segment_scores"} | _models("marts/customers") - {"dim_customer"}
    insights = _models("marts/insights")

    assert len(streaming) >= 6
    assert len(segments) >= 4
    assert built["streaming_marts"] == streaming
    assert built["segment_retraining"] == segments
    assert built["marketing_insights"] == insights
    assert built["marketing_pipeline"] == models - streaming - segments - insights


def _models(folder: str) -> set[str]:
    return {path.stem for path in (PROJECT_ROOT / "include/dbt/models" / folder).rglob("*.sql")}


def _built_models(dag: DAG) -> set[str]:
    """Return the models that have a task in the DAG: none has two."""
    nodes = [task.node for task in dag.tasks if isinstance(task, DbtNodeOperator)]
    assert len(nodes) == len(set(nodes))
    return {name for name in nodes if name in _models("")}


def test_dbt_builds_what_the_dag_shows(bag: DagBag) -> None:
    """The task that runs dbt is told the same selection as the tasks were made by."""
    assert {task.task_id: (task.select, task.exclude) for task in _producers(bag)} == {
        "transform.dbt_producer_watcher": (None, "tag:segments tag:streaming tag:insights"),
        "streaming.dbt_producer_watcher": ("tag:streaming", None),
        "features.dbt_producer_watcher": ("int_customer_features", None),
        "segment_marts.dbt_producer_watcher": ("tag:segment_marts", None),
        "insights.dbt_producer_watcher": ("tag:insights", None),
    }


def test_nothing_follows_a_dbt_that_failed(bag: DagBag) -> None:
    """A test of a source is of no node's task, so that a task of Cosmos alone tells the others of it."""
    for producer in _producers(bag):
        done = producer.dag.get_task(f"{producer.task_id}_done")
        assert done.upstream_task_ids == {producer.task_id}
        assert done.trigger_rule in {"none_failed", "all_success"}
        group = {task.task_id for task in producer.task_group.iter_tasks()}
        ends = (task for task in producer.task_group.iter_tasks() if isinstance(task, DbtNodeOperator))
        follows = {one for task in ends for one in task.downstream_task_ids} - group
        assert done.downstream_task_ids == follows, producer.task_id


def _producers(bag: DagBag) -> list[Any]:
    return [task for dag in bag.dags.values() for task in dag.tasks if task.task_id.endswith("watcher")]


@pytest.mark.parametrize(
    ("dag_id", "asset"),
    [
        ("marketing_pipeline", "fct_sales"),
        ("segment_retraining", "fct_customer_segments"),
        ("streaming_marts", "fct_bitcoin_prices_hourly"),
    ],
)
def test_a_dag_publishes_its_fact_last(bag: DagBag, dag_id: str, asset: str) -> None:
    dag = bag.dags[dag_id]
    publish = dag.get_task("publish")
    assert [outlet for outlet in publish.outlets if isinstance(outlet, Asset)] == [Asset(asset)]
    end = {"outcome"} if dag_id == "segment_retraining" else set()
    assert publish.downstream_task_ids == end
    ends = {task.task_id for task in dag.tasks if not task.downstream_task_ids}
    assert ends == (end or {"publish"})


def test_no_segment_changes_before_the_gate(bag: DagBag) -> None:
    dag = bag.dags["segment_retraining"]
    after = dag.get_task("gate").get_flat_relative_ids(upstream=False)
    before = {task.task_id for task in dag.tasks} - after - {"gate"}
    assert {task for task in before if not task.startswith("features.")} == {"due", "fit", "outlook"}


def test_customers_are_scored_whatever_became_of_a_training(bag: DagBag) -> None:
    """Without a training, and after a rejected one; but the run of a rejected one fails in the end."""
    dag = bag.dags["segment_retraining"]
    score, outcome = dag.get_task("score"), dag.get_task("outcome")
    assert score.trigger_rule == "all_done_min_one_success"
    assert "reseed" in score.upstream_task_ids
    assert any(task.startswith("features.") for task in score.upstream_task_ids)
    assert "score" in dag.get_task("segment_marts.dbt_producer_watcher").get_flat_relative_ids(upstream=True)
    assert outcome.trigger_rule == "none_failed"
    assert outcome.upstream_task_ids == {"publish", "reseed", "outlook"}


def test_nothing_is_built_from_the_streams_before_the_gate(bag: DagBag) -> None:
    dag = bag.dags["streaming_marts"]
    gate = dag.get_task("freshness_and_lag_gate")
    assert {task.task_id for task in dag.roots} == {gate.task_id}
    assert {task.task_id for task in dag.tasks} - {gate.task_id} == gate.get_flat_relative_ids(upstream=False)
