"""Real brokers for the tests of the workers, and warehouses for those of the sinks."""

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import duckdb
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from snowflake.connector import connect
from snowflake.connector.errors import OperationalError

from include.settings import Settings
from include.warehouse.duckdb import DuckDBWarehouse
from include.warehouse.snowflake import SESSION_PARAMETERS, SnowflakeSession, SnowflakeWarehouse
from streaming_workers.consumer.sinks import get_sink, snowpipe
from streaming_workers.events import STREAMS
from streaming_workers.settings import ConsumerSettings
from tests.doubles.snowflake_double import SnowflakeDouble, start_double
from tests.doubles.snowpipe_double import SnowpipeService
from tests.kafka import Broker, running_broker
from tests.streaming_workers.consumer.sink_places import Place
from tests.streaming_workers.harness import Stage


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """The broker that the tests share: use `stage` or topics of your own, and leave it running."""
    with running_broker(tmp_path_factory.mktemp("kafka")) as one:
        yield one


@pytest.fixture
def own_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A fresh broker to kill, freeze and restart."""
    with running_broker(tmp_path_factory.mktemp("kafka")) as one:
        yield one


@pytest.fixture
def stage(broker: Broker, tmp_path: Path) -> Stage:
    """Fresh topics of the streams on the shared broker, and a warehouse that is not there yet."""
    return Stage(broker, tmp_path)


@pytest.fixture(scope="session")
def snowflake_double() -> Iterator[SnowflakeDouble]:
    """A Snowflake that the tests share; each leaves it empty."""
    with start_double() as double:
        yield double


@pytest.fixture(scope="session")
def private_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The private key of a user."""
    path = tmp_path_factory.mktemp("key") / "user.p8"
    path.write_bytes(
        rsa.generate_private_key(65537, 2048).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


@pytest.fixture(scope="session")
def snowflake_session(snowflake_double: SnowflakeDouble) -> Iterator[SnowflakeSession]:
    """A session of the tests' own, to query what was stored."""
    arguments = snowflake_double.connect_arguments(paramstyle="qmark")
    arguments["session_parameters"] |= SESSION_PARAMETERS
    with closing(connect(**arguments)) as connection:
        yield SnowflakeSession(connection)


@pytest.fixture
def snowflake_account(
    snowflake_double: SnowflakeDouble,
    snowflake_session: SnowflakeSession,
    private_key: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[SnowflakeWarehouse]:
    """An empty database, which every SNOWFLAKE_* variable points to."""
    for name in [name for name in os.environ if name.startswith("SNOWFLAKE_")]:
        monkeypatch.delenv(name)
    for name in ("account", "user", "host", "port", "protocol", "database"):
        monkeypatch.setenv(f"SNOWFLAKE_{name.upper()}", str(snowflake_double.connect_arguments()[name]))
    monkeypatch.setenv("SNOWFLAKE_PRIVATE_KEY_PATH", str(private_key))
    yield SnowflakeWarehouse()
    snowflake_session.execute("drop schema if exists streaming")


def duckdb_place(path: Path) -> Place:
    """Return a DuckDB file that is not there yet."""
    settings = Settings(warehouse="duckdb", duckdb_path=path)
    return Place(
        DuckDBWarehouse(path),
        partial(get_sink, settings, ConsumerSettings()),
        error=duckdb.IOException("the disk is full"),
    )


def snowflake_place(
    warehouse: SnowflakeWarehouse,
    session: SnowflakeSession,
    how: str,
    service: SnowpipeService | None = None,
) -> Place:
    """Return the account, with the sink that CONSUMER_SNOWFLAKE_SINK names."""
    consumer = ConsumerSettings.model_validate({"snowflake_sink": how})
    return Place(
        warehouse,
        partial(get_sink, Settings(warehouse="snowflake"), consumer),
        error=OperationalError("the warehouse is suspended"),
        session=session,
        snowpipe=service,
    )


@pytest.fixture
def snowpipe_place(
    snowflake_account: SnowflakeWarehouse,
    snowflake_session: SnowflakeSession,
    monkeypatch: pytest.MonkeyPatch,
) -> Place:
    """The account with Snowpipe Streaming; nothing but the SDK's client is replaced."""
    service = SnowpipeService(
        [snowpipe.pipe_definition(stream.table) for stream in STREAMS.values()], landing(snowflake_session)
    )
    monkeypatch.setattr(snowpipe, "StreamingIngestClient", service.client())
    monkeypatch.setattr(snowpipe, "POLL_SECONDS", 0.005)
    return snowflake_place(snowflake_account, snowflake_session, "snowpipe", service)


def landing(session: SnowflakeSession) -> Callable[..., None]:
    """Return what appends the rows that Snowpipe Streaming commits; payloads are JSON where they can be."""
    return lambda table, columns: session.insert_rows(table, columns, json_columns={"payload"})


@pytest.fixture(params=["duckdb", "snowflake", "snowpipe"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A place for every sink there is: what holds for one holds for all."""
    if request.param == "duckdb":
        return duckdb_place(tmp_path / "warehouse.duckdb")
    if request.param == "snowflake":
        account = request.getfixturevalue("snowflake_account")
        return snowflake_place(account, request.getfixturevalue("snowflake_session"), "sql")
    found: Place = request.getfixturevalue("snowpipe_place")
    return found
