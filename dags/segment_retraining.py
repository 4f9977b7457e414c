"""
### Segment retraining

Refits the customer segments, and uses the new version only if it passes the gate. Runs when `fct_sales` is
updated, weekly, and by hand. Force promotes a rejected version and is recorded.

1. **features**: dbt computes each customer's features up to the as-of date.
2. **fit**: K-means, clusters named after the five archetypes; version, metrics and model card are kept.
3. **gate**: a version that misses a limit fails here with the figures; the segments in use do not change.
4. **register**, **outlook**, **reseed**: it becomes the current version; who will buy again; the dbt seed.
5. **segment_marts**, **publish**: the customer marts, each tested; an asset.
"""

from typing import Any

from airflow.sdk import Asset, Param, chain, dag, task

from include.orchestration.dag_defaults import asset_or_time, dag_defaults
from include.orchestration.dbt_task_group import AS_OF_VARS, dbt_task_group
from include.orchestration.parameters import day, switch
from include.settings import get_settings


@dag(
    schedule=asset_or_time(Asset("fct_sales"), get_settings().retraining_schedule),
    **dag_defaults(),
    doc_md=__doc__,
    tags=["ml", "dbt"],
    params={
        "k": Param(5, type="integer", minimum=2, maximum=10, title="k", description="Number of segments."),
        "as_of_date": day("As-of date", "As-of date of recency; empty: the latest order."),
        "dry_run": switch("Dry run", "Train and judge, but promote nothing."),
        "force": switch("Force", "Promote even if the gate fails; recorded."),
    },
)
def segment_retraining() -> None:
    @task(pool="warehouse")
    def fit(**context: Any) -> str:
        from include.warehouse import get_warehouse
        from ml.retraining import fit

        return fit(get_warehouse(role="transformer"), context["params"])

    @task.short_circuit
    def gate(version: str) -> bool:
        from ml.retraining import gate

        return gate(version)

    @task
    def register(version: str) -> None:
        from ml.retraining import register

        register(version)

    @task(pool="warehouse")
    def outlook(**context: Any) -> None:
        from ml.retraining import look_ahead

        look_ahead(context["params"])

    @task(pool="warehouse", max_active_tis_per_dag=1)
    def reseed() -> None:
        from ml.reseed import reseed

        reseed()

    @task(outlets=[Asset("fct_customer_segments")])
    def publish() -> None:
        """Run only when every model is built and every test has passed."""

    version: Any = fit()
    seeded = reseed()
    features = dbt_task_group("features", select=["int_customer_features"], dbt_vars=AS_OF_VARS)
    marts = dbt_task_group("segment_marts", after=seeded, select=["tag:segment_marts"], dbt_vars=AS_OF_VARS)
    chain(features, version, gate(version), register(version), outlook(), seeded)
    marts >> publish()


segment_retraining()
