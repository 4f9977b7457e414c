"""`airflow scheduler` that imports what every task needs before it forks its workers.

LocalExecutor forks a process for each task. Without this, each of them imports Cosmos and Airflow's task
runner again: 0.5 s of processor time a task, most of the run on a small machine; and each of the retraining
scikit-learn: 1.2 s. Only installed packages are imported here, never this project's own modules: an edited
file must count from the next task on.
"""

import importlib
import sys

from airflow.__main__ import main

from include.garbage import exit_at_once

PRELOADED = (
    "airflow.dag_processing.dagbag",
    "airflow.sdk.definitions.decorators",
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_runner",
    "airflow.providers.amazon.aws.hooks.s3",
    "airflow.providers.standard.decorators.python",
    "airflow.providers.standard.operators.python",
    "cosmos.airflow.task_group",
    "cosmos.operators.watcher",
    "cosmos.profiles",
    "duckdb",
    "numpy",
    "openpyxl",
    "pandas",
    "pyarrow.csv",
    "pydantic_settings",
    "scipy.optimize",
    "scipy.stats",
    "sklearn.cluster",
    "sklearn.metrics",
)

if __name__ == "__main__":
    for module in PRELOADED:
        importlib.import_module(module)
    sys.argv = ["airflow", "scheduler", *sys.argv[1:]]
    code: object = 0
    try:
        main()
    except SystemExit as ended:
        code = ended.code
    exit_at_once(code)
