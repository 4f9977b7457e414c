"""After an erasure no store knows the customer, and the product goes on without that customer."""

import csv
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from typer.testing import CliRunner, Result

from include.erase import app
from include.settings import get_settings
from ml.registry import Registry
from standalone.sample_data.generator import generate
from tests.dbt.dbt_project import WAREHOUSE, WITHOUT_TESTS, Project, keep_some, make_project, run_dbt
from tests.dbt.money import read

CUSTOMER = 12347
RULES = ("--vars", "max_rejected_share: 0.5")
NUMBER = re.compile(rf"(?<![0-9A-Za-z.])0*{CUSTOMER}(?![0-9A-Za-z])")


class Shop:
    """A built project whose every store knows the customer; all of it lies in LOCAL_DIR."""

    def __init__(self, folder: Path) -> None:
        generate(folder / "all")
        keep_some(folder / "all", folder / "local/data", customers=40)
        tree = make_project(folder / "tree")
        self.local = folder / "local"
        self.project = Project(tree.tree, self.local / "data", tree.warehouse)
        self.registry = Registry(self.local / "segments")
        self.seed = tree.directory / "seeds/customer_segments.csv"
        self._deliver_odd_rows()
        (self.local / "data/Customer_Contacts.csv").write_text(
            "customer_id,email,phone,consent\n"
            f"{CUSTOMER},{CUSTOMER}@example.org,+4930{CUSTOMER},yes\n{CUSTOMER},x@example.org,,maybe\n"
            "1,b@example.org,,yes\n"
        )
        self._write_segments()
        self.project.ingest()
        run_dbt(self.project, "build", *WITHOUT_TESTS, *RULES)
        self._keep_more_copies()

    def _deliver_odd_rows(self) -> None:
        """Rows that are rejected, or that write the number otherwise, are the customer's as well."""
        path = self.local / "data/Online_Sales.csv"
        lines = read(path)
        odd = [
            {**lines[0], "CustomerID": number} for number in (f"{CUSTOMER}?", f"no. {CUSTOMER}", "1.2347E4")
        ]
        with path.open("a", newline="") as file:
            csv.DictWriter(file, list(lines[0])).writerows(
                {**row, "Transaction_ID": str(900000 + n)} for n, row in enumerate(odd)
            )

    def _write_segments(self) -> None:
        ids = [row["CustomerID"] for row in read(self.local / "data/CustomersData.csv")]
        text = "customer_id,segment_id,segment_name\n" + "".join(f"{one},4,Loyal Customers\n" for one in ids)
        for _ in range(2):
            version = self.registry.new_version("0123abcd" * 8)
            files = {"segments.csv": text.encode(), "model.json": b"{}"}
            self.registry.write(
                version, files, fingerprint="f", decision="accepted", findings=(), dry_run=False
            )
            self.registry.promote(version)
        name, header = self.seed, self.seed.read_text().splitlines()[0].split(",")
        values = {"segment_id": "4", "segment_name": "Loyal Customers", "model_version": version}
        rows = [",".join({"customer_id": one, **values}.get(column, "") for column in header) for one in ids]
        name.write_text("\n".join([",".join(header), *rows]) + "\n")

    def _keep_more_copies(self) -> None:
        self.project.query(
            "insert into raw.dbt_run_results (node_id, status, message)"
            f" values ('a', 'fail', 'got 1 result for {CUSTOMER}'), ('b', 'pass', 'got 1{CUSTOMER} results')"
        )
        # As built while the customers file did not know the number.
        self.project.query(
            "update analytics.fct_sales set customer_id = -1"
            " where sales_line_id ="
            f" (select min(sales_line_id) from analytics.fct_sales where customer_id = {CUSTOMER})"
        )
        self.project.query("create schema if not exists test_failures")
        self.project.query(f"create table test_failures.seen as select {CUSTOMER} as from_field")
        for name, text in {
            "logs/task.log": f"rejected: customer {CUSTOMER}\nloaded 1{CUSTOMER} rows\n",
            "exports/audience.csv": f"Customer_ID,email\n{CUSTOMER},a@example.org\n12348,b@example.org\n",
        }.items():
            (self.local / name).parent.mkdir(exist_ok=True)
            (self.local / name).write_text(text)
        self.project.query("checkpoint")
        (self.local / "dbt-state").mkdir()
        shutil.copy(self.project.warehouse, self.local / "dbt-state" / WAREHOUSE)

    def holders(self) -> set[str]:
        """Return each column and file that holds the number, searching every one of them."""
        found = set()
        for path in [self.project.warehouse, *self.local.rglob("*.duckdb")]:
            found |= {f"{path.parent.name}: {column}" for column in self._columns(path)}
        for path in [self.seed, *self.local.rglob("*")]:
            if (
                path.is_file()
                and path.suffix != ".duckdb"
                and NUMBER.search(path.read_text(errors="replace"))
            ):
                found.add(str(path.relative_to(self.local.parent)))
        return found

    def _columns(self, path: Path) -> Iterator[str]:
        with duckdb.connect(str(path), read_only=True) as connection:
            columns = connection.execute(
                "select schema_name, table_name, column_name from duckdb_columns() where not internal"
            ).fetchall()
            for schema, table, column in columns:
                values = connection.execute(f'select distinct "{column}"::varchar from {schema}."{table}"')
                if any(value and NUMBER.search(value) for (value,) in values.fetchall()):
                    yield f"{schema}.{table}.{column}"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("shop"))


def erase(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Result:
    monkeypatch.setenv("LOCAL_DIR", str(shop.local))
    monkeypatch.setenv("DUCKDB_PATH", str(shop.project.warehouse))
    monkeypatch.setenv("SEGMENTS_SEED_FILE", str(shop.seed))
    monkeypatch.delenv("ML_REGISTRY", raising=False)
    get_settings.cache_clear()
    try:
        return CliRunner().invoke(app, ["--customer", str(CUSTOMER)])
    finally:
        get_settings.cache_clear()


def test_a_customer_is_erased_from_every_store(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    before = shop.holders()
    assert {"warehouse: raw.customer_contacts.email", "warehouse: staging.quarantine.raw_row"} <= before
    assert len(before) > 40  # the search finds: raw, quarantine, facts, snapshots, seed, registry, files
    others = {one.version: shop.registry.segments(one.version) for one in shop.registry.versions()}

    result = erase(shop, monkeypatch)

    assert result.exit_code == 0, result.output
    assert shop.holders() == set()
    for stays in ("Kafka: ", "free blocks", "Backups: ", "Sums: ", "The shop's own files: "):
        assert stays in result.output
    for version, segments in others.items():  # which checks the manifest's checksum as well
        left = shop.registry.segments(version)
        assert set(segments["customer_id"]) - set(left["customer_id"]) == {CUSTOMER}
    assert (shop.local / "exports/audience.csv").read_text() == "Customer_ID,email\n12348,b@example.org\n"
    assert f"loaded 1{CUSTOMER} rows" in (shop.local / "logs/task.log").read_text()
    assert shop.project.query("select count(*) from raw.customers") == [(39,)]
    assert shop.project.query("select customer_id, email from staging.stg_customer_contacts") == [
        (1, "b@example.org")
    ]

    # What is loaded again lacks the customer, every test holds, sums included; a repetition finds nothing.
    shop.project.ingest()
    run_dbt(shop.project, "build", "--exclude-resource-type", "unit_test", *RULES)
    assert shop.holders() == set()
    again = erase(shop, monkeypatch)
    assert again.exit_code == 0
    assert " from " not in again.output.partition("Kafka: ")[0]


def test_what_cannot_be_erased_safely_is_named(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    report = shop.local / "report.html"
    report.write_text(f"<td>{CUSTOMER}</td>")
    result = erase(shop, monkeypatch)
    report.unlink()
    assert result.exit_code == 1
    assert result.output.splitlines()[-1] == str(report)


def test_a_damaged_version_stops_the_erasure(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    first = shop.registry.versions()[0].version
    segments = Path(shop.registry.location(first)) / "segments.csv"
    whole = segments.read_text()
    segments.write_text(whole + "1,4,Loyal Customers\n")
    result = erase(shop, monkeypatch)
    segments.write_text(whole)
    assert result.exit_code == 1
    assert f"segments.csv of version {first} was changed after the training" in result.output
