"""An erasure on Snowflake's double, with the bootstrap's roles: no table knows the customer."""

import os
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from snowflake import connector
from typer.testing import CliRunner

from include.erase import app
from include.ingestion.datasets import DATASETS
from include.ingestion.loader import ingest
from include.settings import get_settings
from include.warehouse.snowflake import SnowflakeWarehouse
from standalone.sample_data.generator import generate
from tests.dbt.dbt_project import keep_some
from tests.doubles.snowflake_double import BOOTSTRAP, SnowflakeDouble, start_double

CUSTOMER = 12347
NUMBER = re.compile(rf"(?<![0-9A-Za-z.])0*{CUSTOMER}(?![0-9A-Za-z])")
# Of each kind what dbt builds: numbers, text, rejected rows, messages.
BUILT = [
    "create transient table analytics.dim_customer as"
    " select customerid::number as customer_id, location from raw.customers",
    "create table snapshots.customer_snapshot as select customerid::number as customer_id from raw.customers",
    "create transient table staging.quarantine as select 'x' as dataset, 'no. 12347,M' as raw_row",
    "create table test_failures.relationships as select 12347 as from_field",
    "create table raw.dbt_run_results as select 'a' as node_id, 'got 1 result for 12347' as message"
    " union all select 'b', 'got 112347 results'",
]


@pytest.fixture
def double(tmp_path: Path) -> Iterator[SnowflakeDouble]:
    """A double with a bootstrapped account, loaded files and tables as dbt builds them; no store but it."""
    with start_double() as running, pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("SNOWFLAKE_")]:
            patch.delenv(name)
        for name, value in running.environment("marketing_airflow").items():
            patch.setenv(name, value)
        patch.setenv("LOCAL_DIR", str(tmp_path / "local"))
        patch.setenv("ML_REGISTRY", str(tmp_path / "segments"))
        patch.setenv("SEGMENTS_SEED_FILE", str(tmp_path / "seed.csv"))
        get_settings.cache_clear()
        keys = {f"{user}_public_key": "MIIB" for user in ("airflow", "streaming", "reporting")}
        running.run_script(BOOTSTRAP, **keys)
        generate(tmp_path / "all")
        keep_some(tmp_path / "all", tmp_path / "data", customers=20)
        (tmp_path / "data/Customer_Contacts.csv").write_text(
            f"customer_id,email,phone,consent\n{CUSTOMER},{CUSTOMER}@example.org,,yes\n"
        )
        for dataset in DATASETS:
            ingest(SnowflakeWarehouse("loader"), str(tmp_path / "data"), dataset)
        with SnowflakeWarehouse("transformer").session() as session:
            for statement in BUILT:
                session.execute(statement)
        yield running
    get_settings.cache_clear()


def all_values(double: SnowflakeDouble) -> dict[str, set[str]]:
    """Return the values of every column of every table that name the customer, by schema.table.column."""
    found = {}
    with closing(connector.connect(**double.connect_arguments(role="ACCOUNTADMIN"))) as connection:

        def query(sql: str) -> list[Any]:
            return list(connection.cursor().execute(sql).fetchall())

        for schema, table, column in query(
            "select table_schema, table_name, column_name"
            " from marketing_insights_db.information_schema.columns"
            " where table_schema <> 'INFORMATION_SCHEMA'"
        ):
            values = query(f"select distinct {column}::varchar from marketing_insights_db.{schema}.{table}")
            if named := {value for (value,) in values if value and NUMBER.search(value)}:
                found[f"{schema}.{table}.{column}".lower()] = named
    return found


def test_no_table_of_the_account_knows_an_erased_customer(double: SnowflakeDouble) -> None:
    before = all_values(double)
    assert {
        "raw.customers.customerid",
        "raw.online_sales.customerid",
        "raw.customer_contacts.customer_id",
        "raw.customer_contacts.email",
        "analytics.dim_customer.customer_id",
        "snapshots.customer_snapshot.customer_id",
        "staging.quarantine.raw_row",
        "raw.dbt_run_results.message",
    } <= before.keys()

    done = CliRunner().invoke(app, ["--customer", str(CUSTOMER)])

    assert done.exit_code == 0, done.output
    assert all_values(double) == {}
    assert re.search(r"Snowflake: Time Travel until \d{4}-\d\d-\d\d, Fail-safe of permanent", done.output)
    with SnowflakeWarehouse("loader").session() as session:
        sql = (
            "select ledger.row_count, count(*) from raw.ingestion_ledger as ledger"
            " join raw.customers as customers on customers._load_id = ledger.load_id group by 1"
        )
        assert session.execute(sql) == [(19, 19)]
    with SnowflakeWarehouse("transformer").session() as session:
        messages = session.execute("select message from raw.dbt_run_results order by node_id")
    assert messages == [("[erased]",), ("got 112347 results",)]

    again = CliRunner().invoke(app, ["--customer", str(CUSTOMER)])
    assert again.exit_code == 0, again.output
    assert " from raw." not in again.output
