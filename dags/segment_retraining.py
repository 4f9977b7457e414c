"""
### Segment retraining

Refits the customer segments, and uses the new version only if it passes the gate.

1. **features**: dbt computes each customer's features up to the as-of date.
2. **fit**: K-means, its clusters named after the five archetypes; the version goes into the registry with
   its metrics, plots and model card.
3. **gate**: separation, smallest segment, stability, and customers who would change segment. A version that
   misses a limit fails here with the figures; it is kept, and the segments in use do not change.
4. **register**: the version becomes the current one.
5. **reseed**: its segments are written and loaded as the dbt seed `customer_segments`.
6. **segment_marts**, **publish**: `fct_customer_segments`, RFM scores, migrations, each tested; an asset.

Runs when `fct_sales` is updated, weekly, and by hand: with another k or as-of date, as a dry run (which ends
at the gate), or with force, which promotes a rejected version and is recorded. Every task can be cleared.
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
    chain(features, version, gate(version), register(version), seeded)
    marts >> publish()


segment_retraining()
