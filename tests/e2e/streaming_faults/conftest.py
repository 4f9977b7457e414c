"""One real broker, on which every test gets fresh topics and a warehouse file that is not there yet."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kafka import Broker, running_broker
from tests.streaming_workers.harness import Stage


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """The broker of all scenarios; one that harms it leaves it running."""
    with running_broker(tmp_path_factory.mktemp("kafka")) as one:
        yield one


@pytest.fixture
def stage(broker: Broker, tmp_path: Path) -> Stage:
    """Fresh topics of three partitions each, and a folder for the warehouse and the consumers' logs."""
    return Stage(broker, tmp_path)
