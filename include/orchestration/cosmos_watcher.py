"""What this project needs of Cosmos' WATCHER mode beyond its public interface.

All that depends on Cosmos' private modules, or on how its operators use `context["ti"]`, stands here, and
tests/orchestration/test_cosmos_watcher.py says in one sentence what a new Cosmos release has changed.
"""

import json
import logging
from typing import Any

import cosmos.settings
from airflow.providers.openlineage import conf as lineage
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import Context, TriggerRule, XComArg
from airflow.sdk.bases.operator import BaseOperator
from cosmos import DbtTaskGroup
from cosmos.constants import PRODUCER_WATCHER_TASK_ID
from cosmos.operators._watcher.xcom import _backup_xcom_to_variable

from include.orchestration.dbt_nodes import DbtNodeOperator

Operator = BaseOperator | XComArg
log = logging.getLogger(__name__)


def producer_of(group: DbtTaskGroup) -> Any:
    """Return the task that runs `dbt build`."""
    (producer,) = (task for task in group.iter_tasks() if task.label == PRODUCER_WATCHER_TASK_ID)
    return producer


def start_producer_first(group: DbtTaskGroup, after: Operator | None) -> None:
    """Let the nodes' tasks start together when dbt has ended, well or badly, and not if it could not start.

    One by one along the models' lineage, which the graph shows all the same, they would take as long as dbt.
    Beside a running producer each would start twice (once to find nothing yet), and `airflow dags test`,
    which runs one task at a time, would never get to the producer that they wait for.
    """
    producer = producer_of(group)
    nodes = [task for task in group.iter_tasks() if isinstance(task, DbtNodeOperator)]
    rule = TriggerRule.ALL_DONE_MIN_ONE_SUCCESS if after is not None else TriggerRule.ALL_DONE
    dbt_ended = EmptyOperator(task_id="dbt_ended", task_group=group, trigger_rule=rule)
    if after is not None:
        after >> [producer, dbt_ended]
    producer >> dbt_ended >> nodes
    for node in nodes:
        node.trigger_rule = TriggerRule.ONE_SUCCESS  # dbt_ended's; what became of its parents they say


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
    ti: Any = context["ti"]
    context["ti"] = ti.model_copy(update={"try_number": 1})
    # Or each of its XComs would be kept in a Variable, too, for Cosmos' own second try.
    cosmos.settings.enable_watcher_reliable_retry = False


def read_lineage_if_asked(context: Context) -> None:
    """Let the producer read dbt's lineage only where a setting says who gets it.

    Airflow's hook before the producer's execute(). Cosmos reads it in any case, for nobody, and warns of each
    test of a snapshot.
    """
    if lineage.is_disabled():
        producer: Any = context["task"]
        producer.calculate_openlineage_events_completes = lambda *_, **__: False


def log_what_dbt_says(group: DbtTaskGroup) -> None:
    """Let the producer log dbt's lines and do no more with each, while dbt waits.

    Cosmos pushes three XComs a node meanwhile, each as a Variable, too. tell_the_nodes() pushes one, last.
    """
    producer_of(group)._make_parse_callable = lambda: _log_line


def _log_line(line: str, _: Any) -> None:
    """Log a line of dbt's output, which is a JSON object but for what a library prints."""
    try:
        info = json.loads(line)["info"]
        level, text = (
            logging.getLevelNamesMapping()[info["level"].upper()],
            f"{info['ts'][11:19]}  {info['msg']}",
        )
    except (ValueError, KeyError, TypeError):
        level, text = logging.INFO, line
    log.log(level, "%s", text)
