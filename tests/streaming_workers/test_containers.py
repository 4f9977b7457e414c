"""The workers' image, built as far as that goes without a container engine, and its containers at work."""

import contextlib
import json
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from include.warehouse.duckdb import DuckDBWarehouse
from tests.deployment.compose import services_of
from tests.deployment.image import Image, build
from tests.machine import free_port
from tests.streaming_workers.harness import Stage

PATIENCE_SECONDS = 90  # a machine may be busy; only a test that fails waits for so long
TOOLS = (
    "streaming_workers.dead_letters, streaming_workers.retention, include.container_secrets,"
    " include.warehouse.snowflake, streaming_workers.consumer.sinks.snowpipe, snowflake.ingest.streaming"
)


@pytest.fixture(scope="module")
def workers_image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The image with the packages of its own lock and no others."""
    folder = tmp_path_factory.mktemp("image")
    return build("streaming_workers/Dockerfile", "streaming_workers/requirements.txt", folder)


def test_the_image_holds_what_its_tools_import(workers_image: Image) -> None:
    result = workers_image.run(["python", "-P", "-c", f"import {TOOLS}"])

    assert result.returncode == 0, result.stderr


def _mount_folders(image: Image, service: dict[str, Any]) -> None:
    for mount in service.get("volumes", []):
        if mount["type"] == "bind":
            shutil.copytree(mount["source"], image.here(mount["target"]), dirs_exist_ok=True)


class Container:
    """A service's command in its image's folder, with the service's variables, at ports of this machine."""

    def __init__(self, image: Image, service: dict[str, Any], addresses: dict[str, str], **env: str) -> None:
        self._image, self._addresses = image, addresses
        _mount_folders(image, service)
        self.health = [self._led(word) for word in service["healthcheck"]["test"][1:]]
        variables = {name: self._led(value or "") for name, value in service.get("environment", {}).items()}
        self.log = image.folder / f"{service['command'][2]}.log"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [self._led(word) for word in service["command"]],
                cwd=image.home,
                env=image.variables({**variables, **env}),
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def _led(self, text: str) -> str:
        for ours, this_machine in self._addresses.items():
            text = re.sub(rf"\b{ours}\b", this_machine, text)
        return text

    def wait_until_healthy(self) -> None:
        """Return when the service's own health check passes."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (check := self._image.run(self.health)).returncode:
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, check.stderr + self.log.read_text()
            time.sleep(0.2)

    def stop(self) -> int:
        """Stop it as `docker stop` does; return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=20)
        finally:
            self.process.kill()


@contextlib.contextmanager
def running(
    image: Image, service: dict[str, Any], addresses: dict[str, str], **env: str
) -> Iterator[Container]:
    """Give a healthy container; afterwards it has stopped in order."""
    container = Container(image, service, addresses, **env)
    try:
        container.wait_until_healthy()
        yield container
        assert container.stop() == 0, container.log.read_text()
    finally:
        container.process.kill()
        container.process.wait()


def test_an_event_goes_through_the_containers(workers_image: Image, stage: Stage) -> None:
    """Simulator, producer and consumer with the commands, variables and health checks of the compose file."""
    services = services_of("simulator")
    simulator, producer, consumer = (str(free_port()) for _ in range(3))
    addresses = {
        "kafka:9092": stage.broker.bootstrap_servers,
        "simulator:8094": f"127.0.0.1:{simulator}",
        "localhost:8094": f"localhost:{simulator}",
        "8094": simulator,
        "9108": producer,
        "9109": consumer,
    }
    plain = {"KAFKA_SECURITY_PROTOCOL": "PLAINTEXT"}  # this broker knows no logins
    with (
        running(workers_image, services["simulator"], addresses),
        running(workers_image, services["producer"], addresses, PRODUCER_METRICS_PORT=producer, **plain),
        running(workers_image, services["consumer"], addresses, CONSUMER_METRICS_PORT=consumer, **plain),
    ):
        warehouse = DuckDBWarehouse(workers_image.here(workers_image.env["DUCKDB_PATH"]))
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (rows := stored(warehouse)):
            assert time.monotonic() < deadline
            time.sleep(0.2)
    assert json.loads(rows[0][0])["coin"] == "bitcoin"


def stored(warehouse: DuckDBWarehouse) -> list[tuple[Any, ...]]:
    """Return the prices that the consumer has stored; none before it has made its tables."""
    if not warehouse.path.exists():
        return []
    known = "select 1 from information_schema.tables where table_name = 'bitcoin_prices_raw'"
    with warehouse.session() as session:
        made = session.execute(known)
        return session.execute("select payload from streaming.bitcoin_prices_raw") if made else []
