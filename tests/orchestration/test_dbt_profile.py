"""How dbt reaches Snowflake from Airflow: by the connection, whatever credentials it holds, or by a file."""

import base64
import json
import os
from typing import Any

import pytest
import yaml
from airflow.sdk.bases.hook import BaseHook
from cosmos import ProfileConfig

from include.orchestration.dbt_profile import dbt_profile
from include.settings import DBT_PROJECT_DIR, Settings

SECRET_KEY = base64.b64encode(b"-----BEGIN PRIVATE KEY-----\nMIIE\n").decode()
SNOWFLAKE = Settings(warehouse="snowflake")


@pytest.fixture(autouse=True)
def unconfigured(monkeypatch: pytest.MonkeyPatch) -> None:
    """No SNOWFLAKE_* and no connection."""
    for name in [name for name in os.environ if name.startswith(("SNOWFLAKE_", "AIRFLOW_CONN_SNOWFLAKE"))]:
        monkeypatch.delenv(name)


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that makes the connection with these extras, and this password."""

    def make(password: str = "", **extra: str) -> None:
        connection = {"conn_type": "snowflake", "login": "marketing_airflow", "password": password}
        value = json.dumps({**connection, "extra": {"account": "acme-shop", **extra}})
        monkeypatch.setenv("AIRFLOW_CONN_SNOWFLAKE_DEFAULT", value)

    return make


def profile_of(config: ProfileConfig) -> tuple[str, dict[str, Any], dict[str, str]]:
    """Return the text of profiles.yml, its output, and the variables that dbt gets with it."""
    with config.ensure_profile() as (file, secrets):
        text = file.read_text(encoding="utf-8")
    return text, yaml.safe_load(text)["marketing_insights"]["outputs"]["snowflake"], secrets


@pytest.mark.parametrize(
    ("password", "extra", "fields"),
    [
        ("hush-hush", {"private_key_content": SECRET_KEY}, {"private_key", "private_key_passphrase"}),
        ("", {"private_key_content": SECRET_KEY}, {"private_key"}),
        ("hush-hush", {"private_key_file": "/keys/a.p8"}, {"private_key_path", "private_key_passphrase"}),
        ("", {"private_key_file": "/keys/a.p8"}, {"private_key_path"}),
        ("hush-hush", {}, {"password"}),
    ],
    ids=["encrypted key", "key", "encrypted key file", "key file", "password"],
)
def test_each_kind_of_credentials_reaches_dbt_and_no_file(
    connect: Any, password: str, extra: dict[str, str], fields: set[str]
) -> None:
    connect(password, **extra)

    text, output, secrets = profile_of(dbt_profile(SNOWFLAKE))

    credentials = {"password", "private_key", "private_key_path", "private_key_passphrase"}
    assert credentials & set(output) == fields
    assert (output["account"], output["user"]) == ("acme-shop", "marketing_airflow")
    assert "hush" not in text
    assert "BEGIN" not in text
    assert set(secrets.values()) >= ({password} if password else set())


def test_role_warehouse_and_database_are_those_of_the_settings(
    connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect("hush-hush", role="ACCOUNTADMIN", warehouse="BIG", database="OTHER")

    _, output, _ = profile_of(dbt_profile(SNOWFLAKE))
    assert (output["role"], output["warehouse"]) == ("TRANSFORMER", "TRANSFORMING")
    assert (output["database"], output["schema"]) == ("OTHER", "analytics")

    monkeypatch.setenv("SNOWFLAKE_ROLE", "DEVELOPER")
    monkeypatch.setenv("SNOWFLAKE_DATABASE", "MINE")
    _, output, _ = profile_of(dbt_profile(SNOWFLAKE))
    assert (output["role"], output["database"]) == ("DEVELOPER", "MINE")


def test_both_profiles_say_the_same(connect: Any) -> None:
    """But for the credentials, and for what is the account's alone."""
    connect("hush-hush")
    _, mapped, _ = profile_of(dbt_profile(SNOWFLAKE))
    written = yaml.safe_load((DBT_PROJECT_DIR / "profiles.yml").read_text(encoding="utf-8"))
    own = written["marketing_insights"]["outputs"]["snowflake"]

    for name in ("schema", "threads", "reuse_connections", "query_tag", "type"):
        assert mapped[name] == own[name], name
    assert "TRANSFORMER" in own["role"]
    assert "TRANSFORMING" in own["warehouse"]


def test_an_account_in_the_environment_wins(connect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    connect("hush-hush")
    monkeypatch.setenv("SNOWFLAKE_ACCOUNT", "acme-other")

    assert dbt_profile(SNOWFLAKE).profiles_yml_filepath == DBT_PROJECT_DIR / "profiles.yml"


def test_the_connection_is_not_read_before_dbt_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the connection was read")

    monkeypatch.setattr(BaseHook, "get_connection", refuse)

    config = dbt_profile(SNOWFLAKE)

    assert config.get_profile_type() == "snowflake"
    with pytest.raises(AssertionError, match="was read"):
        profile_of(config)


def test_a_connection_without_credentials_is_one_clear_sentence(connect: Any) -> None:
    connect()

    with pytest.raises(
        ValueError, match=r"snowflake_default needs .* private key .* or, for trials, a password"
    ):
        profile_of(dbt_profile(SNOWFLAKE))
