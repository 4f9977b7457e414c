"""Lineage is told to nobody unless a setting says to whom."""

import pytest
from airflow.providers.openlineage import conf

VARIABLES = ("OPENLINEAGE_URL", "OPENLINEAGE_CONFIG", "AIRFLOW__OPENLINEAGE__TRANSPORT")


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the variables; under pytest the provider reads them each time."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


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
