"""A real Apache Kafka as one process on this machine: its files, its command, and when it is ready."""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from pathlib import Path
from string import Template

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from include.settings import Settings
from standalone.kafka.errors import BrokerError
from standalone.kafka.jars import INSTALL_HINT, fetch_jars, find_program, jar_dir
from standalone.processes import Command

HERE = Path(__file__).parent
JVM_OPTIONS = (
    # A small heap: Kafka leaves its data to the page cache.
    "-Xms256m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    # Only the first-tier compiler: half the processor time of a start, and a third less under load.
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",
)
POLL_SECONDS = 0.1
ANSWER_SECONDS = 2


def bootstrap_servers(settings: Settings) -> str:
    """Return the address of the local broker, host:port."""
    return f"127.0.0.1:{settings.kafka_port}"


def broker_ports(settings: Settings) -> tuple[int, int]:
    """Return the ports that the local broker listens on: its clients' and its controller's."""
    return settings.kafka_port, settings.kafka_port + 1


def uses_own_broker(settings: Settings, env: Mapping[str, str] | None = None) -> bool:
    """Return whether the stack runs a broker itself: KAFKA_BOOTSTRAP_SERVERS names no other cluster.

    A local broker's address counts as none: env.sh gives it to the user's shell, as LOCAL_KAFKA_BROKER too.
    """
    env = os.environ if env is None else env
    named = env.get("KAFKA_BOOTSTRAP_SERVERS", "").strip()
    return named in ("", bootstrap_servers(settings), env.get("LOCAL_KAFKA_BROKER"))


def prepare_broker(settings: Settings) -> None:
    """Fetch the jars and format the storage, each once; rewrite the configuration.

    Raises BrokerError if Java or Maven is missing or fails.
    """
    fetch_jars()
    _write_properties(settings, _data_dir(settings), _properties(settings))
    if not _data_dir(settings).exists():
        _format(settings)


def broker_command(settings: Settings) -> Command:
    """Return the command of the broker that prepare_broker made ready; SIGTERM stops it in order."""
    return Command("kafka", [*_java(), "kafka.Kafka", str(_properties(settings))])


def wait_for_broker(servers: str, timeout: float = 60) -> None:
    """Return once a broker is ready; for code outside an event loop. Raises BrokerError after timeout (s)."""
    deadline = time.monotonic() + timeout
    while not broker_is_ready(servers):
        if time.monotonic() > deadline:
            raise BrokerError(f"No Kafka broker answers at {servers} after {timeout:.0f} s")
        time.sleep(POLL_SECONDS)


def broker_is_ready(servers: str) -> bool:
    """Return whether a broker answers and is registered in the cluster; for code outside an event loop."""
    return any(_listens(server) for server in servers.split(",")) and asyncio.run(_has_live_brokers(servers))


def _listens(server: str) -> bool:
    """Return whether the port is open: a Kafka client would log an error at every try before that."""
    host, _, port = server.strip().rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS).close()
    except OSError:
        return False
    return True


async def _has_live_brokers(servers: str) -> bool:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers, request_timeout_ms=ANSWER_SECONDS * 1000)
    try:
        await admin.start()
        cluster = await admin.describe_cluster()
    except KafkaError:
        return False
    finally:
        await admin.close()
    return bool(cluster["brokers"])


def _format(settings: Settings) -> None:
    """Format the storage beside its place and rename it, so that it is complete or absent."""
    unfinished = _data_dir(settings).with_name("data.unfinished")
    properties = unfinished.with_suffix(".properties")
    if unfinished.exists():
        shutil.rmtree(unfinished)
    _write_properties(settings, unfinished, properties)
    tool = [*_java(), "kafka.tools.StorageTool", "format", "--standalone"]
    result = subprocess.run(  # noqa: S603
        [*tool, f"--cluster-id={_cluster_id()}", f"--config={properties}"],  # an id may start with a dash
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if "UnsupportedClassVersionError" in result.stdout:
        raise BrokerError(f"Kafka needs Java 17 or newer; {tool[0]} is older. {INSTALL_HINT}")
    if result.returncode != 0:
        raise BrokerError(f"Kafka could not format {unfinished}:\n{result.stdout.strip()}")
    properties.unlink()
    unfinished.rename(_data_dir(settings))


def _write_properties(settings: Settings, data_dir: Path, target: Path) -> None:
    port, controller_port = broker_ports(settings)
    template = Template((HERE / "server.properties").read_text(encoding="utf-8"))
    # A properties file is Latin-1 with the escapes of JSON.
    escaped = json.dumps(str(data_dir))[1:-1]
    text = template.substitute(port=port, controller_port=controller_port, data_dir=escaped)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="latin-1")


def _java() -> list[str]:
    java = find_program("java", "The Kafka broker")
    logging = f"-Dlog4j2.configurationFile={HERE / 'log4j2.xml'}"
    return [java, *JVM_OPTIONS, logging, "-cp", f"{jar_dir()}/*"]


def _cluster_id() -> str:
    return urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


def _home(settings: Settings) -> Path:
    return settings.local_dir / "kafka"


def _data_dir(settings: Settings) -> Path:
    return _home(settings) / "data"


def _properties(settings: Settings) -> Path:
    return _home(settings) / "server.properties"
