"""
### Streaming marts

Every hour the messages that the consumer has stored become prices and news by the hour.

1. **freshness_and_lag_gate**: events must have arrived lately, and the consumer must keep up with Kafka: a
   mart of half an hour would look like a quiet market. It fails with one sentence for each finding.
2. **streaming**: the dbt models tagged `streaming`, each with its tests: one row per event, then an hour's
   prices (open, high, low, close, volatility) and news (articles, sources, crypto mentions).
3. **publish**: tells Airflow that `fct_bitcoin_prices_hourly` is new, which starts what depends on it.

A scheduled or manual run stores what is new and builds the hours that changed again, however late their
events came. A backfill rebuilds its hours beside that, as does a run that is triggered with a range. For the
newest price do not wait for this DAG: `streaming.bitcoin_prices_live` and `streaming.news_live` are seconds
behind the feeds.
"""

from typing import Any

from airflow.sdk import Asset, dag, task

from include.orchestration.dag_defaults import dag_defaults, data_intervals
from include.orchestration.dbt_task_group import STREAM_VARS, dbt_task_group
from include.orchestration.parameters import moment
from include.settings import get_settings


@dag(
    schedule=data_intervals(get_settings().streaming_schedule),
    **dag_defaults(__doc__),
    tags=["streaming", "dbt"],
    params={
        "start_date": moment(
            "First hour", "Start of the hours to rebuild, with its zone; empty: what changed."
        ),
        "end_date": moment("Hour after the last", "End of the hours to rebuild, itself not among them."),
    },
)
def streaming_marts() -> None:
    @task(pool="warehouse")
    def freshness_and_lag_gate() -> dict[str, int]:
        from include.settings import get_settings
        from include.warehouse import get_warehouse
        from streaming_workers.gate import check_streams
        from streaming_workers.settings import KafkaSettings

        return check_streams(get_warehouse(role="transformer"), KafkaSettings(), get_settings())

    @task(pool="warehouse", outlets=[Asset("fct_bitcoin_prices_hourly")])
    def publish(**context: Any) -> None:
        """Run only when every model is built and every test has passed."""
        from include.orchestration.parameters import STREAMED, expect_rows
        from include.warehouse import get_warehouse

        expect_rows(get_warehouse(role="transformer"), STREAMED, "event_timestamp", context["params"])

    gate = freshness_and_lag_gate()
    dbt_task_group("streaming", after=gate, select=["tag:streaming"], dbt_vars=STREAM_VARS) >> publish()


streaming_marts()
