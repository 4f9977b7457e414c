"""A project without segments gets a seed that dbt can parse and load."""

import csv
from pathlib import Path

import yaml

from include.settings import DBT_PROJECT_DIR
from ml.seed import ensure_seed


def seed_in(project: Path) -> Path:
    (project / "seeds").mkdir()
    return project / "seeds" / "customer_segments.csv"


def test_a_new_project_gets_a_seed_with_the_columns_that_dbt_knows(tmp_path: Path) -> None:
    seed = seed_in(tmp_path)

    ensure_seed(tmp_path)

    documented = [
        one
        for path in (DBT_PROJECT_DIR / "seeds").glob("*.yml")
        for one in yaml.safe_load(path.read_text(encoding="utf-8"))["seeds"]
        if one["name"] == "customer_segments"
    ]
    with seed.open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [[column["name"] for column in documented[0]["columns"]]]


def test_segments_that_are_there_stay(tmp_path: Path) -> None:
    seed = seed_in(tmp_path)
    seed.write_text("customer_id,segment_id,segment_name,model_version\n7,4,Loyal Customers,first\n")

    ensure_seed(tmp_path)

    assert "7,4,Loyal Customers,first" in seed.read_text()


def test_a_folder_that_is_no_dbt_project_stays_empty(tmp_path: Path) -> None:
    ensure_seed(tmp_path)

    assert list(tmp_path.iterdir()) == []
