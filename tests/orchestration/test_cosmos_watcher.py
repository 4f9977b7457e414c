"""What orchestration/cosmos_watcher.py relies on in Cosmos; a failure says what a release has changed."""

import importlib
import inspect
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.exceptions import AirflowSkipException
from cosmos.operators.watcher import DbtProducerWatcherOperator

from include.orchestration.cosmos_watcher import (
    CLEARINGS,
    build_again_when_cleared,
    watch_the_cleared_build,
)
from include.settings import PROJECT_ROOT

ADVICE = "Cosmos has changed: {}. Read include/orchestration/cosmos_watcher.py before you take this release."


class TaskInstance:
    """A task instance with XComs of its own, as far as the hooks use one."""

    def __init__(self, try_number: int, xcoms: dict[str, Any] | None = None) -> None:
        self.try_number = try_number
        self.xcoms = xcoms or {}

    def model_copy(self, *, update: dict[str, Any]) -> "TaskInstance":
        return TaskInstance(update["try_number"], self.xcoms)

    def xcom_push(self, *, key: str, value: Any) -> None:
        self.xcoms[key] = value

    def xcom_pull(self, *, task_ids: str, key: str) -> Any:
        return self.xcoms.get(key)


class DagRun:
    """A run that was cleared this often."""

    def __init__(self, clear_number: int) -> None:
        self.clear_number = clear_number


class Node:
    """A node's task; dbt reported this of the node."""

    producer_task_id = "transform.dbt_producer_watcher"

    def __init__(self, status: str | None) -> None:
        self._status = status

    def _get_node_status(self, ti: Any, context: Any) -> str | None:
        return self._status


@pytest.fixture(scope="module")
def tasks() -> dict[str, Any]:
    """Every task of marketing_pipeline by its id."""
    bag = DagBag(PROJECT_ROOT / "dags" / "marketing_pipeline.py")
    assert not bag.import_errors, bag.import_errors
    return dict(bag.dags["marketing_pipeline"].task_dict)


def test_the_status_of_a_node_is_judged_where_we_import_it_from() -> None:
    state = importlib.import_module("cosmos.operators._watcher.state")
    judge = getattr(state, "is_dbt_node_status_success", None)
    assert judge is not None, ADVICE.format("_watcher.state has no is_dbt_node_status_success")
    good = [
        status for status in ("success", "pass", "warn", "error", "fail", "skipped", None) if judge(status)
    ]
    assert good == ["success", "pass", "warn"], ADVICE.format("is_dbt_node_status_success judges otherwise")


def test_the_producer_is_the_one_task_that_we_find_and_holds_the_tests_of_each_model(
    tasks: dict[str, Any],
) -> None:
    producers = [task for task in tasks.values() if isinstance(task, DbtProducerWatcherOperator)]
    assert [task.label for task in producers] == ["dbt_producer_watcher"], ADVICE.format(
        "the producer has another name, or there are several"
    )
    tests = getattr(producers[0], "tests_per_model", None)
    assert isinstance(tests, dict), ADVICE.format("the producer has no tests_per_model")
    assert any(tests.values()), ADVICE.format("tests_per_model holds no tests")


def test_a_node_tells_its_producer_and_its_status(tasks: dict[str, Any]) -> None:
    node = tasks["transform.fct_sales.run"]
    assert node.producer_task_id == "transform.dbt_producer_watcher", ADVICE.format(
        "producer_task_id is gone"
    )
    parameters = list(inspect.signature(node._get_node_status).parameters)
    assert parameters == ["ti", "context"], ADVICE.format("_get_node_status takes other arguments")


def test_cosmos_still_skips_a_producer_that_is_tried_again(
    tasks: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If this fails because nothing was raised, Cosmos retries by itself and our hook may go."""
    # It would ask Airflow's database for the XComs of the first try.
    monkeypatch.setattr("cosmos.operators.watcher._restore_xcom_from_variable", lambda context: False)
    producer = tasks["transform.dbt_producer_watcher"]
    with pytest.raises(AirflowSkipException, match="does not support Airflow retries"):
        producer.execute({"ti": TaskInstance(try_number=2), "run_id": "any", "dag_run": DagRun(1)})


def test_a_cleared_producer_looks_like_a_first_try_and_notes_the_clearing() -> None:
    ti = TaskInstance(try_number=2)
    context: Any = {"ti": ti, "dag_run": DagRun(clear_number=1)}
    build_again_when_cleared(context)
    assert context["ti"].try_number == 1
    assert ti.xcoms == {CLEARINGS: 1}


@pytest.mark.parametrize(
    ("try_number", "built_at", "status", "reports"),
    [
        (1, 1, "success", 1),
        (2, 1, "success", 1),  # cleared with the producer, whose build has built it
        (2, 0, "success", 2),  # cleared alone: runs the node by itself
        (2, 1, "error", 2),
        (2, 1, None, 2),
    ],
)
def test_a_cleared_node_reports_the_build_that_was_cleared_with_it(
    try_number: int, built_at: int, status: str | None, reports: int
) -> None:
    ti = TaskInstance(try_number, {CLEARINGS: built_at})
    context: Any = {"ti": ti, "task": Node(status), "dag_run": DagRun(clear_number=1)}
    watch_the_cleared_build(context)
    assert context["ti"].try_number == reports
