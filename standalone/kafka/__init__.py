"""The local broker: a real Apache Kafka from its Maven artefacts, without a container."""

from standalone.kafka.broker import (
    bootstrap_servers,
    broker_command,
    broker_is_ready,
    broker_ports,
    prepare_broker,
    uses_own_broker,
    wait_for_broker,
)
from standalone.kafka.errors import BrokerError

__all__ = [
    "BrokerError",
    "bootstrap_servers",
    "broker_command",
    "broker_is_ready",
    "broker_ports",
    "prepare_broker",
    "uses_own_broker",
    "wait_for_broker",
]
