"""A real Kafka broker for tests, with the faults that a test can do to it from outside."""

import asyncio
import random
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import NoError, UnknownTopicOrPartitionError, for_code

from include.settings import Settings
from standalone.kafka import bootstrap_servers, broker_command, broker_is_ready, prepare_broker
from standalone.processes import tail
from streaming_workers.settings import KafkaSettings

# Below the ports that the kernel gives to outgoing connections: while the broker is down, a client that
# tries to reconnect could otherwise be given the broker's own port.
PORTS = range(20_000, 32_000, 2)


class Broker:
    """One broker in its folder; stopped or killed and started again, it has the same address and data.

    No method may be called inside a running event loop: use asyncio.to_thread there.
    """

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(local_dir=folder, kafka_port=free_port())
        self.bootstrap_servers = bootstrap_servers(self.settings)
        self.log = folder / "kafka.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The pid of the running broker."""
        return self._running().pid

    def kafka_settings(self, **changes: object) -> KafkaSettings:
        """Return the workers' settings that lead to this broker."""
        return KafkaSettings.model_validate({"bootstrap_servers": self.bootstrap_servers, **changes})

    def start(self, timeout: float = 90) -> None:
        """Start it and return when it is ready; its output is appended to the log."""
        assert self._process is None, "the broker runs already"
        prepare_broker(self.settings)
        with self.log.open("ab") as log:
            argv = broker_command(self.settings).argv
            self._process = subprocess.Popen(argv, stdout=log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + timeout
        while not broker_is_ready(self.bootstrap_servers):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"the broker did not start:\n{tail(self.log, 30)}")
            time.sleep(0.1)

    def stop(self) -> None:
        """End it in order (SIGTERM)."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once (SIGKILL), frozen or not."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop it in order and start it again."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Stop it from doing anything (SIGSTOP); its connections stay open."""
        self._running().send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on after freeze."""
        self._running().send_signal(signal.SIGCONT)

    def delete_topics(self, *names: str) -> None:
        """Delete the topics, with all they hold, that exist."""
        asyncio.run(_delete_topics(self.bootstrap_servers, names))

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process, "the broker does not run"
        return self._process

    def _end(self, signum: signal.Signals) -> None:
        process = self._running()
        process.send_signal(signum)
        try:
            process.wait(timeout=300)
        finally:
            process.kill()
            process.wait()
            self._process = None


@contextmanager
def running_broker(folder: Path) -> Iterator[Broker]:
    """Give a broker that is ready, and end it afterwards in whatever state the test left it."""
    broker = Broker(folder)
    try:
        broker.start()
        yield broker
    finally:
        if broker._process:
            broker.kill()


async def _delete_topics(servers: str, names: Sequence[str]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    try:
        await admin.start()
        response = await admin.delete_topics(list(names))
        errors = {for_code(code) for _, code in response.topic_error_codes}
        assert errors <= {NoError, UnknownTopicOrPartitionError}, errors
        while set(await admin.list_topics()) & set(names):  # the broker learns of it a moment later
            await asyncio.sleep(0.05)
    finally:
        await admin.close()


def free_port() -> int:
    """Return a port that is free, as is the next one."""
    return next(port for port in random.sample(PORTS, len(PORTS)) if _is_free(port) and _is_free(port + 1))


def _is_free(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
