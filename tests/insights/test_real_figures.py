"""What the insights say of the real shop, figure by figure: checks that were counted apart from the marts.

And the answers of docs/questions.md, each as `make query` prints it.
"""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from include.query import Format, ask
from include.warehouse.duckdb import DuckDBWarehouse
from ml.segmentation import SegmentModel, model_table
from streaming_workers.events import PRICES_TOPIC
from tests.dbt.dbt_project import WITHOUT_TESTS, Project, Rows, make_project, run_dbt
from tests.insights.questions import QUESTIONS, Question
from tests.ml.customers import real_customers

FIGURES = {
    "cells of cohorts": ("select count(*) from analytics.fct_cohort_retention", [(78,)]),
    "January's cohort": (
        "select cohort_customer_count, buyer_count from analytics.fct_cohort_retention"
        " where cohort_month = '2019-01-01' and months_since <= 1 order by months_since",
        [(215, 215), (215, 13)],
    ),
    "value in 90 days": (
        "select sum(customer_count), round(sum(net_sales_amount) / sum(customer_count), 2)"
        " from analytics.fct_customer_value where horizon_days = 90",
        [(1211, 1937.86)],
    ),
    "occasions and their median gap": (
        "select count(*), median(days_since_previous), sum(net_sales_amount)"
        " from analytics.fct_purchase_occasions",
        [(3208, 32, Decimal("4360009.81"))],
    ),
    "used coupons": (
        "select sum(line_count), round(100 * sum(discount_amount) / sum(gross_sales_amount), 2)"
        " from analytics.fct_coupon_effect where coupon_status = 'Used'",
        [(17904, 19.91)],
    ),
    "two cameras in a basket": (
        "select basket_count, round(lift, 3) from analytics.fct_basket_affinity"
        " where item_a like 'Nest Cam Indoor%USA' and item_b like 'Nest Cam Outdoor%USA'",
        [(693, 1.616)],
    ),
    "overdue customers": ("select count(*) from analytics.fct_at_risk_customers where is_overdue", [(319,)]),
    "the year's MER": (
        "select period_grain, round(sum(net_sales_amount) / sum(total_spend_amount), 4),"
        " count(*) - count_if(is_complete) from analytics.fct_marketing_efficiency group by 1 order by 1",
        [("month", 2.5151, 0), ("week", 2.5151, 2)],
    ),
    "the largest category": (
        "select category, sum(net_sales_amount) from analytics.fct_category_monthly"
        " group by 1 order by 2 desc limit 1",
        [("Nest-USA", Decimal("2383642.03"))],
    ),
    "SKUs that make 80 %": (
        "select count(*) from analytics.fct_product_abc where level = 'sku' and abc_class = 'A'",
        [(52,)],
    ),
    "revenue of first days": (
        "select sum(first_day_net_sales_amount), sum(first_day_net_sales_amount + later_net_sales_amount)"
        " from analytics.fct_new_vs_returning",
        [(Decimal("2070025.88"), Decimal("4360009.81"))],
    ),
    "the best weekday": (
        "select period_name, round(seasonal_index, 4) from analytics.fct_seasonality"
        " where period_kind = 'weekday' order by seasonal_index desc limit 1",
        [("Friday", 1.3048)],
    ),
    "delivery": (
        "select sum(transaction_count), sum(delivery_amount) from analytics.fct_delivery_burden",
        [(25061, Decimal("220522.14"))],
    ),
    "kinds of places": (
        "select location_kind, count(*), sum(customer_count) from analytics.fct_location_performance"
        " group by 1 order by 1",
        [("city", 2, 531), ("state", 3, 937)],
    ),
    "the growing base": (
        "select min(customers), max(customers), count(*) from"
        " (select count(*) as customers from analytics.fct_rfm_history group by month_end)",
        [(215, 1468, 12)],
    ),
    "the best tenth of customers": (
        "select customer_count, round(revenue_share, 4) from analytics.fct_customer_concentration"
        " where decile = 1",
        [(147, 0.4253)],
    ),
}


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory, real_data: Path) -> Project:
    """The real shop with its segments, and one price."""
    project = make_project(tmp_path_factory.mktemp("real"))
    project.folder.symlink_to(real_data)
    _seed_segments(project, real_data)
    project.ingest()
    run_dbt(project, "build", *WITHOUT_TESTS)
    _store_a_price(project)
    return project


def _seed_segments(project: Project, real_data: Path) -> None:
    """Write the seeds as a reseed does, of the model that a first training makes."""
    frame = real_customers(real_data).frame
    model = SegmentModel().fit(frame)
    segments = model.labels_.rename("segment_id").to_frame()
    segments["segment_name"] = segments["segment_id"].map(model.segments_)
    seeds = project.directory / "seeds"
    segments.assign(model_version="first").to_csv(seeds / "customer_segments.csv")
    model_table(model, "first", "in_use").to_csv(seeds / "segment_model.csv", index=False)


def _store_a_price(project: Project) -> None:
    at = datetime(2026, 11, 27, 9, 0, tzinfo=UTC)
    payload = (
        '{"event_id": "bitcoin:1", "coin": "bitcoin", "price_usd": 66891.29, "change_24h_pct": -1.24,'
        f' "observed_at": "{at.isoformat()}", "fetched_at": "{at.isoformat()}"}}'
    )
    with DuckDBWarehouse(project.warehouse).session() as session:
        session.execute(
            "insert into streaming.bitcoin_prices_raw values (?, ?, ?, ?, 0, 0, ?, ?)",
            ["bitcoin:1", at, payload, PRICES_TOPIC, at, at],
        )


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.title)
def test_the_manual_has_the_answers(real: Project, question: Question) -> None:
    with DuckDBWarehouse(real.warehouse).reading() as session:
        assert ask(session, question.sql).written(Format.TABLE) == question.answer


@pytest.mark.parametrize("figure", FIGURES)
def test_figures_are_those_that_were_checked(real: Project, figure: str) -> None:
    sql, expected = FIGURES[figure]
    found: Rows = real.query(sql)
    assert found == expected
