"""What an account gets, and what is checked of it: bootstrap, tear-down, and the check of every privilege."""

import base64
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlglot
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from snowflake import connector
from sqlfluff.core import FluffConfig, Linter
from sqlglot import exp
from typer.testing import CliRunner

from include.query import Format, ask
from include.settings import get_settings
from include.warehouse import NotReachableError, Role, get_warehouse
from include.warehouse.check import app
from include.warehouse.dialect import query_errors
from include.warehouse.snowflake import (
    FILE_FORMAT,
    LOCK_TIMEOUT_SECONDS,
    SESSION_PARAMETERS,
    SnowflakeWarehouse,
)
from streaming_workers.consumer.sinks import get_sink
from tests.doubles.snowflake_double import BOOTSTRAP, TEARDOWN, SnowflakeDouble, start_double

KEYS = {f"{user}_public_key": "MIIB" for user in ("airflow", "streaming", "reporting")}
# What sqlglot takes only as the text of some command. sqlfluff, which has a grammar for each, reads them, and
# tests/doubles answers them: fakesnow has no account around its databases.
ONLY_SQLFLUFF_READS = {
    "create role",
    "create user",
    "alter user",
    "drop user",
    "grant role",
    "grant select on all",
    "grant select on future",
    "alter account",
    "alter schema",
    "alter warehouse",
    "grant monitor",
    "grant ownership",
    "revoke",
    "create resource monitor",
    "drop resource monitor",
}

Run = Callable[[str], None]


@pytest.fixture(scope="module")
def double() -> Iterator[SnowflakeDouble]:
    """Start a double that was bootstrapped twice, and lead the product to it with Airflow's user."""
    with start_double() as running, pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("SNOWFLAKE_")]:
            patch.delenv(name)
        for name, value in running.environment("marketing_airflow").items():
            patch.setenv(name, value)
        get_settings.cache_clear()
        running.run_script(BOOTSTRAP, **KEYS)
        running.run_script(BOOTSTRAP, **KEYS)
        yield running
    get_settings.cache_clear()


@pytest.fixture
def run(double: SnowflakeDouble) -> Iterator[Run]:
    """Return a function that runs a statement as an administrator; a test leaves all as it was."""
    with connector.connect(**double.connect_arguments(role="ACCOUNTADMIN", schema=None)) as connection:
        yield lambda sql: connection.cursor().execute(sql) and None


def check() -> tuple[int, str]:
    done = CliRunner().invoke(app)
    return done.exit_code, done.output


@pytest.mark.parametrize("file", [BOOTSTRAP, TEARDOWN], ids=lambda file: file.name)
def test_scripts_are_snowflakes_sql(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    linter = Linter(config=FluffConfig(overrides={"dialect": "snowflake", "templater": "raw"}))

    assert linter.parse_string(text).violations == []
    for statement in sqlglot.parse(text, read="snowflake"):
        if isinstance(statement, exp.Command):
            sql = " ".join(re.sub(r"/\*.*?\*/", "", statement.sql(), flags=re.DOTALL).split()).lower()
            assert sql.startswith(tuple(ONLY_SQLFLUFF_READS)), sql


def test_no_key_stands_in_the_scripts() -> None:
    text = BOOTSTRAP.read_text(encoding="utf-8")

    keys = re.findall(r"rsa_public_key = '(.*)'", text)
    assert keys == [f"<% {name} %>" for name in KEYS]
    assert "password" not in text.lower()


def test_everything_is_there_after_a_bootstrap(double: SnowflakeDouble) -> None:
    code, output = check()

    assert code == 0, output
    assert "missing" not in output
    assert len(re.findall(r"^ok +(LOADER|STREAMER|TRANSFORMER) ", output, re.MULTILINE)) > 30


@pytest.mark.parametrize(
    ("revoke", "line", "remedy"),
    [
        (
            "revoke create view on schema marketing_insights_db.staging from role transformer",
            "TRANSFORMER  CREATE VIEW on schema MARKETING_INSIGHTS_DB.STAGING",
            "grant create view on schema MARKETING_INSIGHTS_DB.STAGING to role TRANSFORMER",
        ),
        (
            "revoke usage on warehouse loading from role loader",
            "LOADER       USAGE on warehouse LOADING",
            "grant usage on warehouse LOADING to role LOADER",
        ),
        (
            "revoke select on future tables in schema marketing_insights_db.raw from role transformer",
            "TRANSFORMER  SELECT on future tables of LOADER in schema MARKETING_INSIGHTS_DB.RAW",
            "grant select on future tables in schema MARKETING_INSIGHTS_DB.RAW to role TRANSFORMER",
        ),
        (
            "revoke select on all tables in schema marketing_insights_db.streaming from role transformer",
            "TRANSFORMER  SELECT on all tables of STREAMER in schema MARKETING_INSIGHTS_DB.STREAMING"
            ", not on MARKETING_INSIGHTS_DB.STREAMING.BITCOIN_PRICES_RAW",
            "grant select on all tables in schema MARKETING_INSIGHTS_DB.STREAMING to role TRANSFORMER",
        ),
    ],
    ids=["schema", "warehouse", "future tables", "existing tables"],
)
def test_what_is_missing_is_named_and_its_remedy_mends_it(
    run: Run, revoke: str, line: str, remedy: str
) -> None:
    run(revoke)

    code, output = check()

    assert code == 1
    assert f"missing {line}\n        {remedy};\n" in output
    assert output.count("missing ") == 1
    run(remedy)
    assert check()[0] == 0


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a key that has the passphrase `right`, one without any, a public one and a text."""
    folder = tmp_path_factory.mktemp("keys")
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = (Encoding.PEM, PrivateFormat.PKCS8)
    (folder / "closed.p8").write_bytes(key.private_bytes(*form, BestAvailableEncryption(b"right")))
    (folder / "open.p8").write_bytes(key.private_bytes(*form, NoEncryption()))
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / "public.p8").write_bytes(public)
    (folder / "text.p8").write_text("no key")
    return folder


@pytest.mark.parametrize(
    ("file", "passphrase", "said"),
    [
        ("none.p8", "", "cannot be read: No such file or directory."),
        (".", "", "cannot be read: Is a directory."),
        ("closed.p8", "", "has a passphrase, set SNOWFLAKE_PRIVATE_KEY_PASSPHRASE."),
        ("closed.p8", "wr0ng", "cannot be used: SNOWFLAKE_PRIVATE_KEY_PASSPHRASE is wrong."),
        ("open.p8", "wr0ng", "has no passphrase, unset SNOWFLAKE_PRIVATE_KEY_PASSPHRASE."),
        ("public.p8", "", "cannot be used: it is no private key in PEM form."),
        ("text.p8", "", "cannot be used: it is no private key in PEM form."),
    ],
)
@pytest.mark.usefixtures("double")
def test_a_key_that_is_no_use_is_one_sentence(
    keys: Path, monkeypatch: pytest.MonkeyPatch, file: str, passphrase: str, said: str
) -> None:
    monkeypatch.setenv("SNOWFLAKE_PRIVATE_KEY_PATH", str(keys / file))
    monkeypatch.setenv("SNOWFLAKE_PRIVATE_KEY_PASSPHRASE", passphrase)
    code, output = check()

    first, second = output.splitlines()
    assert (code, first) == (2, "Connecting to Snowflake …")
    assert second == f"The key {keys / file} (SNOWFLAKE_PRIVATE_KEY_PATH) {said}"


@pytest.mark.parametrize(
    ("unset", "said"),
    [
        ("SNOWFLAKE_PASSWORD", "SNOWFLAKE_PRIVATE_KEY_PATH is not set, and neither is SNOWFLAKE_PASSWORD"),
        ("SNOWFLAKE_USER", "SNOWFLAKE_USER is not set."),
    ],
)
def test_credentials_that_are_missing_are_named(
    double: SnowflakeDouble, monkeypatch: pytest.MonkeyPatch, unset: str, said: str
) -> None:
    monkeypatch.delenv(unset)
    code, output = check()

    assert code == 2
    assert output.splitlines()[1].startswith(said)


def test_the_key_in_airflows_connection_is_checked_likewise(
    double: SnowflakeDouble, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = base64.b64encode((keys / "closed.p8").read_bytes()).decode()
    extra = {"account": "double", "private_key_content": content}
    connection = {"conn_type": "snowflake", "login": "marketing_airflow", "password": "wr0ng", "extra": extra}
    monkeypatch.delenv("SNOWFLAKE_ACCOUNT")
    monkeypatch.setenv("AIRFLOW_CONN_SNOWFLAKE_DEFAULT", json.dumps(connection))

    with pytest.raises(
        NotReachableError, match=r"^The key of Airflow's connection snowflake_default cannot be"
    ) as found:
        get_warehouse().check()
    assert "wr0ng" not in str(found.value)


def test_a_right_key_and_passphrase_connect(
    double: SnowflakeDouble, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SNOWFLAKE_PRIVATE_KEY_PATH", str(keys / "closed.p8"))
    monkeypatch.setenv("SNOWFLAKE_PRIVATE_KEY_PASSPHRASE", "right")
    assert check()[0] == 0


def test_a_query_is_answered_as_the_reporter(
    double: SnowflakeDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SnowflakeWarehouse("transformer").session() as session:
        session.execute("create or replace table analytics.asked as select 1 as n, 2.50 as amount")
    settings = {"USER": "marketing_reporting", "ROLE": "REPORTER", "WAREHOUSE": "REPORTING"}
    for name, value in settings.items():
        monkeypatch.setenv(f"SNOWFLAKE_{name}", value)

    with get_warehouse(role="transformer").reading() as session:
        answer = ask(session, "select * from analytics.asked;")
        with pytest.raises(query_errors(), match="REPORTER lacks USAGE"):
            ask(session, "select * from raw.customers")

    assert answer.written(Format.CSV) == "n,amount\r\n1,2.50\r\n"


def test_no_session_waits_half_a_day_for_the_lock_of_a_frozen_process(run: Run) -> None:
    """Ours set it themselves, dbt's have it of the user: the bootstrap sets it on all, the check looks."""
    text = BOOTSTRAP.read_text(encoding="utf-8")
    users = set(re.findall(r"create user if not exists (\w+)", text))
    bounded = (
        rf"alter user (\w+) set lock_timeout = {LOCK_TIMEOUT_SECONDS} abort_detached_query = true"
        r" statement_timeout_in_seconds = \d+;"
    )
    assert set(re.findall(bounded, text)) == users
    assert SESSION_PARAMETERS["LOCK_TIMEOUT"] == LOCK_TIMEOUT_SECONDS
    run("alter user marketing_airflow set lock_timeout = 43200")

    code, output = check()

    remedy = "alter user marketing_airflow set lock_timeout = 900 abort_detached_query = true"
    assert code == 1
    assert f"dbt waits 43200 s for a lock, no longer than 900\n        {remedy};\n" in output
    run(remedy)
    assert check()[0] == 0


def test_every_grant_of_the_bootstrap_is_looked_at_and_no_other(run: Run) -> None:
    """Without any of them the check asks for exactly those that the bootstrap makes."""
    text = re.sub(r"--.*", "", BOOTSTRAP.read_text(encoding="utf-8"))
    granted = {
        f"grant {privilege.strip()} {rest.lower()}"
        for privileges, rest in re.findall(
            r"^grant (.*) (on .* to role (?:loader|streamer|transformer));", text, re.MULTILINE
        )
        for privilege in privileges.split(",")
    }
    for statement in granted:
        run(statement.replace("grant", "revoke", 1).replace(" to role", " from role"))

    code, output = check()
    asked_for = {
        line.strip(" ;\n").lower() for line in output.splitlines() if line.startswith("        grant")
    }

    assert code == 1
    only_for_the_bootstrap_itself = (
        "grant create file format on schema marketing_insights_db.raw to role loader"
    )
    no_table_there = {
        "grant select on all tables in schema marketing_insights_db.raw to role transformer",
        "grant select on all tables in schema marketing_insights_db.streaming to role streamer",
    }
    assert asked_for == granted - {only_for_the_bootstrap_itself} - no_table_there
    for statement in granted:
        run(statement)


def test_a_role_that_the_user_lacks_is_one_sentence(run: Run) -> None:
    run("revoke role transformer from user marketing_airflow")

    code, output = check()

    assert code == 2
    assert "as marketing_airflow with role TRANSFORMER" in output
    assert "not granted to this user" in output
    run("grant role transformer to user marketing_airflow")


def test_on_duckdb_the_file_must_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, double: SnowflakeDouble
) -> None:
    monkeypatch.setenv("WAREHOUSE", "duckdb")
    monkeypatch.setenv("DUCKDB_PATH", str(tmp_path / "shop.duckdb"))
    get_settings.cache_clear()
    assert check() == (0, f"ok      duckdb       opens {tmp_path}/shop.duckdb for writing\n")

    (tmp_path / "shop.duckdb").write_bytes(b"no database" * 1000)
    code, output = check()
    get_settings.cache_clear()

    assert code == 2
    assert output.startswith(f"{tmp_path}/shop.duckdb does not open: ")


def test_the_check_leaves_nothing_behind(double: SnowflakeDouble, run: Run) -> None:
    check()

    with SnowflakeWarehouse().session() as session:
        assert (
            session.execute("select table_name from information_schema.tables where table_name like 'CHECK%'")
            == []
        )


def test_the_streams_tables_are_those_of_the_sink(double: SnowflakeDouble) -> None:
    sink = get_sink()
    columns = (
        "select table_name, column_name, data_type, is_nullable from information_schema.columns"
        " where table_schema = 'STREAMING' order by table_name, ordinal_position"
    )
    with SnowflakeWarehouse("streamer").session() as session:
        bootstrapped = session.execute(columns)
        for table in ("bitcoin_prices_raw", "news_events_raw", "kafka_offsets"):
            session.execute(f"drop table streaming.{table}")
    sink.prepare()

    with SnowflakeWarehouse("streamer").session() as session:
        assert session.execute(columns) == bootstrapped
    assert len(bootstrapped) == 8 + 8 + 5


def test_the_file_format_is_that_of_ingestion() -> None:
    found = re.search(r"ingestion_csv\n(.*?);", BOOTSTRAP.read_text(encoding="utf-8"), re.DOTALL)

    assert found
    assert " ".join(found[1].split()) == FILE_FORMAT


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("loader", "create view staging.mine as select 1 as n"),
        ("loader", "create schema mine"),
        ("loader", "delete from streaming.kafka_offsets"),
        ("loader", "select * from streaming.news_events_raw"),
        ("streamer", "create table raw.mine (n integer)"),
        ("streamer", "create table analytics.mine (n integer)"),
        ("streamer", "create view streaming.mine as select 1 as n"),
        ("transformer", "delete from streaming.kafka_offsets"),
        ("transformer", "drop table streaming.news_events_raw"),
        ("transformer", "create schema if not exists raw"),
    ],
)
def test_a_role_may_do_no_more_than_its_work(double: SnowflakeDouble, role: Role, statement: str) -> None:
    with (
        SnowflakeWarehouse(role).session() as session,
        pytest.raises(connector.errors.ProgrammingError, match="Insufficient privileges"),
    ):
        session.execute(statement)


def test_the_quotas_of_the_bootstrap_have_room_for_the_defaults(
    double: SnowflakeDouble, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CONSUMER_BATCH_SECONDS", raising=False)
    code, output = check()
    assert code == 0, output
    assert "STREAMER     a quota of 250 credits a month, of which its work takes about 182" in output
    assert output.count("credits a month") == 3

    monkeypatch.setenv("CONSUMER_BATCH_SECONDS", "1")  # keeps the warehouse awake
    code, output = check()
    assert code == 1
    assert (
        "takes about 730\n        alter resource monitor MARKETING_STREAMING set credit_quota = 974;"
        in output
    )
    run("alter resource monitor MARKETING_STREAMING set credit_quota = 974")
    assert check()[0] == 0
    run("alter resource monitor marketing_streaming set credit_quota = 250")


@pytest.mark.parametrize(
    "statement", ["delete from raw.mine", "select * from raw.mine", "drop table raw.mine"]
)
def test_the_consumers_key_reaches_no_customer(double: SnowflakeDouble, run: Run, statement: str) -> None:
    with SnowflakeWarehouse("loader").session() as session:
        session.execute("create table if not exists raw.mine (customerid varchar)")
    with (
        SnowflakeWarehouse("streamer").session() as session,
        pytest.raises(connector.errors.ProgrammingError, match="Insufficient privileges"),
    ):
        session.execute(statement)
    run("drop table raw.mine")


def test_the_consumers_user_has_no_other_role(double: SnowflakeDouble) -> None:
    for role in ("LOADER", "TRANSFORMER"):
        arguments = double.connect_arguments(user="marketing_streaming", role=role)
        with pytest.raises(connector.errors.Error, match="not granted to this user"):
            connector.connect(**arguments)


def test_every_schema_is_managed_and_every_warehouse_has_its_monitor() -> None:
    text = BOOTSTRAP.read_text(encoding="utf-8")
    schemas = set(re.findall(r"create schema if not exists (\S+)", text))
    assert schemas == set(re.findall(r"alter schema (\S+) enable managed access", text))
    warehouses = re.findall(r"create warehouse if not exists (\w+)", text)
    monitors = re.findall(r"alter warehouse (\w+) set resource_monitor = marketing_(\w+);", text)
    assert len(warehouses) == 4
    assert monitors == [(name, name) for name in warehouses]
    assert set(warehouses) == set(re.findall(r"create resource monitor if not exists marketing_(\w+)", text))


def test_the_teardown_leaves_nothing(run: Run, double: SnowflakeDouble) -> None:
    double.run_script(TEARDOWN)

    with connector.connect(
        **double.connect_arguments(role="ACCOUNTADMIN", database=None, schema=None)
    ) as connection:
        databases = connection.cursor().execute("show databases").fetchall()
    assert "MARKETING_INSIGHTS_DB" not in str(databases)
