"""The images, built as far as that goes without a container engine, and what runs in them."""

from pathlib import Path

from tests.deployment.image import build, context
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
print(sorted(bag.dags))
"""


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
    assert result.stdout.splitlines()[-1] == "['marketing_pipeline', 'segment_retraining', 'streaming_marts']"
    seed = image.home / "include/dbt/seeds/customer_segments.csv"
    assert len(seed.read_text().splitlines()) == 1
