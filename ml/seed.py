"""The dbt seeds of the segments: their columns, and files without rows for a new project.

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
# What scoring needs of the model in use, and of the one before it: one row per segment and feature.
MODEL_SEED = "segment_model"
MODEL_COLUMNS = {
    "model_version": "varchar",
    "model_role": "varchar",
    "segment_id": "integer",
    "segment_name": "varchar",
    "feature_name": "varchar",
    "feature_unit": "double precision",
    "feature_weight": "double precision",
    "feature_mean": "double precision",
    "feature_scale": "double precision",
    "centroid": "double precision",
}
SEEDS = {SEED: COLUMNS, MODEL_SEED: MODEL_COLUMNS}


def ensure_seed(project: Path = DBT_PROJECT_DIR) -> None:
    """Write seeds without rows into a dbt project that has none: dbt parses no project without the files."""
    for seed, columns in SEEDS.items():
        path = project / "seeds" / f"{seed}.csv"
        if path.parent.is_dir() and not path.exists():
            path.write_text(",".join(columns) + "\n", encoding="utf-8")


if __name__ == "__main__":
    ensure_seed()
