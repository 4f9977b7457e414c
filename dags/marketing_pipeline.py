"""
### Marketing pipeline

Every night the shop's files become a tested star schema.

1. **ingest**: each file goes into its all-text raw table once; a corrected file replaces its own rows.
2. **quality_gate**: the raw tables must be complete before anything is built from them.
3. **transform**: the dbt project but for streams and segments: staging, star schema, snapshot, mart, each
   with its tests. More rejected rows than the limit stop it before the facts change; `staging.quarantine`
   has them, with reasons.
4. **publish**: tells Airflow that `fct_sales` is new, which starts what depends on it.

A scheduled or manual run compares all facts with the files and replaces what differs. A backfill does so for
the days of its data interval only; dimensions and recency are built for now in either. Trigger it by hand to
choose another source folder, a range of days, an as-of date or a full refresh.
"""

from typing import Any

from airflow.sdk import Asset, dag, task

from include.ingestion.datasets import DATASETS
from include.orchestration.dag_defaults import dag_defaults, data_intervals
from include.orchestration.dbt_task_group import FULL_REFRESH, OF_OTHER_DAGS, RUN_VARS, dbt_task_group
from include.orchestration.parameters import day, location, switch
from include.settings import get_settings

SETTINGS = get_settings()


@dag(
    schedule=data_intervals(SETTINGS.pipeline_schedule),
    **dag_defaults(__doc__),
    tags=["batch", "dbt"],
    params={
        "source_location": location(
            SETTINGS.source_location, "Source", "Folder or object-store URI of the shop's files."
        ),
        "full_refresh": switch("Full refresh", "Rebuild incremental tables from the start."),
        "start_date": day("First day", "First day to compare; empty: all days."),
        "end_date": day("Day after the last", "Day after the last one to compare; empty: all days."),
        "as_of_date": day("As-of date", "Day that recency counts from; empty: the newest sale."),
    },
)
def marketing_pipeline() -> None:
    @task(pool="warehouse", map_index_template="{{ task.op_kwargs['dataset'] }}")
    def ingest(dataset: str, params: dict[str, Any]) -> None:
        from include.ingestion.loader import ingest
        from include.ingestion.locations import allowed_location
        from include.warehouse import get_warehouse

        ingest(get_warehouse(), allowed_location(params["source_location"]), dataset)

    @task(pool="warehouse")
    def quality_gate() -> dict[str, int]:
        from include.ingestion.quality import check_raw_tables
        from include.warehouse import get_warehouse

        return check_raw_tables(get_warehouse())

    @task(pool="warehouse", outlets=[Asset("fct_sales")])
    def publish(**context: Any) -> None:
        """Run only when every model is built and every test has passed."""
        from include.orchestration.parameters import expect_rows
        from include.warehouse import get_warehouse

        warehouse = get_warehouse(role="transformer")
        expect_rows(warehouse, "analytics.fct_sales", "transaction_date", context["params"])

    gate = quality_gate()
    transform = dbt_task_group(
        "transform", after=gate, exclude=OF_OTHER_DAGS, dbt_vars=RUN_VARS, full_refresh=FULL_REFRESH
    )
    ingest.expand(dataset=list(DATASETS)) >> gate
    transform >> publish()


marketing_pipeline()
