"""
### Marketing insights

What a marketer opens in the morning. Starts when sales and segments are both new, and by hand.

1. **insights**: the dbt models tagged `insights`, each with its tests: every figure of page and report.
2. **snapshot**: writes them to `INSIGHTS_LOCATION`, as Parquet and one small JSON file, in one step. Page and
   report read only that: DuckDB lets in one process at a time, so nobody else may hold the warehouse.
3. **report**: renders the page's figures as one HTML file beside the snapshots, and sends them if asked.
4. **audiences**: writes the files and sends the changes that the settings ask for.

By hand, give a period for the report, whether to send it, and whether audiences are only shown.
"""

from typing import Any

from airflow.sdk import Asset, dag, task

from include.orchestration.dag_defaults import dag_defaults
from include.orchestration.dbt_task_group import dbt_task_group
from include.orchestration.parameters import day, switch


@dag(
    schedule=[Asset("fct_sales"), Asset("fct_customer_segments")],
    **dag_defaults(__doc__),
    tags=["insights", "dbt"],
    params={
        "from_day": day("First day", "First day of the report; empty with a last day: 30 days up to it."),
        "to_day": day("Last day", "Last day of the report, itself in it; empty: the newest in the data."),
        "send": switch("Send", "Send the report by e-mail."),
        "dry_run": switch("Dry run", "Show the changes of the audiences, and deliver none."),
    },
)
def marketing_insights() -> None:
    @task(pool="warehouse", max_active_tis_per_dag=1)
    def snapshot() -> dict[str, Any]:
        from include.insights.snapshot import write
        from include.warehouse import get_warehouse

        written = write(get_warehouse(role="transformer"))
        return {"snapshot_id": written.snapshot_id, "as_of_date": written.as_of_date}

    @task
    def report(**context: Any) -> dict[str, Any]:
        from include.insights.report import deliver

        return deliver("", context["params"])

    @task
    def audiences(**context: Any) -> list[dict[str, Any]]:
        from include.insights.audiences import export

        return export("", {"dry_run": context["params"]["dry_run"]})

    dbt_task_group("insights", select=["tag:insights"]) >> snapshot() >> [report(), audiences()]


marketing_insights()
