"""Defaults of the consumer that depend on the warehouse."""

import pytest

from include.settings import SettingsError
from streaming_workers.settings import ConsumerSettings


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONSUMER_BATCH_SECONDS", "CONSUMER_STALL_SECONDS", "WAREHOUSE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("warehouse", "batch", "stall"), [("", 0.25, 120), ("duckdb", 0.25, 120), ("snowflake", 300, 900)]
)
def test_on_snowflake_a_batch_takes_minutes(
    warehouse: str, batch: float, stall: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAREHOUSE", warehouse)
    settings = ConsumerSettings()
    assert (settings.batch_seconds, settings.stall_seconds) == (batch, stall)


def test_a_setting_wins_over_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAREHOUSE", "snowflake")
    monkeypatch.setenv("CONSUMER_BATCH_SECONDS", "60")
    assert (ConsumerSettings().batch_seconds, ConsumerSettings().stall_seconds) == (60, 180)
    monkeypatch.setenv("CONSUMER_STALL_SECONDS", "61")
    assert ConsumerSettings().stall_seconds == 61


def test_waiting_for_a_batch_is_no_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONSUMER_BATCH_SECONDS", "200")
    monkeypatch.setenv("CONSUMER_STALL_SECONDS", "120")
    with pytest.raises(
        SettingsError, match="CONSUMER_STALL_SECONDS=120 must be above CONSUMER_BATCH_SECONDS=200"
    ):
        ConsumerSettings()
