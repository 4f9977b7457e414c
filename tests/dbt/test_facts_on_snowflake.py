"""On Snowflake's side, too, a run ends where a full refresh does; a test double stands for the account."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from dbt.cli.main import dbtRunner

from include.ingestion.datasets import DATASETS
from include.ingestion.loader import ingest
from include.insights.snapshot import latest, write
from include.insights.tables import MARTS as MARTS_OF_INSIGHTS
from include.settings import get_settings
from include.warehouse.duckdb import DuckDBWarehouse
from include.warehouse.snowflake import SnowflakeWarehouse
from standalone.sample_data.generator import generate
from tests.dbt.changes import CHANGES
from tests.dbt.dbt_project import (
    QUICKLY,
    WITHOUT_TESTS,
    Outcome,
    Project,
    Rows,
    invoke,
    keep_some,
    make_project,
    only_data_and_words,
)
from tests.dbt.dbt_project import write as write_rows
from tests.dbt.test_facts import MARTS, OF_THE_BUILD, RANGES, differing, run
from tests.doubles.snowflake_double import start_double

CONTACTS = [
    dict(zip(("customer_id", "email", "phone", "consent"), row, strict=True))
    for row in (("12347", "ann@example.org", "+49 30 1", "Yes"), ("1", "nobody@example.org", "", "yes"))
]
EXAMPLES = int(os.environ.get("FACTS_EXAMPLES_SNOWFLAKE", "3"))


class ProjectOnSnowflake(Project):
    """The same project on the account that SNOWFLAKE_* names; its `warehouse` is not used."""

    def ingest(self) -> None:
        """Load what changed in the folder."""
        for dataset in DATASETS:
            ingest(SnowflakeWarehouse(), str(self.folder), dataset)

    def query(self, sql: str) -> Rows:
        """Return the rows of one statement."""
        with SnowflakeWarehouse().session() as session:
            return session.execute(sql)

    def dbt(self, *arguments: str, **variables: str) -> Outcome:
        """Run dbt in this process without parsing the project again."""
        options = ["--vars", json.dumps(variables)] if variables else []
        with contextlib.chdir(self.directory), only_data_and_words():
            return invoke(dbtRunner(manifest=self.manifest), [*QUICKLY, *arguments, *options])

    def marts(self) -> dict[str, Rows]:
        """Return the sorted rows of each mart, without what tells of the build."""
        found = {}
        for mart in MARTS:
            columns = self.query(
                "select lower(column_name) from information_schema.columns"
                f" where lower(table_schema) = 'analytics' and lower(table_name) = '{mart}' order by 1"
            )
            names = ", ".join(name for (name,) in columns if name not in OF_THE_BUILD)
            found[mart] = sorted(self.query(f"select {names} from analytics.{mart}"), key=str)
        return found


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProjectOnSnowflake]:
    """A shop with 25 customers, built on a double; each example goes on from where the last one ended."""
    place = tmp_path_factory.mktemp("facts_on_snowflake")
    generate(place / "everyone")
    with start_double() as double, pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("SNOWFLAKE_", "DBT_"))]:
            patch.delenv(name)
        for name, value in double.environment().items():
            patch.setenv(name, value)
        get_settings.cache_clear()
        made = make_project(place / "project")
        project = ProjectOnSnowflake(made.tree, made.folder, made.warehouse)
        keep_some(place / "everyone", project.folder, customers=25)
        write_rows(project.folder / "Customer_Contacts.csv", CONTACTS)
        project.ingest()
        with contextlib.chdir(project.directory):
            parsed = invoke(dbtRunner(), ["parse"])
        project = replace(project, manifest=parsed.raw.result)
        built = project.dbt("build", *WITHOUT_TESTS)
        assert built.success, built.output
        yield project
    get_settings.cache_clear()


@pytest.fixture(scope="module")
def on_duckdb(shop: ProjectOnSnowflake, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The same files, built on DuckDB before the examples change them."""
    made = make_project(tmp_path_factory.mktemp("the_same_on_duckdb"))
    shutil.copytree(shop.folder, made.folder)
    made.ingest()
    project = replace(made, manifest=made.dbt_as_typed("parse", "--target", "duckdb").raw.result)
    built = project.dbt("build", *WITHOUT_TESTS, "--target", "duckdb")
    assert built.success, built.output
    return project


def test_insights_are_those_of_duckdb(shop: ProjectOnSnowflake, on_duckdb: Project, tmp_path: Path) -> None:
    """Through the snapshots that are written of both, so that these have the same types, too."""
    snowflake, duckdb = str(tmp_path / "snowflake"), str(tmp_path / "duckdb")
    write(SnowflakeWarehouse("transformer"), snowflake)
    write(DuckDBWarehouse(on_duckdb.warehouse), duckdb)
    one, other = latest(snowflake), latest(duckdb)

    assert one.tables == other.tables
    assert {*MARTS_OF_INSIGHTS, "contacts"} < one.tables
    assert one.query("select * from contacts order by customer_id") == [
        {"customer_id": 12347, "email": "ann@example.org", "phone": "+49 30 1", "consent": True}
    ]
    for name in sorted(one.tables - {"node_health", "freshness"}):
        found, expected = one.table(name), other.table(name)
        assert found.columns == expected.columns, name
        if one.manifest.tables[name].rows:  # of an empty result the double does not know the types
            assert found.types == expected.types, name
        assert [rounded(row) for row in found.order("all").fetchall()] == [
            rounded(row) for row in expected.order("all").fetchall()
        ], name


def rounded(row: tuple[object, ...]) -> tuple[object, ...]:
    """The order of a floating-point sum is nobody's contract."""
    return tuple(round(value, 9) if isinstance(value, float) else value for value in row)


def test_insights_pass_their_tests(shop: ProjectOnSnowflake) -> None:
    tested = shop.dbt("test", "--select", "tag:insights,test_type:singular", "tag:insights,test_type:unit")

    assert len(tested.states) > 15
    assert tested.success, tested.output


def test_failing_rows_are_kept_until_the_test_passes(shop: ProjectOnSnowflake) -> None:
    test = "unique_dim_products_product_sku"
    tables = f"select count(*) from information_schema.tables where lower(table_name) = '{test}'"
    shop.query("insert into analytics.dim_products select * from analytics.dim_products limit 1")
    assert shop.dbt("test", "--select", test).states == {test: "fail"}
    assert shop.query(tables) == [(1,)]

    assert shop.dbt("run", "--select", "dim_products").success
    mended = shop.dbt("test", "--select", test)
    assert mended.states == {test: "pass"}, mended.output
    assert shop.query(tables) == [(0,)]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(EXAMPLES))
def test_an_incremental_run_ends_where_a_full_refresh_does(shop: ProjectOnSnowflake, seed: int) -> None:
    """FACTS_EXAMPLES_SNOWFLAKE=20 tries more."""
    random, before = Random(seed), shop.marts()
    for change in random.sample(CHANGES, 4):
        change(shop.folder, random)
    shop.ingest()
    if seed % 2:
        first, last = random.choice(RANGES)
        run(shop, start_date=first, end_date=last)
    run(shop)
    found = shop.marts()

    after = (f"int_sales_priced+,{model}" for model in ("int_sales_priced", *MARTS))
    refreshed = shop.dbt("run", "--full-refresh", "--select", *after, "int_customer_features")

    assert refreshed.success, refreshed.output
    assert found != before
    assert differing(found, shop.marts()) == {}
