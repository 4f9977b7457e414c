"""
### Segment retraining

Scores all customers after `fct_sales`, and refits the model when due. A dry run changes nothing shared.

1. **features**; **outlook**: who will buy again; **due**: by hand, a month after the last fit, or on drift.
2. **fit** a version; **gate**: one that fails is kept, not used; **ask** waits for a person's yes, if the
   parameter says so; **register**, **reseed**: the model and its segments are in use.
3. **segment_marts**, **publish**: scores and marts, whatever came of 2; **outcome** fails if 2 failed.
"""

from pkgutil import resolve_name
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Asset, Param, chain, dag, task

from include.orchestration.dag_defaults import asset_or_time, dag_defaults
from include.orchestration.dbt_task_group import AS_OF_VARS, FEATURE_VARS, dbt_task_group
from include.orchestration.parameters import day, names, switch
from include.settings import get_settings


@dag(
    schedule=asset_or_time(Asset("fct_sales"), get_settings().retraining_schedule),
    **dag_defaults(__doc__, get_settings().retraining_schedule),
    tags=["ml", "dbt"],
    params={
        "k": Param(5, type="integer", minimum=2, maximum=10, title="Segments", description="How many (k)."),
        "as_of_date": day("As-of date", "As-of date of recency; empty: the latest order."),
        "dry_run": switch("Dry run", "Train and judge, but promote nothing."),
        "override": names("Override", "Checks that may fail, by their names; recorded."),
        "ask": switch("Ask", "A version that fails waits for a person's yes."),
    },
)
def segment_retraining() -> None:
    @task.short_circuit(ignore_downstream_trigger_rules=False)
    def due(**context: Any) -> Any:
        return resolve_name("ml.retraining:due")(context["dag_run"].run_type == "manual")

    @task
    def fit(**context: Any) -> Any:
        return resolve_name("ml.retraining:fit")(context["params"])

    @task.branch
    def gate(version: Any, **context: Any) -> Any:
        return resolve_name("ml.retraining:gate")(version, context["params"]["ask"])

    @task(trigger_rule="none_failed_min_one_success")
    def register(version: Any, **context: Any) -> None:
        resolve_name("ml.retraining:register")(version, context["ti"].xcom_pull(task_ids="ask"))

    @task(pool="warehouse")
    def outlook(**context: Any) -> None:
        resolve_name("ml.retraining:look_ahead")(context["params"])

    @task(pool="warehouse", max_active_tis_per_dag=1)
    def reseed() -> None:
        resolve_name("ml.reseed:reseed")()

    @task.short_circuit(trigger_rule="all_done_min_one_success", ignore_downstream_trigger_rules=False)
    def score(**context: Any) -> Any:
        return not context["params"]["dry_run"]

    publish = EmptyOperator(task_id="publish", outlets=[Asset("fct_customer_segments")])
    outcome = EmptyOperator(task_id="outcome", trigger_rule="none_failed")
    found = "{{ ti.xcom_pull(task_ids='gate', key='findings') }}"
    ask = ApprovalOperator(task_id="ask", subject="Use a model that failed the gate?", body=found)
    judged, registered, scored = gate(version := fit()), register(version), score()
    features = dbt_task_group("features", select=["int_customer_features"], dbt_vars=FEATURE_VARS)
    marts = dbt_task_group("segment_marts", after=scored, select=["tag:segment_marts"], dbt_vars=AS_OF_VARS)
    chain(features, due(), version, judged, ask, registered, reseed(), [scored, outcome])
    chain(features, outlook(), [scored, outcome])
    chain([features, judged], [scored, registered])
    marts >> publish >> outcome


segment_retraining()
