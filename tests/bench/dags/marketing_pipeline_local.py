"""The pipeline in Cosmos LOCAL mode, one dbt process a task: what the product's DAG is measured against."""

from typing import Any

from airflow.sdk import dag, task
from cosmos import DbtTaskGroup, ExecutionConfig, ProfileConfig, ProjectConfig, RenderConfig
from cosmos.constants import ExecutionMode, InvocationMode, LoadMode, TestBehavior, TestIndirectSelection

from include.ingestion.datasets import DATASETS
from include.orchestration.dbt_task_group import OF_OTHER_DAGS
from include.settings import DBT_PROJECT_DIR, get_settings


@dag(schedule=None, catchup=False, params={"source_location": get_settings().source_location})
def marketing_pipeline_local() -> None:
    @task(pool="warehouse")
    def ingest(dataset: str, params: dict[str, Any]) -> None:
        from include.ingestion.loader import ingest
        from include.warehouse import get_warehouse

        ingest(get_warehouse(), params["source_location"], dataset)

    transform = DbtTaskGroup(
        group_id="transform",
        project_config=ProjectConfig(
            dbt_project_path=DBT_PROJECT_DIR,
            manifest_path=DBT_PROJECT_DIR / "target" / "manifest.json",
            install_dbt_deps=False,
        ),
        profile_config=ProfileConfig(
            profile_name="marketing_insights",
            target_name="duckdb",
            profiles_yml_filepath=DBT_PROJECT_DIR / "profiles.yml",
        ),
        execution_config=ExecutionConfig(
            execution_mode=ExecutionMode.LOCAL,
            invocation_mode=InvocationMode.SUBPROCESS,
            test_indirect_selection=TestIndirectSelection.BUILDABLE,  # or tests would read what is excluded
        ),
        render_config=RenderConfig(
            exclude=OF_OTHER_DAGS,
            load_method=LoadMode.DBT_MANIFEST,
            test_behavior=TestBehavior.AFTER_EACH,
            emit_datasets=False,
        ),
        # One at a time: side by side they would wait for one another's lock on the DuckDB file.
        operator_args={"pool": "warehouse", "append_env": True},
    )
    ingest.expand(dataset=list(DATASETS)) >> transform


marketing_pipeline_local()
