"""Real brokers for the tests of the workers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kafka import Broker, running_broker
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
