"""The made-up snapshot of these tests has the tables and columns that the DAG writes."""

import re
from pathlib import Path

import pytest
import sqlglot
import yaml

from include.insights import tables
from include.settings import DBT_PROJECT_DIR
from tests.insights.snapshots import TABLES


def model_columns() -> dict[str, set[str]]:
    """Return the columns of each model, by the contract in its yml."""
    found: dict[str, set[str]] = {}
    for path in Path(DBT_PROJECT_DIR, "models").rglob("*.yml"):
        for model in (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("models", []):
            found[model["name"]] = {column["name"] for column in model.get("columns", [])}
    return found


MODELS = model_columns()


def written(name: str) -> set[str]:
    """Return the columns that the snapshot's writer selects for a table."""
    if name == "model_gate":
        return set(tables.GATE_SCHEMA.names)
    sql = tables.TABLES[name].sql
    query = sqlglot.parse_one(sql, dialect="duckdb")
    assert isinstance(query, sqlglot.exp.Query)
    columns = set(query.named_selects)
    if columns == {"*"}:
        [model] = set(re.findall(r"from (?:\w+)\.(fct_\w+)", sql))
        return MODELS[model]
    return columns


@pytest.mark.parametrize("name", sorted(TABLES))
def test_a_made_up_table_has_only_columns_that_are_written(name: str) -> None:
    assert set(TABLES[name]()[0]) <= written(name)


def test_every_table_that_is_written_is_made_up() -> None:
    assert {*tables.TABLES, "model_gate"} - {"contacts"} == TABLES.keys()
