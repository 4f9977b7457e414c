"""What orchestration/cosmos_watcher.py relies on in Cosmos; a failure says what a release has changed."""

import copy
import json
from typing import Any

import cosmos.settings
import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.exceptions import AirflowSkipException
from cosmos.operators.local import DbtLocalBaseOperator
from cosmos.operators.watcher import DbtProducerWatcherOperator

from include.orchestration.cosmos_watcher import build_again, read_lineage_if_asked
from include.settings import PROJECT_ROOT

ADVICE = "Cosmos has changed: {}. Read include/orchestration/cosmos_watcher.py before you take this release."


class TaskInstance:
    """A task instance, as far as the hooks use one."""

    def __init__(self, try_number: int) -> None:
        self.try_number = try_number

    def model_copy(self, *, update: dict[str, Any]) -> "TaskInstance":
        return TaskInstance(update["try_number"])


@pytest.fixture(scope="module")
def tasks() -> dict[str, Any]:
    """Every task of marketing_pipeline by its id."""
    bag = DagBag(PROJECT_ROOT / "dags" / "marketing_pipeline.py")
    assert not bag.import_errors, bag.import_errors
    return dict(bag.dags["marketing_pipeline"].task_dict)


def test_the_producer_is_the_one_task_that_we_find(tasks: dict[str, Any]) -> None:
    producers = [task for task in tasks.values() if isinstance(task, DbtProducerWatcherOperator)]
    assert [task.label for task in producers] == ["dbt_producer_watcher"], ADVICE.format(
        "the producer has another name, or there are several"
    )


def test_the_producer_logs_each_line_of_dbt_and_does_no_more(
    tasks: dict[str, Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Cosmos would push XComs from its own function, while dbt waits."""
    producer = copy.copy(tasks["transform.dbt_producer_watcher"])
    line = {"level": "warn", "ts": "2026-11-27T01:02:03.4Z", "msg": "1 of 2 WARN 3 not_null_x"}
    monkeypatch.setattr(
        DbtLocalBaseOperator,
        "run_subprocess",
        lambda self, *_, **__: [
            self._process_log_line_callable(said, {"context": None, "project_dir": "any"})
            for said in (json.dumps({"info": line, "data": {}}), "Going to open: a page")
        ],
    )
    with caplog.at_level("INFO"):
        producer.run_subprocess(["dbt"], {}, "any")
    said = [(record.levelname, record.message) for record in caplog.records]
    assert said == [
        ("WARNING", "01:02:03  1 of 2 WARN 3 not_null_x"),
        ("INFO", "Going to open: a page"),
    ], ADVICE.format("dbt's lines go elsewhere")


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
    assert cosmos.settings.enable_watcher_reliable_retry is False


def test_a_failed_build_leaves_no_variable_behind(tasks: dict[str, Any]) -> None:
    """Cosmos would keep dbt's messages in one, for a retry of its own, and nothing ever deletes it."""
    producer = tasks["transform.dbt_producer_watcher"]
    assert producer.retries == 1
    assert [*producer.on_retry_callback] == []
    assert [one.__name__ for one in producer.on_failure_callback] == ["note_failure"]


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
