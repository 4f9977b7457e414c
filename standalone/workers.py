"""The streaming part of the local stack: broker, feeds, producer, consumer."""

import asyncio
import sys
from collections.abc import Mapping

import requests

from include.settings import Settings
from standalone.kafka import bootstrap_servers, broker_command, broker_ports, uses_own_broker
from standalone.processes import Command
from streaming_workers.dead_letters.topic import newest
from streaming_workers.events import STREAMS
from streaming_workers.settings import ConsumerSettings, KafkaSettings, ProducerSettings

PRODUCER = Command("producer", [sys.executable, "-m", "streaming_workers.producer"])
CONSUMER = Command("consumer", [sys.executable, "-m", "streaming_workers.consumer"])
BROKER = "kafka"  # the name of the broker's command
PROBE_SECONDS = 2


def streaming_commands(settings: Settings, env: Mapping[str, str]) -> tuple[Command, ...]:
    """Return the programs that the setting FEEDS asks for, in the order of their start."""
    if settings.feeds == "none":
        return ()
    broker = (broker_command(settings),) if uses_own_broker(settings, env) else ()
    simulator = (_simulator(settings),) if settings.feeds == "simulator" else ()
    return (*broker, *simulator, PRODUCER, CONSUMER)


def streaming_ports(settings: Settings, env: Mapping[str, str]) -> list[tuple[int, str]]:
    """Return each port of this machine that the streaming part opens, with the setting that moves it."""
    ports = [(port, setting) for _, port, setting in _worker_ports()] if settings.feeds != "none" else []
    if settings.feeds == "simulator":
        ports.append((settings.simulator_port, "SIMULATOR_PORT"))
    if settings.feeds != "none" and uses_own_broker(settings, env):
        ports += [(port, "KAFKA_PORT") for port in broker_ports(settings)]
    return ports


def broker_environment(settings: Settings, base: Mapping[str, str]) -> dict[str, str]:
    """Return what leads everything to the broker; nothing where base names the user's own cluster."""
    if settings.feeds == "none" or not uses_own_broker(settings, base):
        return {}
    address = bootstrap_servers(settings)
    # The second tells a later stack, started from a shell that sourced env.sh, whose address this is.
    return {"KAFKA_BOOTSTRAP_SERVERS": address, "LOCAL_KAFKA_BROKER": address}


def feeds_environment(settings: Settings, base: Mapping[str, str]) -> dict[str, str]:
    """Return what leads the producer to the simulated feeds; nothing for the real ones."""
    if settings.feeds != "simulator":
        return {}
    address = f"http://127.0.0.1:{settings.simulator_port}"
    return {
        "COINGECKO_URL": f"{address}/api/v3",
        "NEWSAPI_URL": f"{address}/v2",
        "NEWSAPI_KEY": "simulator",
        # Nobody's quota is spent, and a demo of a minute should see more than two prices.
        "PRICE_INTERVAL_SECONDS": base.get("PRICE_INTERVAL_SECONDS", "2"),
        "NEWS_INTERVAL_SECONDS": base.get("NEWS_INTERVAL_SECONDS", "5"),
    }


def unhealthy_workers(settings: Settings) -> list[str]:
    """Return the workers whose /healthz does not answer that all is well."""
    if settings.feeds == "none":
        return []
    return [name for name, port, _ in _worker_ports() if not _is_healthy(port)]


def _worker_ports() -> list[tuple[str, int, str]]:
    """Return each worker that serves metrics, its port and the setting that moves it."""
    ports = [
        (PRODUCER.name, ProducerSettings().producer_metrics_port, "PRODUCER_METRICS_PORT"),
        (CONSUMER.name, ConsumerSettings().metrics_port, "CONSUMER_METRICS_PORT"),
    ]
    return [one for one in ports if one[1]]


def _is_healthy(port: int) -> bool:
    with requests.Session() as session:
        session.trust_env = False  # a proxy from the environment cannot reach this machine
        try:
            return session.get(f"http://127.0.0.1:{port}/healthz", timeout=PROBE_SECONDS).ok
        except requests.RequestException:
            return False


def count_dead_letters(env: Mapping[str, str]) -> int:
    """Return how many messages lie on the dead-letter topics of the stack with this environment."""
    kafka = KafkaSettings(bootstrap_servers=env["KAFKA_BOOTSTRAP_SERVERS"])
    return len(asyncio.run(newest(kafka, list(STREAMS.values()), limit=sys.maxsize)))


def _simulator(settings: Settings) -> Command:
    port = str(settings.simulator_port)
    return Command("simulator", [sys.executable, "-m", "standalone.simulator", "--port", port])
