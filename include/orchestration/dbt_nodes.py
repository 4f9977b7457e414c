"""The tasks that show a group's dbt nodes, and what the task that runs dbt tells them."""

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from airflow.sdk import BaseOperator, Context, TaskGroup
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from cosmos.constants import PRODUCER_WATCHER_TASK_ID
from cosmos.dbt.graph import DbtNode
from typing_extensions import override

from include.dbt_failures import failures

NODE_TYPES = {"model", "seed", "snapshot"}
SKIPPED = "skipped"


class DbtNodeOperator(BaseOperator):
    """Says what became of one node, and of its tests, in the run's `dbt build`: it runs nothing itself.

    So a node that is cleared by itself tells the same again; the producer builds. The node's SQL, as dbt has
    compiled it, is among the task's rendered fields.
    """

    template_fields = ("compiled_sql",)
    template_fields_renderers = {"compiled_sql": "sql"}  # noqa: RUF012 (Airflow's own form)
    ui_color = "#ff7043"

    def __init__(self, *, node: str, producer_task_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.node = node
        self.producer_task_id = producer_task_id
        self.compiled_sql = ""
        self._outcome: dict[str, str] | None = None

    @override
    def render_template_fields(self, context: Context, jinja_env: Any = None) -> None:
        self._outcome = context["ti"].xcom_pull(task_ids=self.producer_task_id, key=self.node)
        self.compiled_sql = (self._outcome or {}).get("compiled_sql", "")

    @override
    def execute(self, context: Context) -> None:
        """Raise AirflowFailException where the node or a test of it failed: trying again changes nothing."""
        advice = (
            f"The log of {self.producer_task_id} says why; that task alone builds: clear it, with downstream,"
            " to build again."
        )
        if self._outcome is None:
            raise AirflowFailException(f"dbt ended without a word of {self.node}. {advice}")
        if failed := self._outcome["failed"]:
            raise AirflowFailException(f"{failed} {advice}")
        if self._outcome["status"] == SKIPPED:
            raise AirflowSkipException(f"dbt skipped {self.node}.")
        self.log.info("dbt says %s of %s: %s", self._outcome["status"], self.node, self._outcome["tests"])


def node_task(*, node: DbtNode, task_group: TaskGroup, **_: Any) -> DbtNodeOperator:
    """Return the task of a node, by Cosmos' hook for each type of it."""
    producer = task_group.child_id(PRODUCER_WATCHER_TASK_ID)
    return DbtNodeOperator(
        task_id=node.name, node=node.name, producer_task_id=producer, task_group=task_group
    )


def tell_the_nodes(project_dir: str, context: Context) -> None:
    """Push what became of each node as an XCom by the node's name, where dbt got as far as to run any.

    Cosmos' hook after each dbt command.
    """
    target = Path(project_dir) / "target"
    if not (target / "run_results.json").exists():
        return
    results = json.loads((target / "run_results.json").read_text(encoding="utf-8"))["results"]
    nodes = json.loads((target / "manifest.json").read_text(encoding="utf-8"))["nodes"]
    for name, outcome in outcomes(results, nodes):
        context["ti"].xcom_push(key=name, value=outcome)


def outcomes(
    results: list[dict[str, Any]], nodes: dict[str, dict[str, Any]]
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield each node's name and outcome, from dbt's run results and its manifest's nodes.

    An outcome has dbt's `status` of the node, a count of its `tests` by status, the `compiled_sql`, and in
    `failed` what dbt said of the node and of each test that failed, or nothing.
    """
    built = {one["unique_id"]: number for number, one in enumerate(results) if _type(one) in NODE_TYPES}
    tests: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for one in results:
        if _type(one) == "test" and (owner := _owner(nodes[one["unique_id"]], built)):
            tests[owner].append(one)
    for one in results:
        if _type(one) in NODE_TYPES:
            mine = tests[one["unique_id"]]
            said = failures((each["unique_id"], each["status"], each["message"]) for each in (one, *mine))
            yield (
                "_".join(one["unique_id"].split(".")[2:]),  # as Cosmos names it; a version is its last part
                {
                    "status": one["status"],
                    "tests": _count(mine),
                    "failed": " ".join(f"{name}: {message}" for name, message in said.items()),
                    "compiled_sql": (one.get("compiled_code") or "").strip(),
                },
            )


def _type(result: dict[str, Any]) -> str:
    return str(result["unique_id"]).split(".", 1)[0]


def _owner(test: dict[str, Any], built: dict[str, int]) -> str | None:
    """Return the node that a test is of: whose yml has it, else of those that it reads the one built last."""
    if test.get("attached_node") in built:
        return str(test["attached_node"])
    return max(
        (one for one in test["depends_on"]["nodes"] if one in built), key=built.__getitem__, default=None
    )


def _count(tests: list[dict[str, Any]]) -> str:
    counts: dict[str, int] = defaultdict(int)
    for one in tests:
        counts[one["status"]] += 1
    return ", ".join(f"{number} {status}" for status, number in sorted(counts.items())) or "no tests"
