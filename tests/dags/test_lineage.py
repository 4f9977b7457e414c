"""Lineage is told to nobody unless a setting says to whom."""

from collections.abc import Iterator

import pytest
from airflow.providers.openlineage import conf

VARIABLES = ("OPENLINEAGE_URL", "OPENLINEAGE_CONFIG", "AIRFLOW__OPENLINEAGE__TRANSPORT")


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    forget()
    yield
    forget()


def forget() -> None:
    for one in (conf.is_disabled, conf.transport, conf.config_path, conf.namespace):
        one.cache_clear()


def test_lineage_is_off_by_default() -> None:
    assert conf.is_disabled()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OPENLINEAGE_URL", "http://marquez:5000"),
        ("AIRFLOW__OPENLINEAGE__TRANSPORT", '{"type": "console"}'),
    ],
)
def test_a_variable_switches_it_on(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    monkeypatch.setenv("OPENLINEAGE_NAMESPACE", "shop")
    assert not conf.is_disabled()
    assert conf.namespace() == "shop"
