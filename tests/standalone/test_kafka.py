"""The local broker is a real one: made ready once, durable, reachable from this machine alone."""

import asyncio
import hashlib
import os
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.structs import TopicPartition

from include.settings import Settings
from standalone.kafka import (
    BrokerError,
    bootstrap_servers,
    broker_command,
    broker_is_ready,
    broker_ports,
    jars,
    prepare_broker,
    uses_own_broker,
    wait_for_broker,
)
from standalone.kafka.jars import POM, fetch_jars, jar_dir, kafka_version
from tests.kafka import Broker, free_port, running_broker

MESSAGES = [f"message {number}".encode() for number in range(2_000)]
FAKE_MAVEN = """#!/bin/sh
for argument; do case $argument in -DoutputDirectory=*) target=${argument#*=};; esac; done
echo x >> "$CALLS"
sleep 0.3
mkdir -p "$target"
echo ${JAR:-jar} > "$target/kafka.jar"
exit ${MAVEN_EXIT:-0}
"""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker whose folder has a blank in its name, as a user's may."""
    with running_broker(tmp_path_factory.mktemp("a folder")) as one:
        yield one


def test_messages_outlive_a_killed_broker(broker: Broker) -> None:
    send(broker, "killed", MESSAGES)

    broker.kill()
    assert not broker_is_ready(broker.bootstrap_servers)
    broker.start()

    assert read(broker, "killed") == MESSAGES


def test_messages_outlive_a_stop_and_a_change_of_the_port(broker: Broker) -> None:
    send(broker, "moved", MESSAGES)

    began = time.monotonic()
    broker.stop()
    assert time.monotonic() - began < 10  # `make down` kills what has not ended after 15 seconds
    broker.settings = broker.settings.model_copy(update={"kafka_port": free_port()})
    broker.bootstrap_servers = bootstrap_servers(broker.settings)
    broker.start()

    assert read(broker, "moved") == MESSAGES
    send(broker, "moved", [b"one more"], make=False)
    assert read(broker, "moved") == [*MESSAGES, b"one more"]


def test_a_frozen_broker_is_not_ready_until_it_goes_on(broker: Broker) -> None:
    broker.freeze()
    assert not broker_is_ready(broker.bootstrap_servers)

    broker.thaw()
    wait_for_broker(broker.bootstrap_servers)


def test_only_this_machine_reaches_the_broker(broker: Broker) -> None:
    listening = [c.laddr for c in psutil.Process(broker.pid).net_connections("tcp") if c.status == "LISTEN"]

    assert {address.ip.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}
    assert {address.port for address in listening} == set(broker_ports(broker.settings))


def test_a_topic_that_nobody_made_is_not_made_by_asking_for_it(broker: Broker) -> None:
    async def ask() -> list[str]:
        admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
        try:
            await admin.start()
            (answer,) = await admin.describe_topics(["misspelt"])
            assert answer["error_code"] == 3  # unknown topic or partition
            return list(await admin.list_topics())
        finally:
            await admin.close()

    assert "misspelt" not in asyncio.run(ask())


def test_storage_is_formatted_once_and_after_an_interrupted_try(tmp_path: Path) -> None:
    settings = Settings(local_dir=tmp_path, kafka_port=free_port())
    unfinished = tmp_path / "kafka" / "data.unfinished"
    unfinished.mkdir(parents=True)
    (unfinished / "meta.properties").write_text("cut o")

    prepare_broker(settings)
    formatted = (tmp_path / "kafka" / "data" / "meta.properties").read_text()
    prepare_broker(settings)

    assert "cluster.id=" in formatted
    assert (tmp_path / "kafka" / "data" / "meta.properties").read_text() == formatted
    assert not unfinished.exists()


def test_a_failed_format_says_why_and_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(local_dir=tmp_path, kafka_port=free_port())
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-XX:+NoSuchOption")
    with pytest.raises(BrokerError, match="Unrecognized VM option 'NoSuchOption'"):
        prepare_broker(settings)
    assert not (tmp_path / "kafka" / "data").exists()

    monkeypatch.delenv("JAVA_TOOL_OPTIONS")
    prepare_broker(settings)

    assert (tmp_path / "kafka" / "data" / "meta.properties").exists()


def test_a_cluster_id_may_start_with_a_dash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One in 64 does, and looks like an option."""
    monkeypatch.setattr("uuid.uuid4", lambda: uuid.UUID("fbefbeef-beef-4eef-beef-beefbeefbeef"))

    prepare_broker(Settings(local_dir=tmp_path, kafka_port=free_port()))

    properties = (tmp_path / "kafka" / "data" / "meta.properties").read_text()
    assert "cluster.id=---" in properties


def test_waiting_for_a_broker_that_never_comes_ends() -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    with pytest.raises(BrokerError, match=rf"No Kafka broker answers at {nowhere} after 0 s"):
        wait_for_broker(nowhere, timeout=0.3)


@pytest.mark.parametrize(
    ("named", "own"),
    [
        (None, True),
        ("", True),
        (" ", True),
        ("127.0.0.1:9192", True),
        ("127.0.0.1:9092", False),
        ("kafka-1.example.org:9092,kafka-2.example.org:9092", False),
    ],
)
def test_the_stack_runs_a_broker_unless_another_cluster_is_named(named: str | None, *, own: bool) -> None:
    env = {} if named is None else {"KAFKA_BOOTSTRAP_SERVERS": named}

    assert uses_own_broker(Settings(kafka_port=9192), env) is own


class FakeMaven:
    """An `mvn` that makes one jar and counts how often it was called."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._calls = folder / "calls"
        self.libs = folder / "libs"
        program = folder / "bin" / "mvn"
        program.parent.mkdir()
        program.write_text(FAKE_MAVEN)
        program.chmod(0o755)
        monkeypatch.setenv("CALLS", str(self._calls))
        self.checksums = folder / "jars.sha512"
        digest = hashlib.sha512(b"jar\n").hexdigest()
        self.checksums.write_text(f"{digest}  kafka.jar\n")
        monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)

    def fetch(self, pom: Path = POM) -> Path:
        return fetch_jars(pom, self.libs, self.checksums)

    def calls(self) -> int:
        return len(self._calls.read_text().splitlines())


@pytest.fixture
def maven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeMaven:
    return FakeMaven(tmp_path, monkeypatch)


def test_jars_are_fetched_once_also_by_two_at_once(maven: FakeMaven) -> None:
    with ThreadPoolExecutor() as pool:
        folders = list(pool.map(lambda _: maven.fetch(), range(4)))

    assert maven.calls() == 1
    assert set(folders) == {jar_dir(libs=maven.libs)}
    assert (folders[0] / "kafka.jar").exists()
    assert kafka_version() in folders[0].name


def test_another_pin_fetches_other_jars(maven: FakeMaven, tmp_path: Path) -> None:
    pom = tmp_path / "pom.xml"
    pom.write_text(POM.read_text().replace("2.25.5", "2.25.6"))

    assert maven.fetch() != maven.fetch(pom)
    assert maven.calls() == 2


def test_a_failed_fetch_leaves_nothing_and_is_tried_again(
    maven: FakeMaven, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAVEN_EXIT", "1")
    with pytest.raises(BrokerError, match="Maven could not fetch"):
        maven.fetch()
    assert [path.name for path in maven.libs.iterdir()] == [".lock"]

    monkeypatch.setenv("MAVEN_EXIT", "0")
    assert (maven.fetch() / "kafka.jar").exists()


def test_a_jar_that_was_tampered_with_is_not_used(maven: FakeMaven, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAR", "another")
    with pytest.raises(BrokerError, match=r"other jars than .*jars\.sha512 lists: kafka\.jar\."):
        maven.fetch()
    assert [path.name for path in maven.libs.iterdir()] == [".lock"]


def test_a_jar_too_many_is_not_used(maven: FakeMaven) -> None:
    maven.checksums.write_text("")
    with pytest.raises(BrokerError, match=r"lists: kafka\.jar\."):
        maven.fetch()


def test_the_listed_jars_are_those_that_are_installed() -> None:
    installed = {jar.name: hashlib.sha512(jar.read_bytes()).hexdigest() for jar in jar_dir().iterdir()}
    lines = (line.split() for line in jars.CHECKSUMS.read_text().splitlines())
    listed = {name: checksum for checksum, name in lines}
    assert len(listed) > 40
    assert installed == listed


@pytest.mark.parametrize(
    ("program", "action"),
    [
        ("mvn", lambda folder: fetch_jars(libs=folder / "libs")),
        ("java", lambda folder: broker_command(Settings(local_dir=folder))),
    ],
)
def test_a_missing_program_is_named_with_what_to_install(
    program: str, action: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)

    with pytest.raises(BrokerError, match=rf"needs {program}, which is not on the PATH\. .*apt-get install"):
        action(tmp_path)


def test_an_old_java_is_named_with_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\necho java.lang.UnsupportedClassVersionError: kafka/tools/X\nexit 1\n")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))

    with pytest.raises(BrokerError, match=rf"needs Java 17 or newer; {java} is older.*apt-get install"):
        prepare_broker(Settings(local_dir=tmp_path))


def send(broker: Broker, topic: str, values: list[bytes], *, make: bool = True) -> None:
    async def produce() -> None:
        if make:
            await _make(broker, topic)
        async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap_servers, acks="all") as producer:
            sent = [await producer.send(topic, value, partition=0) for value in values]
            await asyncio.gather(*sent)

    asyncio.run(produce())


async def _make(broker: Broker, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
    try:
        await admin.start()
        await admin.create_topics([NewTopic(topic, 1, 1)])
    finally:
        await admin.close()


def read(broker: Broker, topic: str) -> list[bytes]:
    """Return every message that the topic holds, in order."""

    async def consume() -> list[bytes]:
        partition = TopicPartition(topic, 0)
        async with AIOKafkaConsumer(bootstrap_servers=broker.bootstrap_servers) as consumer:
            consumer.assign([partition])
            await consumer.seek_to_beginning(partition)
            end = (await consumer.end_offsets([partition]))[partition]
            values: list[bytes] = []
            while await consumer.position(partition) < end:
                records = await consumer.getmany(partition, timeout_ms=1000)
                values += [record.value for record in records.get(partition, [])]
        return values

    return asyncio.run(consume())
