"""What orchestration/cosmos_watcher.py relies on in Cosmos; a failure says what a release has changed."""

import copy
import importlib
import inspect
from collections.abc import Callable
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from cosmos.operators.watcher import DbtProducerWatcherOperator

from include.orchestration.cosmos_watcher import build_again, read_lineage_if_asked
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

    def xcom_pull(self, task_ids: str, key: str, **_: Any) -> Any:
        return self.xcoms.get(key)


@pytest.fixture(scope="module")
def tasks() -> dict[str, Any]:
    """Every task of marketing_pipeline by its id."""
    bag = DagBag(PROJECT_ROOT / "dags" / "marketing_pipeline.py")
    assert not bag.import_errors, bag.import_errors
    return dict(bag.dags["marketing_pipeline"].task_dict)


def test_the_status_of_a_node_is_judged_where_we_import_it_from() -> None:
    state = importlib.import_module("cosmos.operators._watcher.state")
    judge = getattr(state, "is_dbt_node_status_failed", None)
    assert judge is not None, ADVICE.format("_watcher.state has no is_dbt_node_status_failed")
    bad = [
        status for status in ("success", "pass", "warn", "error", "fail", "skipped", None) if judge(status)
    ]
    assert bad == ["error", "fail"], ADVICE.format("is_dbt_node_status_failed judges otherwise")


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
        producer.execute({"ti": TaskInstance(try_number=2), "run_id": "any"})


def test_every_try_of_the_producer_looks_like_the_first() -> None:
    context: Any = {"ti": TaskInstance(try_number=2)}
    build_again(context)
    assert context["ti"].try_number == 1


def test_a_failed_build_leaves_no_variable_behind(tasks: dict[str, Any]) -> None:
    """Cosmos would keep dbt's messages in one, for a retry of its own, and nothing ever deletes it."""
    producer = tasks["transform.dbt_producer_watcher"]
    assert producer.retries == 1
    assert [*producer.on_retry_callback] == []
    assert [one.__name__ for one in producer.on_failure_callback] == ["note_failure"]


@pytest.fixture
def execute(tasks: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Give a function that does what Airflow does with a node's task; to run dbt in it is an error."""

    def run(task_id: str, status: str | None, try_number: int, producer: str) -> None:
        node = copy.copy(tasks[task_id])
        monkeypatch.setattr(node, "_get_producer_task_status", lambda context: producer)
        monkeypatch.setattr(node, "build_and_run_cmd", lambda *_, **__: pytest.fail("dbt ran for one node"))
        key = f"{node.model_unique_id.replace('.', '__')}_status"
        if "test" in task_id:
            key = key.replace("_status", "_tests_status")
        xcom: Any = status if "test" in task_id else {"status": status, "outlet_uris": []}
        ti = TaskInstance(try_number, {key: xcom} if status else {})
        context: Any = {"ti": ti, "task": node, "task_instance": ti, "run_id": "any"}
        node._pre_execute_hook(context)
        node.execute(context)

    return run


@pytest.mark.parametrize("node", ["transform.fct_sales.run", "transform.fct_sales.test"])
@pytest.mark.parametrize("try_number", [1, 2])
def test_no_node_is_ever_built_by_its_own_task(
    execute: Callable[..., Any], node: str, try_number: int
) -> None:
    """Its task has no slot of the pool, so dbt in it would write beside another run's build."""
    execute(node, "success", try_number, "success")
    with pytest.raises(AirflowFailException, match=r"dbt says error of .*that task alone builds: clear it"):
        execute(node, "error", try_number, "failed")
    for producer in ("failed", "skipped"):
        with pytest.raises(AirflowFailException, match="dbt ended without a word of"):
            execute(node, None, try_number, producer)
    with pytest.raises(AirflowSkipException):
        execute(node, "skipped", try_number, "success")


@pytest.mark.parametrize("address", ["", "http://marquez:5000"])
def test_lineage_is_read_only_where_somebody_gets_it(
    tasks: dict[str, Any], address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading it takes time, and warns of each test of a snapshot."""
    monkeypatch.delenv("AIRFLOW__OPENLINEAGE__TRANSPORT", raising=False)
    monkeypatch.delenv("OPENLINEAGE_CONFIG", raising=False)
    monkeypatch.setenv("OPENLINEAGE_URL", address)
    producer = copy.copy(tasks["transform.dbt_producer_watcher"])
    reads: list[bool] = []
    monkeypatch.setattr(
        DbtProducerWatcherOperator, "_get_dbt_local_artifact_processor", lambda *_: reads.append(True)
    )
    read_lineage_if_asked({"task": producer})
    producer.calculate_openlineage_events_completes({}, "", [])
    assert bool(reads) is bool(address), ADVICE.format("lineage is read elsewhere")


@pytest.mark.slow
def test_parsing_the_dags_warns_of_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Each task parses its DAG, so a warning would be in each task's log."""
    bag = DagBag(PROJECT_ROOT / "dags")
    assert len(bag.dags) == 4
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == []
