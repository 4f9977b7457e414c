"""The dbt seed of the customer segments: its columns, and a file without customers for a new project.

python -m ml.seed
"""

from pathlib import Path

from include.settings import DBT_PROJECT_DIR

SEED = "customer_segments"
COLUMNS = {
    "customer_id": "bigint",
    "segment_id": "integer",
    "segment_name": "varchar",
    "model_version": "varchar",
}


def ensure_seed(project: Path = DBT_PROJECT_DIR) -> None:
    """Write a seed without rows into a dbt project that has none: dbt parses no project without the file."""
    path = project / "seeds" / f"{SEED}.csv"
    if path.parent.is_dir() and not path.exists():
        path.write_text(",".join(COLUMNS) + "\n", encoding="utf-8")


if __name__ == "__main__":
    ensure_seed()
