"""A setting that cannot be used is one sentence and exit code 2, wherever it is read."""

import os
import re
import subprocess
import sys

import pytest

from include.settings import PROJECT_ROOT, Settings, SettingsError, SnowflakeSettings

PROGRAMS = (("standalone", "manifest"), ("include.retention",), ("ml.registry", "list"))


@pytest.mark.parametrize(
    ("settings", "variable", "value", "sentence"),
    [
        (Settings, "FEEDS", "lve", "FEEDS cannot be used: it should be 'simulator', 'live' or 'none'."),
        (Settings, "AIRFLOW_PORT", "eighty", "AIRFLOW_PORT cannot be used: it should be a valid integer"),
        (Settings, "AIRFLOW_PORT", "99999", "AIRFLOW_PORT cannot be used: it should be less than 65536."),
        (Settings, "HEARTBEAT_URL", "https://host/s3cret", "HEARTBEAT_URL cannot be used: it must contain"),
        (
            Settings,
            "DUCKDB_BUILD_MEMORY",
            "some 4GB",
            "BUILD_MEMORY cannot be used: it should be an amount of",
        ),
        (Settings, "DUCKDB_BUILD_MEMORY", "0GB", "BUILD_MEMORY cannot be used: it should be an amount of"),
        (SnowflakeSettings, "SNOWFLAKE_PORT", "x", "SNOWFLAKE_PORT cannot be used: it should be a valid"),
    ],
)
def test_a_wrong_setting_is_a_sentence_that_names_it(
    settings: type[Settings], variable: str, value: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=re.escape(sentence)) as refused:
        settings()
    assert "s3cret" not in str(refused.value)


def test_each_wrong_setting_has_its_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEEDS", "lve")
    monkeypatch.setenv("BACKUPS", "0")
    with pytest.raises(SettingsError) as refused:
        Settings()
    assert str(refused.value).count("cannot be used") == 2


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS, ids=" ".join)
def test_a_program_says_so_without_a_traceback(program: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", *program],
        cwd=PROJECT_ROOT,
        env=os.environ | {"FEEDS": "lve"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 2
    assert (
        done.stderr.strip() == "The setting FEEDS cannot be used: it should be 'simulator', 'live' or 'none'."
    )
