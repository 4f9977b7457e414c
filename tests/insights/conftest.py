"""A snapshot that most tests share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from include.insights.block import Context
from include.insights.period import period_of
from include.insights.snapshot import Snapshot, latest
from tests.insights.snapshots import write_snapshot


@pytest.fixture(scope="session")
def location(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of the snapshot as it is."""
    return write_snapshot(tmp_path_factory.mktemp("insights"))


@pytest.fixture(scope="session")
def snapshot(location: str) -> Snapshot:
    return latest(location)


@pytest.fixture
def context_of(snapshot: Snapshot) -> Callable[..., Context]:
    """Return what blocks are made from, for a period as the page's address has it."""

    def make(period: str = "90d", **asked: str) -> Context:
        query = {"period": period, "compare": "1", **asked}
        return Context(snapshot, period_of(query, snapshot.first_day, snapshot.last_day))

    return make


@pytest.fixture
def changed(tmp_path: Path) -> Callable[..., Context]:
    """Return the same for a snapshot with some tables replaced."""

    def make(**tables: Any) -> Context:
        one = latest(write_snapshot(tmp_path, **tables))
        return Context(one, period_of({}, one.first_day, one.last_day))

    return make
