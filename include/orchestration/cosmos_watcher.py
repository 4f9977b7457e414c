"""What this project needs of Cosmos' WATCHER mode beyond its public interface.

All that depends on Cosmos' private modules, or on how its operators use `context["ti"]`, stands here, and
tests/orchestration/test_cosmos_watcher.py says in one sentence what a new Cosmos release has changed.
"""

from functools import partial
from typing import Any

from airflow.providers.openlineage import conf as lineage
from airflow.sdk import Context, TriggerRule, XComArg
from airflow.sdk.bases.operator import BaseOperator
from airflow.sdk.exceptions import AirflowFailException
from cosmos import DbtTaskGroup
from cosmos.constants import PRODUCER_WATCHER_TASK_ID
from cosmos.operators._watcher.state import is_dbt_node_status_failed
from cosmos.operators._watcher.xcom import _backup_xcom_to_variable

Operator = BaseOperator | XComArg


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


def leave_no_backup_of_xcoms(group: DbtTaskGroup) -> None:
    """Let a failed producer write no Airflow Variable with dbt's messages, which only Cosmos' retry reads."""
    producer = producer_of(group)
    producer.on_retry_callback = ()
    producer.on_failure_callback = [
        one for one in producer.on_failure_callback if one is not _backup_xcom_to_variable
    ]


def build_again(context: Context) -> None:
    """Make a producer that is tried again or cleared run `dbt build` again; Cosmos runs its first try only.

    Airflow's hook before the producer's execute().
    """
    context["ti"] = _as_first_try(context["ti"])


def read_lineage_if_asked(context: Context) -> None:
    """Let the producer read dbt's lineage only where a setting says who gets it.

    Airflow's hook before the producer's execute(). Cosmos reads it in any case, for nobody, and warns of each
    test of a snapshot.
    """
    if lineage.is_disabled():
        producer: Any = context["task"]
        producer.calculate_openlineage_events_completes = lambda *_, **__: False


def report_the_build(context: Context) -> None:
    """Make a node's task, whichever try it is, say what became of the node in the run's `dbt build`.

    Airflow's hook before the task's execute(). Cosmos would run the node by itself on a second try, or where
    dbt said nothing of it: outside the pool, beside another run's build of the same model. Raises
    AirflowFailException where dbt has failed the node: trying again would not change that.
    """
    node: Any = context["task"]
    context["ti"] = _as_first_try(context["ti"])
    node._fallback_to_non_watcher_run = partial(_refuse, node)
    status = node._get_node_status(context["ti"], context)
    if is_dbt_node_status_failed(status):
        raise AirflowFailException(f"dbt says {status} of {node.model_unique_id}. {_advice(node)}")


def _refuse(node: Any, *_: Any, **__: Any) -> bool:
    raise AirflowFailException(f"dbt ended without a word of {node.model_unique_id}. {_advice(node)}")


def _advice(node: Any) -> str:
    return (
        f"The log of {node.producer_task_id} says why; that task alone builds: clear it, with downstream, to"
        " build again."
    )


def _as_first_try(ti: Any) -> Any:
    return ti.model_copy(update={"try_number": 1})
