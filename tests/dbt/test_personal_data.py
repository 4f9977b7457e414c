"""Columns with personal data say so in the yml files, and on Snowflake that becomes tags."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import jinja2
import pytest
from dbt.artifacts.resources import ColumnInfo
from dbt.contracts.graph.manifest import Manifest
from sqlfluff.core import FluffConfig, Linter

from include.erase import CUSTOMER_COLUMNS, REJECTED_ROW
from include.ingestion.datasets import CONTACTS
from include.settings import DBT_PROJECT_DIR
from tests.dbt.dbt_project import make_project

KINDS = {"identifier", "attribute", "contact", "copy"}
HAVE_REJECTED_CUSTOMERS = {"base_customers", "base_online_sales", "base_customer_contacts", "quarantine"}
OF_PLACES = {"fct_location_performance", "location_kinds"}  # rows of places, not of people
GOVERNANCE = DBT_PROJECT_DIR.parent / "snowflake" / "governance.sql"


@pytest.fixture(scope="module")
def columns(tmp_path_factory: pytest.TempPathFactory) -> Mapping[tuple[str, str], ColumnInfo]:
    """Every described column by table and name."""
    manifest: Manifest = make_project(tmp_path_factory.mktemp("project")).dbt_as_typed("parse").raw.result
    nodes = [*manifest.nodes.values(), *manifest.sources.values()]
    return {(node.name, name): column for node in nodes for name, column in node.columns.items()}


def test_every_column_that_names_or_describes_a_person_says_so(
    columns: Mapping[tuple[str, str], ColumnInfo],
) -> None:
    names = {*CUSTOMER_COLUMNS, *CONTACTS, "gender", "location", "consent"}
    personal = {key for key in columns if key[1] in names and key[0] not in OF_PLACES}
    personal |= {(table, REJECTED_ROW) for table in HAVE_REJECTED_CUSTOMERS}
    assert len(personal) > 25
    tagged = {key: column.config.meta.get("pii") for key, column in columns.items()}
    assert {key for key, kind in tagged.items() if kind} == personal
    assert {kind for kind in tagged.values() if kind} == KINDS
    # Readers of marts never see one: its hash would do to match a person.
    assert {name for (_, name), kind in tagged.items() if kind == "contact"} == CONTACTS
    # What erasure looks for is what the yml files call an identifier.
    assert {name for (_, name), kind in tagged.items() if kind == "identifier"} == CUSTOMER_COLUMNS


def statements(tag: str, materialized: str) -> list[str]:
    """Return what the hook sends to Snowflake after building a model with two personal columns of three."""
    sent: list[str] = []
    pii = {"customer_id": "identifier", "gender": "attribute", "total": None}
    columns = {name: {"name": name, "meta": {"pii": kind} if kind else {}} for name, kind in pii.items()}
    environment = jinja2.Environment(extensions=["jinja2.ext.do"])
    environment.globals.update(
        execute=True,
        env_var=lambda name, default: {"DBT_PII_TAG": tag}.get(name) or default,
        config={"materialized": materialized},
        model=SimpleNamespace(columns=columns),
        this="db.analytics.dim_customer",
        run_query=sent.append,
    )
    macro: Any = environment.from_string(
        (DBT_PROJECT_DIR / "macros/dialect/tag_personal_data.sql").read_text()
    ).module
    assert macro.snowflake__tag_personal_data().strip() == macro.duckdb__tag_personal_data() == ""
    return sent


@pytest.mark.parametrize(
    ("materialized", "kind"), [("view", "view"), ("table", "table"), ("snapshot", "table")]
)
def test_a_built_model_is_tagged_on_snowflake(materialized: str, kind: str) -> None:
    sent = statements("db.analytics.pii", materialized)
    start = f"alter {kind} db.analytics.dim_customer modify column"
    assert sent == [
        f"{start} customer_id set tag db.analytics.pii = 'identifier'",
        f"{start} gender set tag db.analytics.pii = 'attribute'",
    ]


def test_without_the_tag_nothing_is_sent() -> None:
    assert statements("", "table") == []


def test_the_governance_script_is_snowflakes_sql_and_knows_every_kind() -> None:
    text = GOVERNANCE.read_text()
    linter = Linter(config=FluffConfig(overrides={"dialect": "snowflake", "templater": "raw"}))
    known = text.replace("create or alter tag", "create or replace tag")  # the same but for the verb
    for lacking in (
        "\n    force",
        "grant apply on tag marketing_insights_db.analytics.pii to role transformer;",
    ):
        assert lacking in known  # Snowflake's documentation has both, sqlfluff's grammar neither
        known = known.replace(lacking, "")
    assert linter.parse_string(known).violations == []
    assert all(f"'{kind}'" in text for kind in KINDS)
