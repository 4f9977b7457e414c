"""Page and report read snapshots: whole ones, without the warehouse, with nothing of an erased customer."""

import datetime as dt
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pytest

from include.erase import erase as erase_everywhere
from include.insights import snapshot
from include.insights.snapshot import NoSnapshotError, SnapshotError, erase, latest, prune, snapshots, write
from include.insights.tables import GATE_SCHEMA
from include.settings import Settings, get_settings
from include.storage import replace_file
from include.warehouse.duckdb import DuckDBWarehouse
from tests.object_store import ObjectStore, running_store

pytestmark = pytest.mark.slow  # files and processes: some seconds in all

CUSTOMER = 12347
SHOP = f"""
create schema analytics; create schema raw; create schema staging;
create table raw.ingestion_ledger as
    select 'online_sales' as dataset, true as is_generated, 'file:///files/Online_Sales.csv' as source_uri,
    timestamptz '2026-01-02 03:04:05+00' as loaded_at;
create table analytics.fct_orders as select date '2019-01-01' as order_date union all select '2019-12-31';
create table staging.int_customer_features as select date '2020-01-05' as as_of_date;
create table analytics.fct_purchase_occasions as
    select unnest([{CUSTOMER}, {CUSTOMER}, 15311]) as customer_id, date '2019-03-04' as occasion_date,
    unnest([1.25, 2.50, 4.00])::decimal(18, 2) as net_sales_amount;
create table analytics.fct_rfm_history as
    select unnest(range(date '2019-01-31', date '2019-12-31', interval '1 month'))::date as month_end,
    {CUSTOMER} as customer_id;
"""


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBWarehouse]:
    """A warehouse with some of the tables, and no registry."""
    folder = tmp_path_factory.mktemp("warehouse")
    made = DuckDBWarehouse(folder / "shop.duckdb")
    with made.session() as session:
        session.execute(SHOP)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ML_REGISTRY", str(folder / "registry"))
        patch.setenv("LOCAL_DIR", str(folder / "local"))
        patch.delenv("INSIGHTS_LOCATION", raising=False)
        get_settings.cache_clear()
        yield made
    get_settings.cache_clear()


@pytest.fixture(autouse=True)
def no_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking it takes a process, and seconds."""
    monkeypatch.setattr(snapshot, "model_gate", GATE_SCHEMA.empty_table)


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    with running_store() as running:
        yield running


@pytest.fixture(params=["folder", "object store"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return str(tmp_path / "insights")
    running: ObjectStore = request.getfixturevalue("store")
    return running.uri(tmp_path.name)


def test_a_snapshot_holds_what_the_warehouse_held(warehouse: DuckDBWarehouse, location: str) -> None:
    with pytest.raises(
        NoSnapshotError, match=r"^There is no snapshot in .*: run the DAG marketing_insights\.$"
    ):
        latest(location)

    written = write(warehouse, location)
    read = latest(location)

    assert read.manifest == written
    assert (read.first_day, read.last_day, read.as_of_date) == (
        dt.date(2019, 1, 1),
        dt.date(2019, 12, 31),
        dt.date(2020, 1, 5),
    )
    assert (written.sources, written.simulated_prices) == ("generated", False)
    assert read.tables == {"fct_purchase_occasions", "fct_rfm_history", "model_gate"}
    assert written.tables["fct_purchase_occasions"].rows == 3
    assert sorted(read.table("fct_purchase_occasions").fetchall())[0][0] == CUSTOMER
    months = read.query("select distinct month_end from fct_rfm_history order by 1")
    assert [row["month_end"].month for row in months] == [10, 11, 12]
    assert read.query(
        "select sum(net_sales_amount) as total from fct_purchase_occasions where customer_id = ?", [15311]
    )
    with pytest.raises(SnapshotError, match="has no table segments"):
        read.table("segments")


def test_contacts_are_of_customers_and_addresses_of_those_who_consented(tmp_path: Path) -> None:
    """A shop without the file has an empty table: then there are no contacts, and exports say so."""
    shop, location = DuckDBWarehouse(tmp_path / "shop.duckdb"), str(tmp_path / "insights")
    with shop.session() as session:
        session.execute(SHOP)
        session.execute(
            "create or replace table staging.int_customer_features as"
            f" select unnest([{CUSTOMER}, 15311]) as customer_id, date '2020-01-05' as as_of_date;"
            " create table staging.stg_customer_contacts"
            " (customer_id bigint, email varchar, phone varchar, consent boolean)"
        )
    assert "contacts" not in write(shop, location).tables

    with shop.session() as session:
        session.execute(
            "insert into staging.stg_customer_contacts values"
            f" ({CUSTOMER}, 'ann@example.org', '+4930', true),"
            " (15311, 'bob@example.org', '0012', false), (1, 'nobody@example.org', null, true)"
        )
    write(shop, location)
    assert latest(location).query("select * from contacts order by 1") == [
        {"customer_id": CUSTOMER, "email": "ann@example.org", "phone": "+4930", "consent": True},
        {"customer_id": 15311, "email": None, "phone": None, "consent": False},
    ]

    erase(CUSTOMER, location)
    assert latest(location).query("select customer_id from contacts") == [{"customer_id": 15311}]


def test_a_reader_keeps_its_snapshot_until_it_asks_again(warehouse: DuckDBWarehouse, location: str) -> None:
    first = write(warehouse, location)
    reader = latest(location)
    assert latest(location) is reader

    second = write(warehouse, location)

    assert reader.table("fct_purchase_occasions").fetchall()
    assert latest(location).manifest.snapshot_id == second.snapshot_id
    assert snapshots(location) == [first.snapshot_id, second.snapshot_id]
    before = snapshot.snapshot(first.snapshot_id, location)
    assert before.manifest == first
    for wrong in ("20200101T000000000000Z", "../elsewhere", ""):
        with pytest.raises(NoSnapshotError):
            snapshot.snapshot(wrong, location)


def test_an_interrupted_write_changes_nothing_for_readers(
    warehouse: DuckDBWarehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    location = str(tmp_path)
    whole = write(warehouse, location)

    def stop_at_manifest(path: Path, content: bytes) -> None:
        if path.name == snapshot.MANIFEST:
            raise KeyboardInterrupt
        replace_file(path, content)

    monkeypatch.setattr(snapshot, "replace_file", stop_at_manifest)
    with pytest.raises(KeyboardInterrupt):
        write(warehouse, location)
    monkeypatch.setattr(snapshot, "replace_file", replace_file)

    assert latest(location).manifest == whole
    assert snapshots(location) == [whole.snapshot_id]
    newest = write(warehouse, location)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {whole.snapshot_id, newest.snapshot_id, snapshot.POINTER}


def test_old_snapshots_go_but_never_the_one_in_use(warehouse: DuckDBWarehouse, location: str) -> None:
    written = [write(warehouse, location).snapshot_id for _ in range(4)]

    assert prune(location, 2) == written[:2]

    assert snapshots(location) == written[2:]
    assert latest(location).table("fct_purchase_occasions").fetchall()


def test_an_erased_customer_is_in_no_snapshot(warehouse: DuckDBWarehouse, location: str) -> None:
    for _ in range(2):
        write(warehouse, location)
    before = latest(location)
    before.table("fct_purchase_occasions")

    found = erase(CUSTOMER, location)

    assert set(found) == set(snapshots(location))
    assert set(found.values()) == {2 + 3}
    for name in snapshots(location):
        one = snapshot.snapshot(name, location)
        assert one.query(
            f"select count(*) as n from fct_purchase_occasions where customer_id = {CUSTOMER}"
        ) == [{"n": 0}]
        assert one.manifest.tables["fct_purchase_occasions"].rows == 1
        assert one.manifest.tables["fct_rfm_history"].rows == 0
    assert latest(location) is not before
    assert latest(location).table("fct_purchase_occasions").fetchall() == [
        (15311, dt.date(2019, 3, 4), 4),
    ]
    assert erase(CUSTOMER, location) == {}


@pytest.mark.slow
def test_the_products_own_erasure_reaches_snapshots(
    warehouse: DuckDBWarehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INSIGHTS_LOCATION", str(tmp_path / "insights"))
    get_settings.cache_clear()
    written = write(warehouse)

    found = {one.store: one.count for one in erase_everywhere(99_999, Settings(duckdb_path=warehouse.path))}
    assert found == {}
    stores = erase_everywhere(CUSTOMER, Settings(duckdb_path=warehouse.path, local_dir=tmp_path / "local"))
    assert next(iter(stores)).store == f"insights {written.snapshot_id}"
    get_settings.cache_clear()


def test_queries_read_the_snapshot_alone(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    write(warehouse, str(tmp_path / "insights"))
    read = latest(str(tmp_path / "insights"))
    for sql in (
        f"from read_csv('{secret}')",
        f"copy (select 1) to '{secret}'",
        "set enable_external_access = true",
    ):
        with pytest.raises(duckdb.Error):
            read.query(sql)


def test_many_threads_read_one_snapshot(warehouse: DuckDBWarehouse, location: str) -> None:
    write(warehouse, location)

    def total(_: int) -> int:
        return int(latest(location).query("select count(*) as n from fct_purchase_occasions")[0]["n"])

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(total, range(40))) == {3}


def test_an_empty_warehouse_and_a_damaged_pointer_are_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match="holds no orders: run the DAG marketing_pipeline first"):
        write(DuckDBWarehouse(tmp_path / "empty.duckdb"), str(tmp_path / "insights"))
    assert not (tmp_path / "insights").exists()
    (tmp_path / "insights").mkdir()
    (tmp_path / "insights" / snapshot.POINTER).write_text(json.dumps({"snapshot_id": "1"}))
    with pytest.raises(SnapshotError, match=r"latest\.json is no manifest of a snapshot"):
        latest(str(tmp_path / "insights"))
