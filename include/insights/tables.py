"""What goes into a snapshot: each table's query, in SQL that both warehouses read.

Figures are marts, so a query here only selects and joins.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import pyarrow as pa

from include.settings import get_settings
from include.storage import open_folder

GATES = 5  # newest versions of the model that are shown


@dataclass(frozen=True)
class Source:
    """A query, and the relations without which its table is left out."""

    sql: str
    needs: tuple[str, ...]


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
        "select customer_id, email, phone, consent from staging.stg_customer_contacts",
        ("staging.stg_customer_contacts",),
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
    """Return the version of the segment model in use and the newest others, the newest first.

    Read from the registry's files, whose layout ml/registry.py gives: nothing here may import ml. Checks are
    names with commas between them. A version whose manifest is damaged is left out.
    """
    location = os.environ.get("ML_REGISTRY", "")
    root = open_folder(location) if location else get_settings().local_dir / "segments"
    current = _json(root / "current.json")
    versions = root / "versions"
    names = sorted((one.name for one in versions.iterdir()), reverse=True) if versions.exists() else []
    shown = dict.fromkeys([name for name in names if (versions / name / "version.json").exists()][:GATES])
    if in_use := current.get("version"):
        shown[in_use] = None
    return pa.Table.from_pylist(list(_gates(versions, shown, current)), schema=GATE_SCHEMA)


def _gates(versions: Any, names: Any, current: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for name in sorted(names, reverse=True):
        manifest, parameters = (
            _json(versions / name / "version.json"),
            _json(versions / name / "parameters.json"),
        )
        is_in_use = name == current.get("version")
        if manifest:
            as_of = parameters.get("as_of_date")
            yield {
                "version": name,
                "is_in_use": is_in_use,
                "fitted_at": datetime.fromisoformat(manifest["created_at"]),
                "as_of_date": date.fromisoformat(as_of) if as_of else None,
                "passed": manifest["decision"] == "accepted",
                "failed_checks": ", ".join(manifest.get("failed", ())),
                "overridden": ", ".join(current.get("override", ())) if is_in_use else "",
            }


def _json(path: Any) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError):
        return {}
