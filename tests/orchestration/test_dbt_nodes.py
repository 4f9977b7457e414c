"""What the tasks of dbt's nodes say, from what dbt said of the nodes and their tests."""

from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from include.orchestration.dbt_nodes import DbtNodeOperator, outcomes

MANIFEST: dict[str, dict[str, Any]] = {
    "model.shop.orders": {},
    "model.shop.customers": {},
    "model.shop.marts.v2": {},
    "test.shop.unique_orders.1": {"attached_node": "model.shop.orders", "depends_on": {"nodes": []}},
    "test.shop.orders_have_customers.2": {
        "attached_node": "model.shop.orders",
        "depends_on": {"nodes": ["model.shop.orders", "model.shop.customers"]},
    },
    "test.shop.orders_add_up": {"depends_on": {"nodes": ["model.shop.customers", "model.shop.orders"]}},
    "test.shop.source_not_null.3": {"depends_on": {"nodes": ["source.shop.raw.orders"]}},
}


def outcomes_of(**statuses: str) -> dict[str, dict[str, str]]:
    """Return the outcomes of a build in which every node and test passed but those named, by short name."""
    results = []
    for unique_id in MANIFEST:
        name = unique_id.split(".")[2]
        status = statuses.get(name, "pass" if unique_id.startswith("test") else "success")
        results.append({"unique_id": unique_id, "status": status, "message": f"{name} was {status}"})
    results[0]["compiled_code"] = " select 1 "
    results[0], results[1] = results[1], results[0]  # customers are built first
    return dict(outcomes(results, MANIFEST))


def test_each_node_has_one_outcome_with_its_sql_and_its_tests() -> None:
    found = outcomes_of()
    assert list(found) == ["customers", "orders", "marts_v2"]
    assert found["orders"] == {
        "status": "success",
        "tests": "3 pass",
        "failed": "",
        "compiled_sql": "select 1",
    }
    assert found["marts_v2"]["tests"] == "no tests"


def test_a_test_is_of_the_node_whose_yml_has_it_else_of_the_one_built_last() -> None:
    for test in ("unique_orders", "orders_have_customers", "orders_add_up"):
        found = outcomes_of(**{test: "fail"})
        assert found["orders"]["failed"] == f"{test}: {test} was fail."
        assert not found["customers"]["failed"], "another node's failure is not its own"


def test_a_warning_fails_nothing_and_is_told() -> None:
    found = outcomes_of(unique_orders="warn", source_not_null="error")
    assert found["orders"]["tests"] == "2 pass, 1 warn"
    assert not any(one["failed"] for one in found.values())


def run(outcome: dict[str, str] | None) -> DbtNodeOperator:
    """Do what Airflow does with the task of a node."""
    task = DbtNodeOperator(task_id="orders", node="orders", producer_task_id="transform.dbt")

    class TaskInstance:
        def xcom_pull(self, task_ids: str, key: str) -> dict[str, str] | None:
            return outcome if (task_ids, key) == ("transform.dbt", "orders") else None

    context: Any = {"ti": TaskInstance()}
    task.render_template_fields(context)
    task.execute(context)
    return task


def test_a_task_is_green_only_if_its_node_and_all_tests_passed() -> None:
    assert run(outcomes_of()["orders"]).compiled_sql == "select 1"
    with pytest.raises(AirflowFailException, match=r"^orders: orders was error\. .* that task alone builds"):
        run(outcomes_of(orders="error")["orders"])
    with pytest.raises(AirflowFailException, match=r"^orders_add_up: orders_add_up was fail\. The log"):
        run(outcomes_of(orders_add_up="fail")["orders"])
    with pytest.raises(AirflowSkipException, match="dbt skipped orders"):
        run(outcomes_of(orders="skipped")["orders"])
    with pytest.raises(AirflowFailException, match="dbt ended without a word of orders"):
        run(None)
