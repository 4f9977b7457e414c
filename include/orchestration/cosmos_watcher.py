"""What this project needs of Cosmos' WATCHER mode beyond its public interface.

All that depends on Cosmos' private modules, or on how its operators use `context["ti"]`, stands here, and
tests/orchestration/test_cosmos_watcher.py says in one sentence what a new Cosmos release has changed.
"""

from typing import Any

from airflow.sdk import Context, TriggerRule, XComArg
from airflow.sdk.bases.operator import BaseOperator
from cosmos import DbtTaskGroup
from cosmos.constants import PRODUCER_WATCHER_TASK_ID
from cosmos.operators._watcher.state import is_dbt_node_status_success

Operator = BaseOperator | XComArg
CLEARINGS = "clearings_of_the_run"  # XCom: how often the run had been cleared when the producer ran


def producer_of(group: DbtTaskGroup) -> Any:
    """Return the task that runs `dbt build`."""
    (producer,) = (task for task in group.iter_tasks() if task.label == PRODUCER_WATCHER_TASK_ID)
    return producer


def expect_no_excluded_test(group: DbtTaskGroup) -> None:
    """Let the tasks not wait for a test that dbt leaves out because one of its parents is excluded.

    Cosmos counts each test of a node, and a node's tests have no outcome before all have reported.
    """
    producer = producer_of(group)
    graph = group.dbt_graph
    excluded = {node_id for node_id in graph.nodes if node_id not in graph.filtered_nodes}
    for tests in producer.tests_per_model.values():
        tests[:] = [test for test in tests if excluded.isdisjoint(graph.nodes[test].depends_on)]


def start_producer_first(group: DbtTaskGroup, after: Operator | None) -> None:
    """Let the nodes' tasks start when dbt has ended, well or badly, but not when it could not start.

    Beside a running producer each of them would start twice (once to find nothing yet), and `airflow dags
    test`, which runs one task at a time, would never get to the producer that they wait for.
    """
    producer = producer_of(group)
    for root in list(group.get_roots()):
        if after is not None:
            after >> root
        if root is not producer:
            producer >> root
            root.trigger_rule = TriggerRule.ALL_DONE_MIN_ONE_SUCCESS


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
