"""A small made-up snapshot, by the contract of include/insights/snapshot.py, in a second and without dbt.

The shop: 300 customers, a year of days. `write_snapshot` takes tables to replace, so that a test can say what
it is about. test_contract.py compares the columns with those of the snapshot that the DAG writes.
"""

import json
import math
import random
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Rows = list[dict[str, Any]]
FIRST, LAST = date(2019, 1, 1), date(2019, 12, 31)
DAYS = [FIRST + timedelta(days=n) for n in range(365)]
MONTHS = [date(2019, month, 1) for month in range(1, 13)]
WRITTEN = datetime(2026, 1, 5, 6, 30, tzinfo=UTC)
SEGMENTS = ["Big Spenders", "At-Risk (Lapsing)", "Occasional Shoppers", "Champions (VIPs)", "Loyal Customers"]
STAGES = ["One-Time", "New", "Active Repeat", "Lapsing", "Lapsed"]
PLACES = [("Chicago", "city"), ("California", "state"), ("New York", "state"), ("Washington DC", "other")]
CATEGORIES = ["Apparel", "Bags", "Drinkware", "Nest-USA", "Office"]
PRODUCTS = [f"{category} {kind}" for category in CATEGORIES for kind in ("classic", "premium", "mini")]
ADVICE = "Send a coupon for the next order by e-mail"


def money(value: float | Decimal) -> Decimal:
    return Decimal(value).quantize(Decimal("0.01"))


@cache
def occasions() -> Rows:
    """Return who bought when: more towards the end of the year and on Fridays."""
    draw = random.Random(7)
    rows = []
    for customer in range(1, 301):
        days = sorted(draw.sample(DAYS, draw.choice([1, 1, 1, 2, 3, 4, 6])))
        days = sorted(
            {day + timedelta(days=(4 - day.weekday()) % 7 if draw.random() < 0.2 else 0) for day in days}
        )
        before = None
        for number, day in enumerate((day for day in days if day <= LAST), 1):
            rows.append(
                {
                    "purchase_occasion_id": f"{customer}-{day}",
                    "customer_id": customer,
                    "occasion_date": day,
                    "purchase_day_number": number,
                    "days_since_previous": (day - before).days if before else None,
                    "order_count": 1 + (customer + day.day) % 4,
                    "net_sales_amount": money(
                        draw.lognormvariate(5.4, 0.7) * (1 + day.timetuple().tm_yday / 700)
                    ),
                }
            )
            before = day
    return rows


def _daily() -> Rows:
    rows = []
    for number, day in enumerate(DAYS):
        here = [row for row in occasions() if row["occasion_date"] == day]
        net = sum((row["net_sales_amount"] for row in here), Decimal("0.00"))
        first = [row for row in here if row["purchase_day_number"] == 1]
        online, offline = money(90 + 25 * math.sin(number / 20)), money(140 + 10 * (number % 7))
        rows.append(
            {
                "date_day": day,
                "net_sales_amount": net,
                "gross_sales_amount": money(net * Decimal("1.07")),
                "discount_amount": money(net * Decimal("0.07")),
                "order_count": sum(row["order_count"] for row in here),
                "line_count": 2 * sum(row["order_count"] for row in here),
                "quantity": 5 * sum(row["order_count"] for row in here),
                "customer_count": len(here),
                "first_seen_customer_count": len(first),
                "first_day_net_sales_amount": sum(
                    (row["net_sales_amount"] for row in first), Decimal("0.00")
                ),
                "offline_spend_amount": offline,
                "online_spend_amount": online,
                "total_spend_amount": offline + online,
                "delivery_amount": money(5 * len(here)),
                "gst_amount": money(net * Decimal("0.11")),
                "total_amount": money(net * Decimal("1.11")),
            }
        )
    return rows


@cache
def _customers() -> Rows:
    rows = []
    for customer in sorted({row["customer_id"] for row in occasions()}):
        own = [row for row in occasions() if row["customer_id"] == customer]
        segment = customer % 5
        last = own[-1]["occasion_date"]
        rows.append(
            {
                "customer_id": customer,
                "location": PLACES[customer % 4][0],
                "gender": "FM"[customer % 2],
                "segment_id": segment,
                "segment_name": SEGMENTS[segment],
                "lifecycle_stage": STAGES[customer % 5] if len(own) > 1 else STAGES[customer % 2],
                "purchase_days": len(own),
                "net_sales_amount": sum(row["net_sales_amount"] for row in own),
                "first_purchase_date": own[0]["occasion_date"],
                "last_purchase_date": last,
                "days_since_last_purchase": (LAST - last).days,
                "purchase_probability": 1 / (1 + (LAST - last).days / 60),
                "expected_purchases": 0.8,
                "next_best_action": ADVICE,
            }
        )
    return rows


def _at_risk() -> Rows:
    rows = []
    for one in _customers():
        gaps = sorted(
            row["days_since_previous"]
            for row in occasions()
            if row["customer_id"] == one["customer_id"] and row["days_since_previous"]
        )
        gap = float(gaps[len(gaps) // 2]) if gaps else None
        silence = one["days_since_last_purchase"] / gap if gap else None
        rows.append(
            {
                **{key: one[key] for key in ("customer_id", "segment_id", "segment_name", "lifecycle_stage")},
                "as_of_date": LAST,
                "last_purchase_date": one["last_purchase_date"],
                "days_since_last_purchase": one["days_since_last_purchase"],
                "median_gap_days": gap,
                "silence_ratio": silence,
                "is_overdue": silence > 2 if silence is not None else None,
                "net_sales_last_365_days": one["net_sales_amount"],
                "purchase_probability": one["purchase_probability"],
                "next_best_action": ADVICE,
            }
        )
    return rows


def _cohorts() -> Rows:
    first = {row["customer_id"]: row["first_purchase_date"].replace(day=1) for row in _customers()}
    rows = []
    for place, month in enumerate(MONTHS):
        base = [customer for customer, own in first.items() if own == month]
        so_far = Decimal("0.00")
        for age in range(12 - place if base else 0):
            now = MONTHS[place + age]
            bought = [
                r
                for r in occasions()
                if r["customer_id"] in base and r["occasion_date"].replace(day=1) == now
            ]
            so_far += sum((row["net_sales_amount"] for row in bought), Decimal("0.00"))
            buyers = len({row["customer_id"] for row in bought})
            rows.append(
                {
                    "cohort_month": month,
                    "months_since": age,
                    "cohort_customer_count": len(base),
                    "buyer_count": buyers,
                    "buyer_share": buyers / len(base),
                    "cumulative_net_sales_amount": so_far,
                    "cumulative_net_sales_per_customer": money(so_far / len(base)),
                }
            )
    return rows


def _efficiency() -> Rows:
    rows = []
    for grain in ("week", "month"):
        starts: dict[date, Rows] = {}
        for day in _daily():
            one = day["date_day"]
            start = one.replace(day=1) if grain == "month" else one - timedelta(days=one.weekday())
            starts.setdefault(start, []).append(day)
        for start, days in starts.items():
            total = {key: sum(day[key] for day in days) for key in days[0] if key != "date_day"}
            rows.append(
                {
                    "period_grain": grain,
                    "period_start": start,
                    "is_complete": grain == "month" or len(days) == 7,
                    "day_count": len(days),
                    **{
                        key: total[key]
                        for key in (
                            "offline_spend_amount",
                            "online_spend_amount",
                            "total_spend_amount",
                            "net_sales_amount",
                        )
                    },
                    "marketing_efficiency_ratio": float(
                        total["net_sales_amount"] / total["total_spend_amount"]
                    ),
                    "first_seen_customer_count": total["first_seen_customer_count"],
                    "spend_per_first_seen_customer": money(
                        total["total_spend_amount"] / total["first_seen_customer_count"]
                    )
                    if total["first_seen_customer_count"]
                    else None,
                }
            )
    return rows


def _categories() -> Rows:
    rows = []
    for number, category in enumerate(CATEGORIES):
        before: Decimal | None = None
        for place, month in enumerate(MONTHS):
            net = money(4000 + 900 * number + 600 * math.sin(place + number))
            moved: Any = net - before if before is not None else None
            price: Any = money(moved * Decimal("0.2")) if moved is not None else None
            mix: Any = money(moved * Decimal("0.1")) if moved is not None else None
            rows.append(
                {
                    "category_monthly_id": f"{category}-{month}",
                    "month": month,
                    "category": category,
                    "quantity": 100 + 10 * place,
                    "net_sales_amount": net,
                    "net_sales_before": before,
                    "price_effect_amount": price,
                    "volume_effect_amount": moved - price - mix if moved is not None else None,
                    "mix_effect_amount": mix,
                    "state": "continuing" if place else "new",
                }
            )
            before = net
    return rows


def _coupons() -> Rows:
    return [
        {
            "coupon_effect_id": f"{month}-{category}-{status}",
            "month": month,
            "category": category,
            "coupon_status": status,
            "line_count": 40 - 5 * place,
            "quantity": 90 - 8 * place,
            "gross_sales_amount": money(2000 + 150 * number),
            "discount_amount": money((2000 + 150 * number) * 0.2) if status == "Used" else money(0),
            "net_sales_amount": money((2000 + 150 * number) * (0.8 if status == "Used" else 1)),
            "effective_discount_rate": 0.2 if status == "Used" else 0.0,
            "units_per_line": 2.3,
            "compared_quantity": 51 if status != "Clicked" else 50,
            "expected_quantity": 50.0,
            "units_against_clicked": 1.02 if status != "Clicked" else 1.0,
        }
        for month in MONTHS
        for number, category in enumerate(CATEGORIES)
        for place, status in enumerate(("Clicked", "Not Used", "Used"))
    ]


def _products(level: str, items: Iterable[str]) -> Rows:
    shares = [0.5**place for place, _ in enumerate(items, 1)]
    rows, so_far = [], 0.0
    for rank, (item, part) in enumerate(zip(items, shares, strict=True), 1):
        own = part / sum(shares)
        so_far += own
        rows.append(
            {
                "product_abc_id": f"{level}-{rank}",
                "level": level,
                "item": item,
                "category": item.split()[0],
                "quantity": 1000 // rank,
                "net_sales_amount": money(300_000 * own),
                "revenue_rank": rank,
                "revenue_share": own,
                "cumulative_share": min(so_far, 1.0),
                "abc_class": "A" if so_far - own < 0.8 else "B" if so_far - own < 0.95 else "C",
            }
        )
    return rows


def _concentration() -> Rows:
    best = sorted((row["net_sales_amount"] for row in _customers()), reverse=True)
    whole, size, so_far, rows = sum(best), math.ceil(len(best) / 10), 0.0, []
    for decile in range(10):
        own = best[decile * size : (decile + 1) * size]
        so_far += float(sum(own) / whole)
        rows.append(
            {
                "decile": decile + 1,
                "customer_count": len(own),
                "net_sales_amount": sum(own, Decimal("0.00")),
                "revenue_share": float(sum(own) / whole),
                "cumulative_share": so_far,
            }
        )
    return rows


def _new_and_returning() -> Rows:
    rows = []
    for month in MONTHS:
        here = [row for row in occasions() if row["occasion_date"].replace(day=1) == month]
        first = [row for row in here if row["purchase_day_number"] == 1]
        later = [row for row in here if row["purchase_day_number"] > 1]
        rows.append(
            {
                "month": month,
                "first_day_net_sales_amount": sum(
                    (row["net_sales_amount"] for row in first), Decimal("0.00")
                ),
                "later_net_sales_amount": sum((row["net_sales_amount"] for row in later), Decimal("0.00")),
                "first_day_customer_count": len(first),
                "returning_customer_count": len({row["customer_id"] for row in later}),
                "customer_count": len({row["customer_id"] for row in here}),
            }
        )
    return rows


def _seasons() -> Rows:
    daily = {row["date_day"]: float(row["net_sales_amount"]) for row in _daily()}
    overall = sum(daily.values()) / len(daily)
    rows = []
    for kind, of, count in (("weekday", lambda d: d.isoweekday(), 7), ("month", lambda d: d.month, 12)):
        for number in range(1, count + 1):
            days = [day for day in DAYS if of(day) == number]
            mean = sum(daily[day] for day in days) / len(days)
            rows.append(
                {
                    "period_kind": kind,
                    "period_number": number,
                    "period_name": f"{days[0]:%A}" if kind == "weekday" else f"{days[0]:%B}",
                    "day_count": len(days),
                    "mean_daily_net_sales_amount": money(mean),
                    "seasonal_index": mean / overall,
                }
            )
    return rows


def _segments() -> Rows:
    rows = []
    for segment, name in enumerate(SEGMENTS):
        own = [row for row in _customers() if row["segment_id"] == segment]
        net = sum(row["net_sales_amount"] for row in own)
        rows.append(
            {
                "segment_id": segment,
                "segment_name": name,
                "customer_count": len(own),
                "net_sales_amount": net,
                "net_sales_per_customer": money(net / len(own)),
                "expected_purchases": 0.8,
                "purchase_probability_mean": sum(row["purchase_probability"] for row in own) / len(own),
                "next_best_action": ADVICE,
            }
        )
    return rows


def _places() -> Rows:
    rows = []
    for location, kind in PLACES:
        own = sorted(row["net_sales_amount"] for row in _customers() if row["location"] == location)
        rows.append(
            {
                "location": location,
                "location_kind": kind,
                "customer_count": len(own),
                "net_sales_amount": sum(own),
                "median_net_sales_per_customer": own[len(own) // 2],
                "order_count": 3 * len(own),
            }
        )
    return rows


def _bitcoin() -> Rows:
    start = datetime(2026, 1, 4, 7, tzinfo=UTC)
    return [
        {
            "coin": "bitcoin",
            "event_hour": start + timedelta(hours=hour),
            "open_price_usd": Decimal(60_000 + 120 * hour),
            "high_price_usd": Decimal(60_200 + 120 * hour),
            "low_price_usd": Decimal(59_900 + 120 * hour),
            "close_price_usd": Decimal(60_100 + 120 * hour + 300 * (hour % 5)),
            "change_pct": Decimal("0.1667"),
            "last_observed_at": start + timedelta(hours=hour, minutes=59),
        }
        for hour in range(24)
    ]


def _node(name: str, **flags: Any) -> dict[str, Any]:
    return {
        "node_name": name,
        "resource_type": "test",
        "run_count": 30,
        "failed_count": 0,
        "has_failed_last": False,
        "is_flaky": False,
        "is_slower_than_usual": False,
        "last_run_at": WRITTEN,
        **flags,
    }


TABLES: dict[str, Callable[[], Rows]] = {
    "fct_purchase_occasions": occasions,
    "fct_insights_daily": _daily,
    "customers": _customers,
    "segments": _segments,
    "fct_at_risk_customers": _at_risk,
    "fct_cohort_retention": _cohorts,
    "fct_customer_value": lambda: [
        {
            "cohort_month": month,
            "horizon_days": horizon,
            "customer_count": 25,
            "net_sales_amount": money(25 * (180 + horizon)),
            "net_sales_per_customer": money(180 + horizon),
        }
        for month in MONTHS
        for horizon in (30, 60, 90, 180, 270, 360)
        if (LAST - month).days >= horizon
    ],
    "fct_coupon_effect": _coupons,
    "fct_basket_affinity": lambda: [
        {
            "basket_affinity_id": f"{level}-{place}",
            "level": level,
            "item_a": a,
            "item_b": b,
            "basket_count": 120 - 10 * place,
            "item_a_count": 400,
            "item_b_count": 300,
            "support": 0.05,
            "confidence_a_to_b": 0.3,
            "confidence_b_to_a": 0.4,
            "lift": 2.4 - 0.2 * place,
        }
        for level, items in (("name", PRODUCTS), ("category", CATEGORIES))
        for place, (a, b) in enumerate(pairwise(items[:5]))
    ],
    "fct_marketing_efficiency": _efficiency,
    "fct_category_monthly": _categories,
    "fct_product_abc": lambda: [*_products("sku", PRODUCTS), *_products("name", CATEGORIES)],
    "fct_customer_concentration": _concentration,
    "fct_new_vs_returning": _new_and_returning,
    "fct_seasonality": _seasons,
    "fct_delivery_burden": lambda: [
        {
            "basket_class": name,
            "transaction_count": 400 - 90 * place,
            "net_sales_amount": money(30 * 4**place * (400 - 90 * place)),
            "delivery_amount": money(6 * (400 - 90 * place)),
            "delivery_share": 6 / (30 * 4**place),
        }
        for place, name in enumerate(("Small", "Medium", "Large", "Extra Large"))
    ],
    "fct_location_performance": _places,
    "fct_rfm_history": lambda: [
        {
            "rfm_history_id": f"{month}-{row['customer_id']}",
            "month_end": month,
            "customer_id": row["customer_id"],
            "recency_days": row["days_since_last_purchase"],
            "frequency": row["purchase_days"],
            "monetary": row["net_sales_amount"],
            "recency_score": 3,
            "frequency_score": 3,
            "monetary_score": 3,
            "rfm_score": 9,
            "previous_rfm_score": 9,
            "move": ("up", "same", "same", "down", "new")[row["customer_id"] % 5],
        }
        for month in (date(2019, 10, 31), date(2019, 11, 30), LAST)
        for row in _customers()
    ],
    "segment_migrations": lambda: [
        {
            "segment_migration_id": f"m{number}",
            "model_version": "20260104T030000000000Z-0a1b2c3d",
            "migrated_at": WRITTEN - timedelta(days=3),
            "move_cause": cause,
            "from_segment_id": None if origin is None else SEGMENTS.index(origin),
            "from_segment_name": origin,
            "to_segment_id": SEGMENTS.index(goal),
            "to_segment_name": goal,
            "customer_count": count,
            "customer_share": Decimal("0.01"),
        }
        for number, (cause, origin, goal, count) in enumerate(
            [
                ("behaviour", "Champions (VIPs)", "Loyal Customers", 9),
                ("behaviour", "Champions (VIPs)", "At-Risk (Lapsing)", 4),
                ("behaviour", "Loyal Customers", "Champions (VIPs)", 2),
                ("first segment", None, "Occasional Shoppers", 30),
            ]
        )
    ],
    "quarantine_summary": lambda: [
        {
            "dataset": "online_sales",
            "reason": "quantity is no number",
            "is_repeated": False,
            "row_count": 12,
            "value_at_list": money(840),
        },
        {
            "dataset": "customers",
            "reason": "the row is repeated",
            "is_repeated": True,
            "row_count": 2,
            "value_at_list": None,
        },
    ],
    "node_health": lambda: [_node(f"passes_{number}") for number in range(40)],
    "model_gate": lambda: [
        {
            "version": "20260104T030000000000Z-0a1b2c3d",
            "is_in_use": True,
            "fitted_at": WRITTEN - timedelta(days=1),
            "as_of_date": LAST,
            "passed": True,
            "failed_checks": "",
            "overridden": "",
        }
    ],
    "freshness": lambda: [
        {"dataset": "online_sales", "newest_day": LAST, "newest_time": None, "loaded_at": WRITTEN},
        {"dataset": "bitcoin_prices", "newest_day": None, "newest_time": WRITTEN, "loaded_at": WRITTEN},
    ],
    "bitcoin_hourly": _bitcoin,
    "news_hourly": lambda: [{"event_hour": WRITTEN, "category": "business", "article_count": 3}],
    "news_latest": lambda: [
        {
            "headline": f"Shops expect a strong quarter, survey {number} says",
            "source_name": "Example News",
            "url": f"https://news.example.org/{number}",
            "published_at": WRITTEN - timedelta(hours=number),
        }
        for number in range(12)
    ],
}


@cache
def _table(name: str) -> pa.Table:
    return pa.Table.from_pylist(TABLES[name]())


def write_snapshot(folder: Path, snapshot_id: str = "20260105T063000Z", **tables: Rows | pa.Table) -> str:
    """Write a snapshot in a folder, with some of its tables replaced or added; return the folder's path."""
    place = folder / snapshot_id
    place.mkdir(parents=True)
    made = {name: _table(name) for name in TABLES if name not in tables}
    for name, rows in tables.items():
        made[name] = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(rows)
    for name, table in made.items():
        pq.write_table(table, place / f"{name}.parquet")
    pointer = {
        "snapshot_id": snapshot_id,
        "written_at": WRITTEN.isoformat(),
        "as_of_date": LAST.isoformat(),
        "first_day": FIRST.isoformat(),
        "last_day": LAST.isoformat(),
        "sources": "generated",
        "simulated_prices": True,
        "tables": {name: {"rows": table.num_rows, "file": f"{name}.parquet"} for name, table in made.items()},
    }
    for file in (place / "snapshot.json", folder / "latest.json"):
        file.write_text(json.dumps(pointer), encoding="utf-8")
    return str(folder)


def empty(name: str) -> pa.Table:
    """Return a table of the snapshot without rows."""
    return _table(name).slice(0, 0)
