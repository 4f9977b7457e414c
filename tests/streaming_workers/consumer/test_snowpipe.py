"""Snowpipe Streaming when something goes wrong between append, commit and the move of the offsets.

The last test runs the whole consumer on a real Kafka.
"""

import asyncio
import inspect
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from prometheus_client import REGISTRY
from snowflake.ingest.streaming import (
    ChannelStatus,
    StreamingIngestChannel,
    StreamingIngestClient,
    StreamingIngestError,
    StreamingIngestErrorCode,
)
from structlog.testing import capture_logs

from include.settings import PROJECT_ROOT, Settings, SnowflakeSettings
from streaming_workers.consumer.consumer import Consumer
from streaming_workers.consumer.sinks import OffsetConflictError, Sink, SinkError, get_sink, snowpipe
from streaming_workers.events import STREAMS
from streaming_workers.settings import ConsumerSettings
from streaming_workers.threads import still_working
from tests.doubles.snowpipe_double import SnowpipeChannel, SnowpipeClient, SnowpipeService
from tests.kafka import Broker
from tests.streaming_workers.consumer.sink_places import FIRST, NEWS, SECOND, Place, batch, record
from tests.streaming_workers.harness import Message, Stage, assert_exactly_once, price, prices


@pytest.fixture
def place(snowpipe_place: Place) -> Place:
    return snowpipe_place


@pytest.fixture
def service(place: Place) -> SnowpipeService:
    assert place.snowpipe
    return place.snowpipe


@pytest.fixture
def sink(place: Place) -> Sink:
    """A sink that has stored offset 0 of the first partition."""
    one = place.new_sink()
    one.prepare()
    one.register({FIRST: 0})
    one.store(batch(0))
    return one


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snowpipe, "COMMIT_SECONDS", 0.05)


def next_offset(place: Place) -> int:
    [(offset,)] = place.query(
        "select next_offset from streaming.kafka_offsets where kafka_topic = 'bitcoin-prices'"
        " and kafka_partition = 0"
    )
    return int(offset)


def crash(place: Place, monkeypatch: pytest.MonkeyPatch, store: Callable[[], None]) -> None:
    """Let a consumer end between the commit of its rows and the move of the offsets."""

    def gone(self: Any, sql: str, parameters: Any = ()) -> Any:
        if sql.startswith("update streaming.kafka_offsets"):
            raise place.error
        return original(self, sql, parameters)

    kind = place.session_type
    original = kind.execute
    with monkeypatch.context() as context:
        context.setattr(kind, "execute", gone)
        with pytest.raises(SinkError):
            store()


def test_one_channel_a_partition_whose_token_is_the_next_offset(sink: Sink, service: SnowpipeService) -> None:
    sink.register({SECOND: 7, NEWS: 0})
    both = batch(1, 2, end=5)
    both.add(SECOND, [record(price(9), 9, SECOND)], 10_000)
    both.move(SECOND, 7, 10)

    sink.store(both)

    tokens = {name: channel.committed or "" for (_, name), channel in service.channels.items()}
    assert {name: token.partition("-")[0] for name, token in tokens.items()} == {
        "bitcoin-prices-0": "5",
        "bitcoin-prices-1": "10",
    }
    assert {pipe for pipe, _ in service.channels} == {"STREAMING.BITCOIN_PRICES_PIPE"}


def test_rows_that_a_dead_consumer_has_committed_are_not_stored_again(
    sink: Sink, place: Place, service: SnowpipeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one may read the same messages in other batches."""
    crash(place, monkeypatch, lambda: sink.store(batch(1, 2, 3)))
    assert (place.offsets(), next_offset(place)) == ([0, 1, 2, 3], 1)
    before = len(service.calls)

    successor = place.new_sink()
    assert successor.stored_offsets([FIRST]) == {FIRST: 1}
    successor.store(batch(1, 2))
    assert len(service.calls) == before
    successor.store(batch(3, 4, 5))

    assert service.calls[before:] == [2]
    assert (place.offsets(), next_offset(place)) == ([0, 1, 2, 3, 4, 5], 6)


@pytest.mark.usefixtures("impatient")
def test_rows_that_a_dead_consumer_has_sent_and_snowflake_not_committed_are_sent_again(
    sink: Sink, place: Place, service: SnowpipeService
) -> None:
    service.holds = True
    with pytest.raises(SinkError, match=r"bitcoin-prices-0 within 0\.05 s"):
        sink.store(batch(1, 2))
    assert service.pending() == 2
    service.holds = False

    successor = place.new_sink()
    successor.stored_offsets([FIRST])
    successor.store(batch(1, 2))

    assert (place.offsets(), next_offset(place)) == ([0, 1, 2], 3)


@pytest.mark.usefixtures("impatient")
def test_a_commit_that_takes_too_long_is_an_error_and_the_next_try_stores_once(
    sink: Sink, place: Place, service: SnowpipeService
) -> None:
    service.holds = True
    for _ in range(2):
        with pytest.raises(SinkError, match="has not committed"):
            sink.store(batch(1, 2))
        assert next_offset(place) == 1
    service.holds = False
    for channel in service.channels.values():
        channel.sent.clear()  # and Snowflake says nothing of it

    sink.store(batch(1, 2))

    assert (place.offsets(), next_offset(place)) == ([0, 1, 2], 3)


def test_half_a_batch_that_was_taken_is_not_sent_again(
    sink: Sink, place: Place, service: SnowpipeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snowpipe, "APPEND_BYTES", 1)  # a call a row
    service.calls.clear()
    service.saturated_after = 2
    for _ in range(2):
        with pytest.raises(SinkError, match="ReceiverSaturated"):
            sink.store(batch(1, 2, 3, 4))
    assert next_offset(place) == 1
    service.saturated_after = None

    sink.store(batch(1, 2, 3, 4))

    assert service.calls == [1, 1, 1, 1]
    assert (place.offsets(), next_offset(place)) == ([0, 1, 2, 3, 4], 5)


def test_a_row_that_snowflake_rejects_is_said_and_stored_by_sql(
    sink: Sink, place: Place, service: SnowpipeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.rejects = lambda row: row["kafka_offset"] in {2, 5}
    counted = REGISTRY.get_sample_value("consumer_snowpipe_rejected_rows_total") or 0
    with capture_logs() as logs:
        crash(place, monkeypatch, lambda: sink.store(batch(1, 2, 3)))
        assert place.offsets() == [0, 1, 3]
        sink.store(batch(1, 2, 3))
        sink.store(batch(4))
        crash(place, monkeypatch, lambda: sink.store(batch(5, 6)))
    said = [line for line in logs if line["log_level"] == "error"]
    assert [(line["channel"], line["rows"], line["reason"]) for line in said] == [
        ("bitcoin-prices-0", 1, "a row could not be loaded")
    ] * 3
    assert (place.offsets(), next_offset(place)) == ([0, 1, 2, 3, 4, 6], 5)

    successor = place.new_sink()
    successor.stored_offsets([FIRST])
    successor.store(batch(5, 6))

    with capture_logs() as logs:  # what was rejected in its life before is no news
        place.new_sink().store(batch(7))
    assert [line for line in logs if line["log_level"] == "error"] == []

    assert (place.offsets(), next_offset(place)) == ([0, 1, 2, 3, 4, 5, 6, 7], 8)
    assert REGISTRY.get_sample_value("consumer_snowpipe_rejected_rows_total") == counted + 2


def test_a_channel_that_another_has_opened_is_a_conflict(
    sink: Sink, place: Place, service: SnowpipeService
) -> None:
    successor = place.new_sink()
    assert successor.stored_offsets([FIRST]) == {FIRST: 1}

    with pytest.raises(OffsetConflictError, match=r"bitcoin-prices-0 was lost: .*InvalidChannelError"):
        sink.store(batch(1, 2))

    assert (place.offsets(), next_offset(place), service.pending()) == ([0], 1, 0)
    successor.store(batch(1, 2))
    assert sink.stored_offsets([FIRST]) == {FIRST: 3}
    sink.store(batch(3))
    assert place.offsets() == [0, 1, 2, 3]


def test_a_channel_that_snowflake_gives_up_is_reported_and_reopened(
    sink: Sink, place: Place, service: SnowpipeService
) -> None:
    """Of a pipe whose table was replaced, the service says so in a status, without an error."""
    service.status = "ERR_CHANNEL_DOES_NOT_EXIST_OR_NOT_AUTHORIZED"
    with pytest.raises(OffsetConflictError, match=r"bitcoin-prices-0 was lost: ERR_CHANNEL_DOES_NOT_EXIST"):
        sink.store(batch(1, 2))
    with pytest.raises(SinkError, match=r"bitcoin-prices-0 cannot be opened: ERR_CHANNEL_DOES_NOT_EXIST"):
        sink.stored_offsets([FIRST])
    service.status = "SUCCESS"

    assert sink.stored_offsets([FIRST]) == {FIRST: 1}
    sink.store(batch(1, 2))
    assert (place.offsets(), next_offset(place)) == ([0, 1, 2], 3)


def test_a_client_that_is_lost_is_replaced(sink: Sink, place: Place, service: SnowpipeService) -> None:
    """A single 404 on the way makes the SDK's client invalid for good."""
    service.clients[-1].lost = True

    with pytest.raises(SinkError, match="InvalidClientError"):
        sink.store(batch(1, 2))
    sink.store(batch(1, 2))

    assert (place.offsets(), next_offset(place), len(service.clients)) == ([0, 1, 2], 3, 2)


def test_a_service_that_does_not_answer_only_delays(
    sink: Sink, place: Place, service: SnowpipeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = SnowpipeChannel.append_rows

    def goes_down(self: SnowpipeChannel, *arguments: Any) -> None:
        original(self, *arguments)
        service.down = True

    monkeypatch.setattr(SnowpipeChannel, "append_rows", goes_down)
    with pytest.raises(SinkError, match="HttpRetriesExhausted"):
        sink.store(batch(1, 2))
    service.down = False

    sink.store(batch(1, 2))

    assert service.calls == [1, 2]
    assert (place.offsets(), next_offset(place)) == ([0, 1, 2], 3)


def test_a_recreated_topic_is_not_taken_for_the_old_one(sink: Sink, place: Place) -> None:
    sink.store(batch(1, 2))
    place.query("update streaming.kafka_offsets set next_offset = 0")
    recreated = batch(0, 1, 2)
    recreated.rows.clear()
    recreated.add(FIRST, [record(price(number + 100), number) for number in range(3)], 10_000)

    successor = place.new_sink()
    assert successor.stored_offsets([FIRST]) == {FIRST: 0}
    successor.store(recreated)

    assert {row[3] for row in place.stored()} == {f"event-{number}" for number in (0, 1, 2, 100, 101, 102)}
    assert next_offset(place) == 3


def test_rows_of_a_dead_consumer_do_not_break_the_dbt_test_of_the_offsets(
    sink: Sink, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def below_the_offsets() -> bool:
        return place.query(dbt_test) == []

    dbt_test = rendered(PROJECT_ROOT / "include/dbt/tests/streams/stored_messages_lie_below_the_offsets.sql")
    assert below_the_offsets()
    crash(place, monkeypatch, lambda: sink.store(batch(1, 2)))
    assert next_offset(place) == 1
    assert below_the_offsets()

    place.query("update streaming.kafka_offsets set next_offset = 0")

    assert not below_the_offsets()


def rendered(path: Path) -> str:
    """Return a dbt test as dbt would run it on Snowflake."""
    import jinja2

    macros = PROJECT_ROOT / "include/dbt/macros/dialect/is_settled.sql"
    dialect = jinja2.Environment(extensions=["jinja2.ext.do"]).from_string(macros.read_text("utf-8")).module
    return jinja2.Template(path.read_text(encoding="utf-8")).render(
        source=lambda schema, table: f"{schema}.{table}", is_settled=vars(dialect)["snowflake__is_settled"]
    )


@pytest.mark.parametrize(
    ("double", "real"), [(SnowpipeClient, StreamingIngestClient), (SnowpipeChannel, StreamingIngestChannel)]
)
def test_the_double_has_the_signatures_of_the_sdk(double: type, real: type) -> None:
    def signature(kind: type, name: str) -> list[tuple[Any, ...]]:
        parameters = inspect.signature(getattr(kind, name)).parameters.values()
        return [(one.name, one.kind, one.default) for one in parameters]

    shared = [name for name in vars(double) if hasattr(real, name) and inspect.isfunction(vars(double)[name])]
    made_by_the_sdk_itself = {"__init__"} if double is SnowpipeChannel else set()
    for name in set(shared) - made_by_the_sdk_itself:
        assert signature(double, name) == signature(real, name)
    assert {"open_channel"} <= set(shared) or {"append_rows", "close", "get_channel_status"} <= set(shared)


def test_the_sdk_understands_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads the key before it asks anybody: a wrong passphrase shows that all came through."""
    key = tmp_path / "user.p8"
    key.write_bytes(
        rsa.generate_private_key(65537, 2048).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"right"),
        )
    )
    login = SnowflakeSettings(
        account="my_org-account", user="loader", private_key_path=key, private_key_passphrase="wrong"
    )

    with pytest.raises(StreamingIngestError, match="decrypt private key") as caught:
        snowpipe.snowpipe_client(login, snowpipe.pipe_name("streaming.bitcoin_prices_raw"))

    assert caught.value.error_code is StreamingIngestErrorCode.AUTH_TOKEN_ERROR
    assert "MARKETING_INSIGHTS_DB.STREAMING.BITCOIN_PRICES_PIPE" in str(caught.value)
    assert "wrong" not in str(caught.value)


def test_the_client_logs_in_as_the_settings_say(sink: Sink, service: SnowpipeService) -> None:
    [client] = service.clients
    assert client.properties["url"] == f"https://127.0.0.1:{os.environ['SNOWFLAKE_PORT']}"
    assert client.properties["role"] == "STREAMER"
    assert client.properties["private_key_file"] == os.environ["SNOWFLAKE_PRIVATE_KEY_PATH"]


@pytest.mark.parametrize("missing", ["SNOWFLAKE_ACCOUNT", "SNOWFLAKE_USER", "SNOWFLAKE_PRIVATE_KEY_PATH"])
def test_a_login_without_key_pair_is_refused_at_the_start(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SNOWFLAKE_ACCOUNT", "SNOWFLAKE_USER", "SNOWFLAKE_PRIVATE_KEY_PATH"):
        monkeypatch.setenv(name, "something")
    monkeypatch.setenv("SNOWFLAKE_PASSWORD", "secret")
    monkeypatch.delenv(missing)

    with pytest.raises(ValueError, match=missing) as caught:
        get_sink(Settings(warehouse="snowflake"), ConsumerSettings(snowflake_sink="snowpipe"))

    assert "secret" not in str(caught.value)


def test_whoever_uses_another_sink_does_not_load_the_sdk() -> None:
    code = (
        "import sys; import streaming_workers.consumer.__main__;"
        " from streaming_workers.consumer.sinks import get_sink;"
        " get_sink(); assert 'snowflake.ingest' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=PROJECT_ROOT, check=True)


def test_a_pipe_fills_every_column_of_its_table(sink: Sink, service: SnowpipeService) -> None:
    """Snowpipe Streaming puts NULL where a pipe names no field."""
    assert isinstance(sink, snowpipe.SnowpipeSink)
    for stream in STREAMS.values():
        columns = [column.split()[0] for column in sink.table_columns()[stream.table]]
        pipe = service.pipes[snowpipe.pipe_name(stream.table).upper()]
        assert pipe.table == stream.table
        assert pipe.fields == {column: column for column in columns}


class SnowflakeStage(Stage):
    """A broker with fresh topics, and Snowflake instead of a DuckDB file."""

    place: Place

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        return self.place.query(sql)

    def _tried(self, sql: str) -> list[tuple[Any, ...]]:
        """The tables are there from the start."""
        return self.query(sql)

    async def consume(self, until: Callable[[], None], *, crash: bool = False) -> None:
        """Run a consumer until a condition has been waited for; then it stops, or is dropped where it is."""
        settings = ConsumerSettings(batch_seconds=0.05, batch_rows=60, session_timeout_seconds=3)
        kafka = self.broker.kafka_settings(partitions=self.partitions)
        deadline = threading.Timer(60, lambda: None)
        consumer = Consumer(settings, kafka, self.place.new_sink())
        running = asyncio.create_task(consumer.run(deadline))
        await asyncio.to_thread(until)
        if not crash:
            signal.raise_signal(signal.SIGTERM)
            await running
            deadline.cancel()


@pytest.fixture
def stage(broker: Broker, place: Place, tmp_path: Path) -> SnowflakeStage:
    one = SnowflakeStage(broker, tmp_path)
    one.place = place
    one.place.new_sink().prepare()
    return one


def trouble(service: SnowpipeService, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let Snowflake fail in every way now and then; return what it did, for the test to assert."""
    chance = random.Random(7)
    certain = {3: "client lost", 7: "channel lost", 11: "down"}
    done: list[str] = []
    poll, append = SnowpipeChannel.get_channel_status, SnowpipeChannel.append_rows

    def troubled_look(self: SnowpipeChannel) -> ChannelStatus:
        what = certain.get(len(done)) or chance.choices([*certain.values(), ""], [1, 1, 1, 40])[0]
        with service.lock:
            self._client.lost = self._client.lost or what == "client lost"
            if what == "channel lost":
                self._client.open_channel(self._name)
            service.down = what == "down"
            done.append(what)
            try:
                return poll(self)
            finally:
                service.down = False

    def troubled_append(self: SnowpipeChannel, *arguments: Any) -> None:
        with service.lock:
            service.saturated_after = chance.choices([0, None], [1, 20])[0]
            try:
                append(self, *arguments)
            finally:
                service.saturated_after = None

    monkeypatch.setattr(SnowpipeChannel, "get_channel_status", troubled_look)
    monkeypatch.setattr(SnowpipeChannel, "append_rows", troubled_append)
    monkeypatch.setattr(snowpipe, "COMMIT_SECONDS", 0.5)
    monkeypatch.setattr(snowpipe, "APPEND_BYTES", 4_000)
    service.rejects = lambda row: row["kafka_offset"] % 13 == 5
    return done


def test_the_consumer_stores_every_event_once_whatever_snowflake_does(
    stage: SnowflakeStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert stage.place.snowpipe
    done = trouble(stage.place.snowpipe, monkeypatch)
    poison = [Message(b"{", b"poison"), Message(None, b"poison"), Message(b"", b"poison")]
    stage.produce([*prices(range(100)), *poison, *prices(range(100, 200)), *poison])

    asyncio.run(stage.consume(lambda: stage.wait_for_rows(50), crash=True))
    stage.produce(prices(range(200, 250)))
    asyncio.run(stage.consume(stage.wait_for_offsets))

    stage.wait_until(lambda: not still_working(), "the thread of the consumer that was dropped")

    assert_exactly_once(stage, [f"event-{number}" for number in range(250)])
    assert len(stage.dead_letters()) == 6
    assert {"client lost", "channel lost", "down"} <= set(done)
