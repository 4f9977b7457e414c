"""The images, built as far as that goes without a container engine, and what runs in them."""

from pathlib import Path

import pytest

from tests.deployment.image import build, context, instructions
from tests.deployment.tools import ROOT

# What each Airflow container imports before it reaches for database or queue, then what a task imports.
IMPORTS = """
import importlib
for name in ("api_server", "dag_processor", "db", "pool", "scheduler", "triggerer"):
    importlib.import_module(f"airflow.cli.commands.{name}_command")
import airflow.api_fastapi.app, airflow.jobs.scheduler_job_runner, airflow.jobs.triggerer_job_runner
import airflow.providers.celery.cli.celery_command, airflow.providers.celery.executors.celery_executor_utils
import psycopg2, redis
from airflow.dag_processing.dagbag import DagBag
bag = DagBag("dags")
assert not bag.import_errors, bag.import_errors
from plugins.insights import InsightsPlugin
assert InsightsPlugin.fastapi_apps[0]["app"].routes
print(sorted(bag.dags))
"""


@pytest.mark.parametrize(
    ("dockerfile", "user"), [("Dockerfile", "astro"), ("streaming_workers/Dockerfile", "worker")]
)
def test_what_runs_in_an_image_cannot_change_its_code(dockerfile: str, user: str) -> None:
    """Root makes everything and takes the right to write from its group; only then another user comes."""
    steps = instructions(ROOT / dockerfile)
    last_copy = max(n for n, (word, _) in enumerate(steps) if word == "COPY")
    closing = max(n for n, (word, rest) in enumerate(steps) if word == "RUN" and "chmod -R go-w" in rest)
    others = [n for n, (word, rest) in enumerate(steps) if word == "USER" and rest != "root"]

    assert not [rest for word, rest in steps if word == "COPY" and "--ch" in rest]
    assert last_copy < closing < others[0]
    assert [steps[n][1] for n in others] == [user]
    assert not [rest for word, rest in steps[others[0] :] if word in {"RUN", "COPY", "ADD"}]


def test_only_code_enters_a_build(tmp_path: Path) -> None:
    code = ["dags/a.py", "include/dbt/models/a.sql", "ml/a.py", "requirements.txt", "packages.txt"]
    other = [
        ".env",
        ".git/config",
        ".local/warehouse/a.duckdb",
        "tests/a.py",
        "include/.env",
        "include/key.p8",
        "streaming_workers/ca.pem",
        "include/dbt/target/manifest.json",
        "include/dbt/seeds/customer_segments.csv",
        "dags/__pycache__/a.pyc",
    ]
    for name in code + other:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / ".dockerignore").write_text((ROOT / ".dockerignore").read_text())

    assert context(tmp_path) == set(code)


def test_the_airflow_image_holds_what_its_containers_import(tmp_path: Path) -> None:
    """The packages of its lock and no others, the manifest that its build has made, nobody's segments."""
    image = build("Dockerfile", "requirements.txt", tmp_path)

    result = image.run(["python", "-P", "-c", IMPORTS], AIRFLOW_HOME=str(tmp_path / "airflow"))

    assert result.returncode == 0, result.stderr
    dags = ["marketing_insights", "marketing_pipeline", "segment_retraining", "streaming_marts"]
    assert result.stdout.splitlines()[-1] == str(dags)
    seed = image.home / "include/dbt/seeds/customer_segments.csv"
    assert len(seed.read_text().splitlines()) == 1
