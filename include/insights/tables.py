"""What goes into a snapshot: each table's query, in SQL that both warehouses read.

Figures are marts, so a query here only selects and joins.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import pyarrow as pa

from include.settings import PROJECT_ROOT


class RegistryUnreadableError(Exception):
    """The registry of the segment model does not answer; the message says why."""


@dataclass(frozen=True)
class Source:
    """A query, and the relations without which its table is left out; an `optional` one also without rows."""

    sql: str
    needs: tuple[str, ...]
    optional: bool = False


def _mart(name: str) -> Source:
    return Source(f"select * from analytics.{name}", (f"analytics.{name}",))  # noqa: S608 (our names)


MARTS = (
    "fct_cohort_retention",
    "fct_customer_value",
    "fct_purchase_occasions",
    "fct_coupon_effect",
    "fct_basket_affinity",
    "fct_at_risk_customers",
    "fct_marketing_efficiency",
    "fct_insights_daily",
    "fct_category_monthly",
    "fct_product_abc",
    "fct_customer_concentration",
    "fct_new_vs_returning",
    "fct_seasonality",
    "fct_delivery_burden",
    "fct_location_performance",
)

_RFM = """
select * from analytics.fct_rfm_history
where month_end in (
    select month_end from (select distinct month_end from analytics.fct_rfm_history) as months
    order by month_end desc limit 3
)
"""

_CUSTOMERS = """
select
    features.customer_id,
    customers.location,
    customers.gender,
    segments.segment_id,
    segments.segment_name,
    features.lifecycle_stage,
    features.purchase_days,
    features.monetary as net_sales_amount,
    features.first_order_date as first_purchase_date,
    features.last_order_date as last_purchase_date,
    features.recency_days as days_since_last_purchase,
    outlook.purchase_probability,
    outlook.expected_purchases,
    outlook.next_best_action
from staging.int_customer_features as features
inner join analytics.dim_customer as customers on features.customer_id = customers.customer_id
left join analytics.fct_customer_segments as segments on features.customer_id = segments.customer_id
left join analytics.fct_customer_outlook as outlook on features.customer_id = outlook.customer_id
"""

# Only an order line has a price; rows that only repeat others are no loss.
_QUARANTINE = """
select
    dataset,
    reject_rule as reason,
    is_repeated,
    row_count,
    case when dataset = 'online_sales' then cast(gross_amount as decimal(18, 2)) end as value_at_list
from staging.rejected_rows_by_rule
"""

_LOADED = """
select dataset, max(loaded_at) as loaded_at from raw.ingestion_ledger group by dataset
"""
_FRESHNESS = f"""
select
    loads.dataset,
    case
        when loads.dataset = 'online_sales' then (select max(transaction_date) from analytics.fct_sales)
        when loads.dataset = 'marketing_spend' then (select max(spend_date) from staging.stg_marketing_spend)
    end as newest_day,
    cast(null as timestamp with time zone) as newest_time,
    cast(loads.loaded_at as timestamp with time zone) as loaded_at
from ({_LOADED}) as loads
union all
select 'bitcoin_prices', null, max(event_timestamp), max(ingested_at)
from streaming.bitcoin_prices_live having count(*) > 0
union all
select 'news_events', null, max(event_timestamp), max(ingested_at)
from streaming.news_live having count(*) > 0
"""  # noqa: S608 (our names)


# Nobody's address lies in a file who is no customer or has not consented.
_CONTACTS = """
select
    customer_id,
    case when consent then email end as email,
    case when consent then phone end as phone,
    consent
from staging.stg_customer_contacts
where customer_id in (select customer_id from staging.int_customer_features)
"""


def _newest_week(mart: str) -> Source:
    return Source(
        f"select * from analytics.{mart} where event_hour >="  # noqa: S608 (our names)
        f" (select max(event_hour) - interval '7 days' from analytics.{mart})",
        (f"analytics.{mart}",),
    )


TABLES = {
    **{name: _mart(name) for name in MARTS},
    "fct_rfm_history": Source(_RFM, ("analytics.fct_rfm_history",)),
    "segments": Source("select * from analytics.fct_segment_summary", ("analytics.fct_segment_summary",)),
    "segment_migrations": _mart("fct_segment_migrations"),
    "customers": Source(
        _CUSTOMERS,
        (
            "staging.int_customer_features",
            "analytics.dim_customer",
            "analytics.fct_customer_segments",
            "analytics.fct_customer_outlook",
        ),
    ),
    "quarantine_summary": Source(_QUARANTINE, ("staging.rejected_rows_by_rule",)),
    "node_health": _mart("fct_dbt_node_health"),
    "freshness": Source(
        _FRESHNESS,
        (
            "raw.ingestion_ledger",
            "analytics.fct_sales",
            "streaming.bitcoin_prices_live",
            "streaming.news_live",
        ),
    ),
    "bitcoin_hourly": _newest_week("fct_bitcoin_prices_hourly"),
    "news_hourly": _newest_week("fct_news_hourly"),
    "news_latest": Source(
        "select headline, source_name, url, event_timestamp as published_at from streaming.news_live"
        " order by event_timestamp desc, event_id limit 20",
        ("streaming.news_live",),
    ),
    "contacts": Source(
        _CONTACTS, ("staging.stg_customer_contacts", "staging.int_customer_features"), optional=True
    ),
}

GATE_SCHEMA = pa.schema(
    {
        "version": pa.string(),
        "is_in_use": pa.bool_(),
        "fitted_at": pa.timestamp("us", tz="UTC"),
        "as_of_date": pa.date32(),
        "passed": pa.bool_(),
        "failed_checks": pa.string(),
        "overridden": pa.string(),
    }
)


def model_gate() -> pa.Table:
    """Return what the gate said of the segment model in use and of the newest versions, the newest first.

    The registry's own command tells it: nothing here may import ml. Checks are names, with commas between
    them. Raises RegistryUnreadableError.
    """
    command = [sys.executable, "-m", "ml.registry", "gates"]
    done = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise RegistryUnreadableError(f"The registry cannot be read: {(done.stdout + done.stderr).strip()}")
    rows = [_gate(one) for one in json.loads(done.stdout)]
    return pa.Table.from_pylist(rows, schema=GATE_SCHEMA)


def _gate(one: dict[str, Any]) -> dict[str, Any]:
    as_of = one["as_of_date"]
    return {
        **one,
        "fitted_at": datetime.fromisoformat(one["fitted_at"]),
        "as_of_date": date.fromisoformat(as_of) if as_of else None,
        "failed_checks": ", ".join(one["failed_checks"]),
        "overridden": ", ".join(one["overridden"]),
    }
