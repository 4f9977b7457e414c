"""The product on Snowflake's side, from the bootstrap of an account to the segments, against a test double.

Everything runs with the roles and grants of the bootstrap: first as from the command line, by SNOWFLAKE_*,
then as in Airflow's tasks, by the connection. The figures must be those of DuckDB, line by line.
"""

import base64
import csv
import datetime as dt
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import ConsumerRecord, TopicPartition
from airflow.dag_processing.dagbag import DagBag
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    PublicFormat,
)
from snowflake import connector

from include.dbt_with_parent import DBT_WITH_PARENT
from include.ingestion.datasets import DATASETS
from include.ingestion.errors import IngestionError
from include.ingestion.loader import LoadResult, create_tables, ingest
from include.ingestion.origin import MARKER
from include.ingestion.quality import check_raw_tables
from include.settings import DBT_PROJECT_DIR, PROJECT_ROOT, Settings, get_settings
from include.warehouse import CsvFile, LoadError, Session, Warehouse, get_warehouse
from include.warehouse.duckdb import DuckDBWarehouse
from include.warehouse.snowflake import (
    NotConfiguredError,
    SnowflakeSession,
    SnowflakeWarehouse,
    connect_arguments,
    query_tag,
)
from ml import evaluation
from ml.features import load_features
from ml.gate import CHECKS
from ml.reseed import reseed
from streaming_workers.consumer.batches import Batch
from streaming_workers.consumer.sinks import get_sink
from streaming_workers.events import PRICES_TOPIC
from tests.dbt.dbt_project import Project, make_project, make_shop
from tests.dbt.statements import complaints, sent_statements
from tests.doubles.snowflake_double import BOOTSTRAP, start_double
from tests.streaming_workers.harness import price

Rows = list[tuple[Any, ...]]

LINES = """
    select sales_line_id, transaction_id, customer_id, product_sku, transaction_date, quantity, avg_price,
        coupon_status, gross_sales_amount, discount_amount, net_sales_amount, gst_amount, delivery_amount,
        total_amount, sale_size_category
    from analytics.fct_sales
    order by sales_line_id
"""
# Cast inside the sum: the double adds up in floating point what is not cast.
TOTALS = "select count(*), " + ", ".join(
    f"sum(cast({name} as decimal(18, 2)))"
    for name in (
        "gross_sales_amount",
        "discount_amount",
        "net_sales_amount",
        "gst_amount",
        "delivery_amount",
        "total_amount",
    )
)
OTHER_TABLES = {
    "analytics.dim_customer": "customer_id",
    "analytics.dim_products": "product_sku",
    "analytics.dim_datetime": "date_day",
    "analytics.fct_orders": "order_id",
    "analytics.fct_marketing_performance_daily": "date_day",
    "analytics.fct_marketing_performance_monthly": "month_start",
}
VERSIONS = """
    select location, dbt_valid_to is null, dbt_is_deleted
    from snapshots.customer_snapshot
    where customer_id = 12347
    order by dbt_valid_from
"""
IN_RANGE, OUT_OF_RANGE = "2019-03-05", "2019-06-05"


class AsAdministrator(SnowflakeWarehouse):
    """For what a test looks at and breaks; the product itself has its own roles."""

    @contextmanager
    def session(self, reads: Path | None = None) -> Iterator[SnowflakeSession]:
        with closing(connector.connect(**connect_arguments() | {"role": "ACCOUNTADMIN"})) as connection:
            yield SnowflakeSession(connection)


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="module")
def snowflake(tmp_path_factory: pytest.TempPathFactory, key: rsa.RSAPrivateKey) -> Iterator[AsAdministrator]:
    """Start a double, bootstrap it and point every SNOWFLAKE_* variable of this process and of dbt at it."""
    with start_double() as double, pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("snowflake")
        for name in [name for name in os.environ if name.startswith("SNOWFLAKE_")]:
            patch.delenv(name)
        pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        users = ("airflow", "streaming", "reporting")
        double.run_script(
            BOOTSTRAP, **{f"{user}_public_key": "".join(pem.split("\n")[1:-2]) for user in users}
        )
        settings = double.environment("marketing_airflow") | {
            "DBT_PROJECT_DIR": str(make_project(folder / "project").directory),
            "DBT_TARGET_PATH": str(folder / "target"),
            "DBT_LOG_PATH": str(folder / "logs"),
            "DBT_LOG_FORMAT_FILE": "json",
            "DBT_LOG_FILE_MAX_BYTES": "0",  # else dbt begins a second file after 10 MB
        }
        for name, value in settings.items():
            patch.setenv(name, value)
        yield AsAdministrator()


CREDENTIALS = ("SNOWFLAKE_ACCOUNT", "SNOWFLAKE_USER", "SNOWFLAKE_PASSWORD")


@pytest.fixture(scope="module")
def dags(snowflake: SnowflakeWarehouse) -> DagBag:
    """Return the DAGs as Airflow parses them for Snowflake, where nobody has made the connection yet."""
    with pytest.MonkeyPatch.context() as patch:
        for name in CREDENTIALS:
            patch.delenv(name)
        get_settings.cache_clear()
        bag = DagBag(PROJECT_ROOT / "dags")
    get_settings.cache_clear()
    assert bag.import_errors == {}
    return bag


@contextmanager
def in_airflow(key: rsa.RSAPrivateKey, **variables: str) -> Iterator[None]:
    """Have the environment of a task: the connection with an encrypted key, no account in SNOWFLAKE_*."""
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"hush"))
    connection = {
        "conn_type": "snowflake",
        "login": "marketing_airflow",
        "password": "hush",
        "extra": {"account": "double", "private_key_content": base64.b64encode(pem).decode()},
    }
    with pytest.MonkeyPatch.context() as patch:
        for name in CREDENTIALS:
            patch.delenv(name)
        patch.setenv("AIRFLOW_CONN_SNOWFLAKE_DEFAULT", json.dumps(connection))
        for name, value in variables.items():
            patch.setenv(name, value)
        get_settings.cache_clear()
        yield
    get_settings.cache_clear()


@pytest.fixture(scope="module")
def on_duckdb(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return the generated shop, loaded into DuckDB and built."""
    return make_shop(tmp_path_factory.mktemp("duckdb"))


@pytest.fixture(scope="module")
def duckdb(on_duckdb: Project) -> DuckDBWarehouse:
    """Return the DuckDB warehouse of the same files."""
    return DuckDBWarehouse(on_duckdb.warehouse)


@pytest.fixture(scope="module")
def shop(on_duckdb: Project) -> Path:
    """Return the folder of the shop's files."""
    return on_duckdb.folder


def run_dbt(*arguments: str, **variables: str) -> str:
    """Run dbt as a user would in include/dbt and return what it prints."""
    done = subprocess.run(
        [sys.executable, str(DBT_WITH_PARENT), *arguments],
        cwd=DBT_PROJECT_DIR,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    return done.stdout


def parsed_for_duckdb() -> str:
    return str(Path(os.environ["DBT_PROJECT_DIR"], "target", "partial_parse.msgpack"))


def load(warehouse: Warehouse, folder: Path) -> list[LoadResult]:
    return [result for name in DATASETS for result in ingest(warehouse, str(folder), name)]


def query(warehouse: Warehouse, sql: str) -> Rows:
    with warehouse.session() as session:
        return session.execute(sql)


@pytest.fixture(scope="module")
def first_build(snowflake: SnowflakeWarehouse, shop: Path) -> str:
    """Load the files, build everything and return what dbt printed."""
    load(SnowflakeWarehouse(), shop)
    check_raw_tables(SnowflakeWarehouse())
    return run_dbt("build")


def test_build_passes_with_data_tests_and_unit_tests(first_build: str) -> None:
    found = re.search(r"PASS=(\d+) WARN=0 ERROR=0 SKIP=0", first_build)

    assert found
    assert int(found[1]) > 100


def test_raw_tables_hold_what_duckdb_reads(snowflake: SnowflakeWarehouse, duckdb: DuckDBWarehouse) -> None:
    for dataset in DATASETS.values():
        columns = ", ".join([*dataset.columns, "_source_file", "_source_row"])
        raw = f"select {columns} from {dataset.table} order by _source_row"
        assert query(snowflake, raw) == query(duckdb, raw)


def test_sales_and_totals_are_those_of_duckdb(snowflake: SnowflakeWarehouse, duckdb: DuckDBWarehouse) -> None:
    totals = f"{TOTALS} from analytics.fct_sales"
    assert query(snowflake, totals) == query(duckdb, totals)
    assert query(snowflake, LINES) == query(duckdb, LINES)


@pytest.mark.parametrize("table", OTHER_TABLES)
def test_marts_are_those_of_duckdb(
    snowflake: SnowflakeWarehouse, duckdb: DuckDBWarehouse, table: str
) -> None:
    everything = f"select * from {table} order by {OTHER_TABLES[table]}"
    assert query(snowflake, everything) == query(duckdb, everything)


@pytest.fixture(scope="module")
def second_build(
    snowflake: SnowflakeWarehouse, shop: Path, duckdb: DuckDBWarehouse, dags: DagBag, key: rsa.RSAPrivateKey
) -> list[LoadResult]:
    """Move customer 12347, lose a day of sales, stream two prices, and load and build again, as two DAGs do.

    Return what was loaded.
    """
    file = shop / "CustomersData.csv"
    with file.open(encoding="utf-8", newline="") as text:
        rows = list(csv.reader(text))
    for row in rows:
        if row[0] == "12347":
            row[2] = "New Jersey"
    with file.open("w", encoding="utf-8", newline="") as text:
        csv.writer(text).writerows(rows)
    query(snowflake, f"delete from analytics.fct_sales where transaction_date = '{OUT_OF_RANGE}'")
    stream_two_prices()
    producer: Any = dags.dags["marketing_pipeline"].get_task("transform.dbt_producer_watcher")
    with in_airflow(key, AIRFLOW_CTX_DAG_ID="marketing_pipeline", AIRFLOW_CTX_TASK_ID=producer.task_id):
        results = load(get_warehouse(), shop)
        with producer.profile_config.ensure_profile() as (profile, secrets):
            flags = ("--profiles-dir", str(profile.parent), "--target", producer.profile_config.target_name)
            of_other_dags = ("--exclude", "tag:segments", "tag:insights")
            run_dbt("build", *of_other_dags, "--exclude-resource-type", "unit_test", *flags, **secrets)
    return results


def stream_two_prices() -> None:
    """Store two events as the consumer does, with the user that only loads."""
    partition, one = TopicPartition(PRICES_TOPIC, 0), Batch(generation=1)
    events = [price(number, observed_at=f"2025-06-15T15:0{number}:00Z").value or b"" for number in (1, 2)]
    records = [
        ConsumerRecord(*partition, offset, 1_750_000_000_000, 0, None, event, None, 0, len(event), ())
        for offset, event in enumerate(events)
    ]
    one.add(partition, records, 10_000)
    one.move(partition, 0, 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SNOWFLAKE_USER", "marketing_streaming")
        sink = get_sink(Settings(warehouse="snowflake"))
        sink.prepare()
        sink.register({partition: 0})
        sink.store(one)


def test_only_the_changed_file_is_loaded_again(
    snowflake: SnowflakeWarehouse, second_build: list[LoadResult]
) -> None:
    assert {result.dataset: result.loaded for result in second_build} == {
        name: name == "customers" for name, dataset in DATASETS.items() if dataset.needed
    }
    assert query(snowflake, "select count(*), count(distinct _load_id) from raw.customers") == [(1468, 1)]
    assert query(snowflake, "list @raw.ingestion") == []


def test_second_build_heals_the_lost_day(
    snowflake: SnowflakeWarehouse, duckdb: DuckDBWarehouse, second_build: list[LoadResult]
) -> None:
    assert query(snowflake, LINES) == query(duckdb, LINES)


def test_snapshot_holds_both_versions_of_a_moved_customer(
    snowflake: SnowflakeWarehouse, second_build: list[LoadResult]
) -> None:
    (before, after) = query(snowflake, VERSIONS)

    assert before[0] != "New Jersey"
    assert before[1:] == (False, "False")
    assert after == ("New Jersey", True, "False")


def test_a_range_run_mends_its_days_only(
    snowflake: SnowflakeWarehouse, duckdb: DuckDBWarehouse, second_build: list[LoadResult]
) -> None:
    deleted = f"transaction_date in ('{IN_RANGE}', '{OUT_OF_RANGE}')"
    query(snowflake, f"delete from analytics.fct_sales where {deleted}")
    [(last_build,)] = query(snowflake, "select max(processed_at) from analytics.fct_sales")

    run_dbt("run", "--select", "fct_sales", "--vars", '{start_date: "2019-03-01", end_date: "2019-03-08"}')

    with snowflake.session() as session:
        [(first, last)] = session.execute(
            "select min(transaction_date), max(transaction_date) from analytics.fct_sales"
            " where processed_at > ?",
            [last_build],
        )
    assert (str(first), str(last)) == (IN_RANGE, IN_RANGE)  # the others of the range had not changed
    kept = f"{TOTALS} from analytics.fct_sales where transaction_date != '{OUT_OF_RANGE}'"
    assert query(snowflake, kept) == query(duckdb, kept)
    lost = f"select count(*) from analytics.fct_sales where transaction_date = '{OUT_OF_RANGE}'"
    assert query(snowflake, lost) == [(0,)]


SEGMENT_TABLES = {
    "analytics.customer_segments": "*",
    "analytics.fct_customer_segments": "* exclude (location, updated_at)",  # a customer has moved meanwhile
    "analytics.fct_customer_rfm": "*",
    "analytics.fct_segment_migrations": "* exclude (segment_migration_id, migrated_at)",
}


def test_streamed_events_are_staged(snowflake: SnowflakeWarehouse, second_build: list[LoadResult]) -> None:
    assert query(snowflake, "select event_id from streaming.stg_bitcoin order by 1") == [
        ("event-1",),
        ("event-2",),
    ]
    assert query(snowflake, "select next_offset from streaming.kafka_offsets") == [(2,)]


@pytest.mark.usefixtures("second_build")
def test_segments_are_trained_seeded_and_marted_as_on_duckdb(  # noqa: PLR0917 (fixtures)
    snowflake: SnowflakeWarehouse,
    duckdb: DuckDBWarehouse,
    dags: DagBag,
    key: rsa.RSAPrivateKey,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One model for both; on the double its segments go in twice, by dbt and by the bulk loader."""
    for name in ("BOOTSTRAP_REFITS", "SEEDS", "SELECTION_REFITS"):
        monkeypatch.setattr(evaluation, name, 2)
    registry = str(tmp_path / "registry")
    monkeypatch.setenv("ML_REGISTRY", registry)
    task: Callable[[str], Any] = dags.dags["segment_retraining"].get_task
    marts = ("build", "--select", "tag:segment_marts", "--exclude-resource-type", "unit_test")
    seeded = "select * from analytics.customer_segments order by customer_id"

    with in_airflow(key, AIRFLOW_CTX_DAG_ID="segment_retraining"):
        version = task("fit").python_callable(params={"k": 5, "dry_run": False, "override": list(CHECKS)})
        nobody_asked = SimpleNamespace(xcom_pull=lambda task_ids: None)
        task("register").python_callable(version, ti=nobody_asked)
        task("reseed").python_callable()
        by_dbt = query(snowflake, seeded)
        reseed(registry, max_seed_rows=10)
        assert query(snowflake, seeded) == by_dbt
    run_dbt(*marts)
    reseed(registry, Settings(warehouse="duckdb", duckdb_path=duckdb.path))
    own = {"DBT_TARGET_PATH": str(tmp_path / "target"), "DBT_LOG_PATH": str(tmp_path / "logs")}
    own["DBT_PARTIAL_PARSE_FILE_PATH"] = parsed_for_duckdb()
    run_dbt(*marts, WAREHOUSE="duckdb", DUCKDB_PATH=str(duckdb.path), **own)

    assert load_features(snowflake).fingerprint() == load_features(duckdb).fingerprint()
    for table, columns in SEGMENT_TABLES.items():
        everything = f"select {columns} from {table}"
        on_snowflake, on_duckdb = (sorted(query(one, everything), key=str) for one in (snowflake, duckdb))
        assert len(on_snowflake) >= 5
        assert on_snowflake == on_duckdb, table


def test_run_results_are_recorded(snowflake: SnowflakeWarehouse, second_build: list[LoadResult]) -> None:
    builds = query(
        snowflake,
        """
        select count(*), count_if(resource_type = 'model')
        from raw.dbt_run_results
        group by invocation_id
        order by min(completed_at)
        limit 2
        """,
    )
    others = query(
        snowflake,
        "select distinct status, node_id from raw.dbt_run_results where status not in ('success', 'pass')",
    )

    assert others == []
    assert all(models >= 18 for _, models in builds)


def test_every_statement_that_dbt_sent_is_snowflakes(second_build: list[LoadResult]) -> None:
    sent = sent_statements(Path(os.environ["DBT_LOG_PATH"]) / "dbt.log")
    # Tests' and models' queries went through sqlfluff, which is slow, in tests/dbt/test_dialects.py.
    changing = [sql for sql in sent if re.match(r"\s*(?:begin|commit|delete|insert|merge|update)\b", sql)]
    recording, *_ = (sql for sql in changing if re.match(r"\s*insert into \S*dbt_run_results", sql))
    one_of_each = [sql for sql in changing if "dbt_run_results" not in sql] + [recording]

    assert complaints(sent, thorough=False) == []
    tags = [
        json.loads(found[1])
        for sql in sent
        if (found := re.match(r"alter session set query_tag = '(.*)'", sql))
    ]
    assert {
        "app": "marketing-insights",
        "dag": "marketing_pipeline",
        "task": "transform.dbt_producer_watcher",
        "run": "",
        "node": "model.marketing_insights.fct_sales",
    } in tags
    for table in ("fct_sales", "stg_bitcoin", "customer_snapshot"):
        assert created(sent, table) == {"permanent"}
    for table in ("dim_customer", "fct_orders", "base_online_sales"):
        assert created(sent, table) == {"transient"}
    assert any(re.search(r"alter\s+table \S+fct_sales cluster by \(transaction_date\)", sql) for sql in sent)
    for statement in ("delete from", "insert into", "merge into"):
        assert any(statement in sql for sql in one_of_each)
    assert complaints(one_of_each) == []


def created(sent: list[str], table: str) -> set[str]:
    """Return which kinds of table dbt made of that name."""
    create = re.compile(rf"create or replace\s+(transient\s+)?table \S+\.{table}\s")
    found = [match for sql in sent if (match := create.search(sql))]
    return {"transient" if match[1] else "permanent" for match in found}


TRICKY = '''CustomerID,Gender,Location,Tenure_Months
1,"M","Mug, 11 oz",3

2,F,"say ""hi""",""
 3 ,\\N,C:\\temp\\n,007
4,NULL,"two
lines",1.50
5,,é ✓,'
'''


@pytest.fixture
def plain_duckdb(tmp_path: Path) -> DuckDBWarehouse:
    return DuckDBWarehouse(tmp_path / "plain.duckdb")


def test_text_arrives_as_in_duckdb(
    snowflake: SnowflakeWarehouse, plain_duckdb: DuckDBWarehouse, tmp_path: Path
) -> None:
    folder = tmp_path / "it's 100% \\ odd"
    folder.mkdir()
    (folder / MARKER).touch()  # the warehouse holds generated files
    (folder / "customers2.csv").write_text(TRICKY, encoding="utf-8-sig")
    raw = """
        select customerid, gender, location, tenure_months, _source_row
        from raw.customers
        where _source_file = 'customers2.csv'
        order by _source_row
    """

    for warehouse in (snowflake, plain_duckdb):
        ingest(warehouse, str(folder), "customers")

    assert query(plain_duckdb, raw)[1] == ("2", "F", 'say "hi"', None, 3)  # blank rows count
    assert query(snowflake, raw) == query(plain_duckdb, raw)


@pytest.mark.parametrize(
    "line", ["1,M,Chicago", "1,M,Chicago,3,more", '1,M,"Chicago,3'], ids=["too few", "too many", "open quote"]
)
def test_a_bad_line_loads_nothing_and_is_named(
    snowflake: SnowflakeWarehouse, plain_duckdb: DuckDBWarehouse, tmp_path: Path, line: str
) -> None:
    header = "CustomerID,Gender,Location,Tenure_Months"
    (tmp_path / MARKER).touch()
    (tmp_path / "customers3.csv").write_text(f"{header}\n0,F,Chicago,1\n{line}\n", encoding="utf-8")
    loaded = "select count(*) from raw.customers where _source_file = 'customers3.csv'"

    for warehouse in (snowflake, plain_duckdb):
        with pytest.raises(IngestionError, match=r"customers3\.csv.*line 3"):
            ingest(warehouse, str(tmp_path), "customers")
        with warehouse.session() as session:  # one that is refused as it is opened makes no table
            create_tables(session, DATASETS["customers"])
        assert query(warehouse, loaded) == [(0,)]


def replace_numbers(session: Session, file: CsvFile) -> None:
    with session.transaction():
        session.execute("delete from raw.numbers")
        session.load_csv("raw.numbers", file, {"_load_id": "refused"})


def test_a_load_that_snowflake_refuses_is_undone(snowflake: SnowflakeWarehouse, tmp_path: Path) -> None:
    (tmp_path / "numbers.csv").write_text("n,m\n1,1\none,1\n", encoding="utf-8")
    file = CsvFile(tmp_path / "numbers.csv", ("n", "m"), ("n",))

    with snowflake.session() as session:
        session.execute("create schema if not exists raw")
        session.execute("create or replace table raw.numbers (n int, _source_row int, _load_id varchar)")
        session.execute("insert into raw.numbers values (0, 1, 'before')")
        session.prepare_load()
        with pytest.raises(LoadError, match="one"):
            replace_numbers(session, file)
        assert session.execute("select n from raw.numbers") == [(0,)]
        session.execute("drop table raw.numbers")


def test_an_aware_time_keeps_its_zone(snowflake: SnowflakeWarehouse) -> None:
    noon = dt.datetime(2019, 1, 1, 12, tzinfo=dt.timezone(dt.timedelta(hours=2)))

    with snowflake.session() as session:
        [found] = session.execute("select ? = '2019-01-01 10:00:00 +00:00'::timestamp_tz, ?", [noon, 7])

    assert found == (True, 7)


def test_a_key_pair_wins_over_a_password(
    monkeypatch: pytest.MonkeyPatch,
    snowflake: SnowflakeWarehouse,
    key: rsa.RSAPrivateKey,
    tmp_path: Path,
) -> None:
    file = tmp_path / "key.p8"
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"hush")))
    monkeypatch.setenv("SNOWFLAKE_PRIVATE_KEY_PATH", str(file))
    monkeypatch.setenv("SNOWFLAKE_PRIVATE_KEY_PASSPHRASE", "hush")
    monkeypatch.setenv("SNOWFLAKE_ROLE", "TRANSFORMER")
    monkeypatch.setenv("SNOWFLAKE_LOADER_ROLE", "LOADER_OF_FILES")

    arguments = connect_arguments()

    assert arguments["private_key_file"] == str(file)
    assert arguments["private_key_file_pwd"] == "hush"
    assert arguments["role"] == "LOADER_OF_FILES"
    assert "password" not in arguments


def test_a_bad_setting_is_named_without_the_secrets(
    monkeypatch: pytest.MonkeyPatch, snowflake: SnowflakeWarehouse
) -> None:
    monkeypatch.setenv("SNOWFLAKE_PASSWORD", "a-secret")
    monkeypatch.setenv("SNOWFLAKE_PORT", "a-secret")

    with pytest.raises(ValueError, match="SNOWFLAKE_PORT") as raised:
        connect_arguments()

    assert "a-secret" not in str(raised.value)


def test_secrets_stay_out_of_the_log(
    snowflake: SnowflakeWarehouse, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SNOWFLAKE_PASSWORD", "a-secret")
    with caplog.at_level(logging.INFO):
        assert query(snowflake, "select 1") == [(1,)]

    assert "a-secret" not in caplog.text


def test_airflows_connection_serves_where_no_account_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SNOWFLAKE_ACCOUNT", raising=False)
    monkeypatch.setenv("AIRFLOW_CTX_DAG_ID", "marketing_pipeline")
    monkeypatch.setenv("AIRFLOW_CTX_TASK_ID", "ingest")
    monkeypatch.setenv("SNOWFLAKE_STATEMENT_TIMEOUT_SECONDS", "60")
    monkeypatch.setenv(
        "AIRFLOW_CONN_SNOWFLAKE_DEFAULT",
        '{"conn_type": "snowflake", "login": "airflow", "password": "a-secret",'
        ' "extra": {"account": "acme-shop", "role": "ACCOUNTADMIN", "warehouse": "BIG"}}',
    )

    arguments = connect_arguments()

    assert (arguments["account"], arguments["user"]) == ("acme-shop", "airflow")
    assert arguments["database"] == "MARKETING_INSIGHTS_DB"
    assert arguments["paramstyle"] == "qmark"
    assert arguments["session_parameters"] == {
        "TIMEZONE": "UTC",
        "LOCK_TIMEOUT": 900,
        "ABORT_DETACHED_QUERY": True,
        "QUERY_TAG": '{"app": "marketing-insights", "dag": "marketing_pipeline", "task": "ingest"}',
        "STATEMENT_TIMEOUT_IN_SECONDS": 60,
    }


@pytest.mark.parametrize("account", ["acme-shop", ""], ids=["from variables", "from the connection"])
def test_each_work_has_its_role_and_warehouse(monkeypatch: pytest.MonkeyPatch, account: str) -> None:
    for name in [name for name in os.environ if name.startswith("SNOWFLAKE_")]:
        monkeypatch.delenv(name)
    if account:
        monkeypatch.setenv("SNOWFLAKE_USER", "me")
        monkeypatch.setenv("SNOWFLAKE_PASSWORD", "hush")
    monkeypatch.setenv("SNOWFLAKE_ACCOUNT", account)
    monkeypatch.setenv(
        "AIRFLOW_CONN_SNOWFLAKE_DEFAULT",
        '{"conn_type": "snowflake", "login": "me", "extra": {"role": "ACCOUNTADMIN", "warehouse": "BIG"}}',
    )

    loads, builds = connect_arguments("loader"), connect_arguments("transformer")

    assert (loads["role"], loads["warehouse"]) == ("LOADER", "LOADING")
    assert (builds["role"], builds["warehouse"]) == ("TRANSFORMER", "TRANSFORMING")


def test_outside_airflow_the_tag_names_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW_CTX_DAG_ID", raising=False)

    tag = json.loads(query_tag())

    assert tag["app"] == "marketing-insights"
    assert tag["program"]
    assert "dag" not in tag


def test_neither_variables_nor_connection_is_one_clear_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SNOWFLAKE_ACCOUNT", raising=False)
    monkeypatch.delenv("AIRFLOW_CONN_SNOWFLAKE_DEFAULT", raising=False)

    with pytest.raises(NotConfiguredError, match=r"set SNOWFLAKE_ACCOUNT.*or make the Airflow connection"):
        connect_arguments()
