"""The dbt project on a real DuckDB file: what it builds, what its tests find, how it follows the files."""

import datetime as dt
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from include.orchestration.dbt_errors import DbtNodesFailedError, raise_what_failed
from include.orchestration.dbt_nodes import tell_the_nodes
from include.settings import PROJECT_ROOT
from tests.dbt.dbt_project import (
    WAREHOUSE,
    WITHOUT_TESTS,
    Project,
    Rows,
    environment,
    keep_some,
    make_shop,
    run_dbt,
    write,
)
from tests.dbt.money import Amounts, Row, expected_lines, read

AMOUNTS = "gross_sales_amount, discount_amount, net_sales_amount, gst_amount, delivery_amount, total_amount"
CONTACTS = ("base_customer_contacts+", "raw_rows_match_the_ledger", "contacts_are_staged_or_quarantined")
LIMIT_TEST = "rejected_share_within_limit_base_online_sales_"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The generated shop in full size, loaded and built once as a person would, with no variable set."""
    return make_shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def manifest(shop: Project) -> Any:
    """The parsed project."""
    return shop.dbt_as_typed("parse").raw.result


@pytest.fixture(scope="module")
def small_shop(shop: Project, manifest: Any, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A shop with 80 customers, built; tests work on copies of it."""
    folder = tmp_path_factory.mktemp("small_shop")
    keep_some(shop.folder, folder / "data", customers=80)
    project = Project(shop.tree, folder / "data", folder / WAREHOUSE, manifest)
    project.ingest()
    assert project.dbt("build", *WITHOUT_TESTS).success
    return project


@pytest.fixture
def copy(small_shop: Project, tmp_path: Path) -> Project:
    """A copy of the small shop to change at will."""
    return small_shop.copy(tmp_path)


def found_lines(project: Project) -> dict[tuple[int, str], Amounts]:
    rows = project.query(f"select transaction_id, product_sku, {AMOUNTS} from analytics.fct_sales")
    return {(transaction, sku): Amounts(*amounts) for transaction, sku, *amounts in rows}


def facts(project: Project, where: str = "true") -> Rows:
    """Return fct_sales but for what tells of the build."""
    columns = "* exclude (processed_at, source_loaded_at)"
    return project.query(f"select {columns} from analytics.fct_sales where {where} order by 1")


class TestWhole:
    """The project as a whole."""

    def test_it_has_the_tests_it_promises(self, manifest: Any) -> None:
        kinds = [node.resource_type.value for node in manifest.nodes.values()]

        assert kinds.count("test") >= 60
        assert len(manifest.unit_tests) >= 10

    def test_everything_is_described_down_to_the_column(self, shop: Project, manifest: Any) -> None:
        documented = [*manifest.nodes.values(), *manifest.sources.values()]
        tables = [
            node for node in documented if node.resource_type.value in {"model", "seed", "snapshot", "source"}
        ]
        real: dict[tuple[str, str], set[str]] = {}
        for schema, table, column in shop.query(
            "select table_schema, table_name, column_name from information_schema.columns"
        ):
            real.setdefault((schema, table), set()).add(column)
        for node in tables:
            undescribed = [name for name, column in node.columns.items() if not column.description]
            assert node.description, node.unique_id
            assert not undescribed, node.unique_id
            columns = real[node.schema, node.identifier]
            assert columns - {"dbt_change_type"} == set(node.columns), node.unique_id

    def test_every_mart_has_an_enforced_contract(self, manifest: Any) -> None:
        marts = [
            node
            for node in manifest.nodes.values()
            if node.schema == "analytics" and node.resource_type == "model"
        ]

        assert {"dim_customer", "dim_products", "dim_datetime", "fct_sales", "fct_orders"} <= {
            n.name for n in marts
        }
        assert [node.name for node in marts if not node.config.contract.enforced] == []


class TestMoney:
    """The amounts, against an independent computation from the files."""

    def test_every_line_of_the_made_up_shop_is_right_to_the_cent(self, shop: Project) -> None:
        assert found_lines(shop) == expected_lines(shop.folder)

    def test_every_line_of_the_real_shop_is_right_to_the_cent(
        self, shop: Project, manifest: Any, real_data: Path, tmp_path: Path
    ) -> None:
        real = Project(shop.tree, real_data, tmp_path / WAREHOUSE, manifest)
        real.ingest()

        assert real.dbt("build", "--exclude-resource-type", "unit_test").success

        assert found_lines(real) == expected_lines(real_data)
        charges = {
            row["Transaction_ID"]: Decimal(row["Delivery_Charges"])
            for row in read(real_data / "Online_Sales.csv")
        }
        [counts] = real.query(
            "select count(*), count(distinct (transaction_id, customer_id)), count(distinct transaction_id),"
            " count(distinct customer_id), sum(delivery_amount) from analytics.fct_sales"
        )
        assert counts == (52_924, 26_631, 25_061, 1_468, sum(charges.values()))
        assert round(real.metric("blended_return_on_spend"), 4) == Decimal("2.5151")
        assert real.query(
            "select dataset, count(*), max(reject_rule) from staging.quarantine group by 1"
        ) == [
            ("discount_coupon", 12, "product_category has no tax rate")  # of Notebooks, which nobody bought
        ]


class TestCommands:
    """The commands that people type in include/dbt, with no variable set."""

    @pytest.mark.parametrize(
        ("arguments", "printed"),
        [
            ("debug", "All checks passed!"),
            ("deps", "No packages"),
            ("run --select tag:staging", "Completed successfully"),
            ("test --select test_type:generic", "Completed successfully"),
            ("test --select test_type:singular --store-failures", "Completed successfully"),
            ("show --select fct_orders --limit 2", "| order_id"),
            ("source freshness", "PASS freshness of raw.customers"),
        ],
    )
    def test_it_works(self, shop: Project, arguments: str, printed: str) -> None:
        outcome = shop.dbt_as_typed(*arguments.split())

        assert outcome.success, outcome.output
        assert printed in outcome.output
        assert not outcome.failed

    def test_the_metrics_are_valid_for_metricflow(self, shop: Project) -> None:
        with environment(DO_NOT_TRACK="1", PYTHONPATH=str(PROJECT_ROOT)):
            done = subprocess.run(
                [Path(sys.executable).with_name("mf"), "validate-configs", "--skip-dw"],
                cwd=shop.directory,
                capture_output=True,
                text=True,
                check=False,
            )

        assert done.returncode == 0, done.stdout + done.stderr
        assert "(ERRORS: 0, FUTURE_ERRORS: 0, WARNINGS: 0)" in done.stdout + done.stderr

    def test_every_model_has_a_key_that_is_tested_and_its_descriptions_reach_the_warehouse(
        self, shop: Project
    ) -> None:
        nodes = json.loads((shop.directory / "target" / "manifest.json").read_text(encoding="utf-8"))["nodes"]
        keyed = {
            node["attached_node"]
            for node in nodes.values()
            if (node.get("test_metadata") or {}).get("name") in {"unique", "unique_combination"}
        }
        built = {
            name: node
            for name, node in nodes.items()
            if node["resource_type"] in {"model", "seed", "snapshot"}
        }

        assert {name for name in built if name not in keyed} == set()
        comments = {
            f"{schema}.{table}": comment
            for schema, table, comment in shop.query(
                "select schema_name, table_name, comment from duckdb_tables()"
                " union all select schema_name, view_name, comment from duckdb_views()"
            )
        }
        for node in built.values():
            relation = f"{node['schema']}.{node['alias']}"
            assert (comments[relation] or "").strip() == node["description"].strip(), relation

    def test_get_row_count_prints_the_true_count(self, shop: Project) -> None:
        [(count,)] = shop.query("select count(*) from analytics.fct_sales")

        outcome = shop.dbt_as_typed("run-operation", "get_row_count", "--args", "{table_name: fct_sales}")

        assert outcome.success
        assert f"fct_sales: {count} rows" in outcome.output

    def test_get_row_count_names_a_table_that_is_not_there(self, shop: Project) -> None:
        outcome = shop.dbt_as_typed("run-operation", "get_row_count", "--args", "{table_name: fct_slaes}")

        assert not outcome.success
        assert "No model, seed or snapshot is named 'fct_slaes'." in outcome.output

    def test_query_prints_a_table(self, shop: Project) -> None:
        sql = "select gender, count(*) as customers from {{ ref('dim_customer') }} group by 1 order by 1"
        expected = shop.query("select gender, count(*) from analytics.dim_customer group by 1 order by 1")

        output = run_dbt(shop, "run-operation", "query", "--args", json.dumps({"sql": sql}))

        cells = [line.strip("| ").split("|") for line in output.splitlines() if line.startswith("|")]
        printed = [tuple(cell.strip() for cell in row) for row in cells]
        assert printed[0] == ("gender", "customers")
        assert printed[2:] == [(gender, str(customers)) for gender, customers in expected]

    def test_docs_generate_writes_a_catalog_of_every_table(self, shop: Project, manifest: Any) -> None:
        outcome = shop.dbt_as_typed("docs", "generate")

        assert outcome.success, outcome.output
        catalog = json.loads((shop.directory / "target" / "catalog.json").read_text())
        models = {
            key for key, node in manifest.nodes.items() if node.resource_type in {"model", "seed", "snapshot"}
        }
        assert set(catalog["nodes"]) == models
        assert set(catalog["sources"]) == set(manifest.sources)
        assert (shop.directory / "target" / "index.html").stat().st_size > 100_000


ONE_LINE = "sales_line_id = (select min(sales_line_id) from analytics.fct_sales)"


@pytest.mark.parametrize(
    ("mutation", "test"),
    [
        (
            f"update analytics.fct_sales set net_sales_amount = net_sales_amount + 0.01 where {ONE_LINE}",
            "sales_line_amounts_add_up",
        ),
        (
            f"update analytics.fct_sales set gross_sales_amount = gross_sales_amount + 0.01 where {ONE_LINE}",
            "sales_reconcile_with_staging",
        ),
        (
            f"insert into analytics.fct_sales select * from analytics.fct_sales where {ONE_LINE}",
            "unique_fct_sales_sales_line_id",
        ),
        (
            "delete from raw.online_sales where _source_row = 7",
            "raw_rows_match_the_ledger",
        ),
        (
            "delete from staging.base_online_sales where source_row = 7",
            "raw_rows_are_staged_or_quarantined",
        ),
        (
            "delete from analytics.dim_customer where customer_id = 12347",
            "relationships_fct_sales_customer_id__customer_id__ref_dim_customer_",
        ),
        ("delete from analytics.dim_datetime where date_day = '2019-06-01'", "days_are_without_gap"),
        (
            "update analytics.fct_orders set gst_amount = gst_amount + 0.01 where customer_id = 12347",
            "orders_reconcile_with_sales",
        ),
    ],
    ids=lambda value: "broken" if " " in value else value,
)
def test_a_broken_warehouse_fails_the_test_that_guards_it(copy: Project, mutation: str, test: str) -> None:
    copy.query(mutation)

    outcome = copy.dbt("test", "--select", test)

    assert outcome.states == {test: "fail"}


def test_failing_rows_are_kept_until_the_test_passes(copy: Project) -> None:
    test = "unique_fct_sales_sales_line_id"
    tables = f"select count(*) from duckdb_tables() where table_name = '{test}'"
    assert copy.query(tables) == [(0,)], "it passed in the build"
    copy.query(f"insert into analytics.fct_sales select * from analytics.fct_sales where {ONE_LINE}")

    assert copy.dbt("test", "--select", test).states == {test: "fail"}
    (line,) = copy.query("select min(sales_line_id) from analytics.fct_sales")
    assert copy.query(f"select unique_field, n_records from test_failures.{test}") == [(*line, 2)]

    copy.query("delete from analytics.fct_sales where rowid = (select max(rowid) from analytics.fct_sales)")
    assert copy.dbt("test", "--select", test).states == {test: "pass"}
    assert copy.query(tables) == [(0,)]


def test_a_null_where_a_mart_has_none_stops_the_model_and_the_old_table_stays(copy: Project) -> None:
    products = "select * from analytics.dim_products order by all"
    before = copy.query(products)
    copy.query("update staging.base_online_sales set product_sku = null where source_row = 7")

    outcome = copy.dbt("run", "--select", "dim_products")

    assert outcome.states == {"dim_products": "error"}
    assert "NOT NULL constraint failed" in outcome.output
    assert copy.query(products) == before


def with_bad_lines(rows: list[Row], share: float = 0.0) -> Iterator[Row]:
    """Yield the lines, this share of them with a price in words, five bad ones and a repeated one."""
    for number, row in enumerate(rows):
        yield row | {"Avg_Price": "ten"} if number < share * len(rows) else row
    new = rows[-1] | {"Transaction_ID": "999999"}
    yield new | {"Transaction_Date": "2/30/2019"}
    yield new | {"Quantity": "-3"}
    yield new | {"CustomerID": "one"}
    yield new | {"Product_Category": "Spaceships"}
    yield new | {"Avg_Price": "twelve"}
    yield rows[0]


def test_contacts_are_staged_where_the_shop_delivers_them(copy: Project) -> None:
    """Without the file there are none; somebody who is no customer is warned of, a bad consent refused."""
    assert copy.query("select * from staging.stg_customer_contacts") == []
    rows = ("12347", "+49 30 1", "Y"), ("1", "0012", ""), ("2", "0012", "maybe")
    write(
        copy.folder / "Customer_Contacts.csv",
        [{"customer_id": one, "email": "", "phone": phone, "consent": yes} for one, phone, yes in rows],
    )
    copy.ingest()

    tested = copy.dbt("build", "--select", *CONTACTS, "--exclude", "test_type:unit", max_rejected_share="0.5")

    assert tested.success, tested.output
    assert {name for name, state in tested.states.items() if state == "warn"} == {
        "relationships_stg_customer_contacts_customer_id__customer_id__ref_stg_customers_"
    }
    contacts = "select customer_id, email, phone, consent from staging.stg_customer_contacts order by 1"
    assert copy.query(contacts) == [(1, None, "0012", False), (12347, None, "+49 30 1", True)]
    refused = "select source_file, source_row, reject_reason from staging.quarantine where dataset = "
    assert copy.query(f"{refused}'customer_contacts'") == [
        ("Customer_Contacts.csv", 3, 'consent "maybe" is none of yes, y, true, 1, no, n, false, 0 and empty')
    ]


def test_bad_rows_go_to_quarantine_and_too_many_stop_the_build_before_the_facts(copy: Project) -> None:
    before = facts(copy)
    lines = read(copy.folder / "Online_Sales.csv")
    good = len(lines)
    sold_on = dt.datetime.strptime(lines[-1]["Transaction_Date"], "%m/%d/%Y").date()  # noqa: DTZ007
    first = lines[0]["Transaction_ID"]
    twice = f'transaction_id "{first}" has the same line before: it is the same line as row 1'
    copy.edit("Online_Sales.csv", with_bad_lines)

    outcome = copy.dbt("build", "--exclude-resource-type", "unit_test")

    assert outcome.success, outcome.failed
    quarantine = "select source_row, reject_reason from staging.quarantine"
    assert copy.query(f"{quarantine} where source_file = 'Online_Sales.csv' order by 1") == [
        (good + 1, 'transaction_date "2/30/2019" is not a possible date'),
        (good + 2, 'quantity "-3" is not a positive whole number'),
        (good + 3, 'customerid "one" is not a whole number'),
        (good + 4, f'product_category "Spaceships" has no tax rate: on {sold_on}'),
        (good + 5, 'avg_price "twelve" is not an amount up to max_price = 10000000'),
        (good + 6, twice),
    ]
    assert copy.query("select count(*) from raw.online_sales") == [(good + 6,)]
    assert copy.query("select count(*) from staging.stg_online_sales") == [(good,)]
    assert facts(copy) == before

    kept = facts(copy)
    copy.edit("Online_Sales.csv", lambda rows: with_bad_lines(rows[:-6], share=0.06))
    outcome = copy.dbt("build", "--exclude-resource-type", "unit_test")

    assert not outcome.success
    assert outcome.failed == {LIMIT_TEST}
    assert outcome.states["fct_sales"] == "skipped"
    assert facts(copy) == kept
    outcome.raw.result.write(str(copy.directory / "target" / "run_results.json"))  # as dbt does by itself
    with pytest.raises(
        DbtNodesFailedError, match=rf"^{LIMIT_TEST}: [\d,]+ of [\d,]+ rows of .* are rejected"
    ) as told:
        raise_what_failed(str(copy.directory), context={})
    assert told.value.alert_kind == "quarantine_share"
    assert "macro" not in str(told.value)
    pushed: dict[str, dict[str, str]] = {}
    context: Any = {"ti": SimpleNamespace(xcom_push=lambda key, value: pushed.update({key: value}))}
    tell_the_nodes(str(copy.directory), context)
    assert [name for name, one in pushed.items() if one["failed"]] == ["base_online_sales"]
    assert pushed["base_online_sales"]["failed"].startswith(f"{LIMIT_TEST}: ")
    assert pushed["fct_sales"]["status"] == "skipped"
    assert pushed["base_customers"]["compiled_sql"].startswith("with")


def late_line(project: Project) -> None:
    last = read(project.folder / "Online_Sales.csv")[-1]
    late = last | {"Transaction_ID": "999999", "Transaction_Date": "5/5/2019"}
    write(project.folder / "Online_Sales_2.csv", [late])
    project.ingest()


def corrected_line(project: Project) -> None:
    project.edit(
        "Online_Sales.csv", lambda rows: [rows[0] | {"Quantity": "77", "Avg_Price": "0.335"}, *rows[1:]]
    )


def removed_lines(project: Project) -> None:
    project.edit("Online_Sales.csv", lambda rows: rows[5:-5])


def corrected_coupons(project: Project) -> None:
    project.edit("Discount_Coupon.csv", lambda rows: [row | {"Discount_pct": "35"} for row in rows])


def corrected_tax(project: Project) -> None:
    project.edit("Tax_amount.csv", lambda rows: [row | {"GST": "0.075"} for row in rows])


@pytest.mark.parametrize(
    "change",
    [late_line, corrected_line, removed_lines, corrected_coupons, corrected_tax],
    ids=lambda f: f.__name__,
)
def test_the_next_build_sees_a(copy: Project, change: Callable[[Project], None]) -> None:
    before = found_lines(copy)
    change(copy)

    assert copy.dbt("build", "--select", "+fct_sales", *WITHOUT_TESTS).success

    assert found_lines(copy) == expected_lines(copy.folder)
    assert found_lines(copy) != before


def test_a_week_built_day_by_day_has_the_rows_of_one_full_build(copy: Project) -> None:
    expected = facts(copy, "transaction_date >= '2019-08-05' and transaction_date < '2019-08-12'")
    copy.query("drop table analytics.fct_sales")

    for day in range(5, 12):
        span = {"start_date": f"2019-08-{day:02}", "end_date": f"2019-08-{day + 1:02}"}
        assert copy.dbt("run", "--select", "fct_sales", **span).success

    assert len(expected) > 7
    assert facts(copy) == expected


def test_a_second_build_of_the_same_files_changes_no_row(copy: Project) -> None:
    tables = copy.query(
        "select table_schema || '.' || table_name from information_schema.tables"
        " where table_schema in ('analytics', 'staging', 'snapshots')"
        " and table_name != 'fct_dbt_node_health'"  # it counts the builds
    )

    def content() -> dict[str, Rows]:
        return {name: copy.query(f"select * from {name} order by all") for (name,) in tables}

    before = content()

    assert copy.dbt("build", *WITHOUT_TESTS).success

    assert content() == before


def test_the_snapshot_keeps_every_version_of_a_customer(copy: Project) -> None:
    def versions(customer: int) -> Rows:
        return copy.query(
            "select location, dbt_valid_to is null, dbt_is_deleted from snapshots.customer_snapshot"
            f" where customer_id = {customer} order by dbt_valid_from, dbt_valid_to"
        )

    customers = read(copy.folder / "CustomersData.csv")
    moves, leaves = customers[0], customers[1]
    gone = int(leaves["CustomerID"])
    assert moves["CustomerID"] == "12347"

    copy.edit("CustomersData.csv", lambda rows: [rows[0] | {"Location": "Reykjavik"}, *rows[2:]])
    assert copy.dbt("snapshot").success

    assert versions(12347) == [(moves["Location"], False, "False"), ("Reykjavik", True, "False")]
    assert versions(gone) == [(leaves["Location"], False, "False"), (leaves["Location"], True, "True")]

    copy.edit("CustomersData.csv", lambda rows: [*rows, leaves])
    assert copy.dbt("snapshot").success

    assert versions(gone)[2:] == [(leaves["Location"], True, "False")]
    assert [is_current for _, is_current, _ in versions(gone)] == [False, False, True]
    assert len(versions(12347)) == 2
