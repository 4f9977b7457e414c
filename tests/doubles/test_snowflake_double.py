"""What the Snowflake double promises, tried with the real connector and the real dbt-snowflake.

Each test states a rule of Snowflake that the product rests on and that fakesnow alone breaks.
"""

import csv
import gzip
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import snowflake.connector
from snowflake.connector.errors import ProgrammingError

from tests.doubles.snowflake_double import DATABASE, SnowflakeDouble, start_double

Query = Callable[[str], list[tuple[Any, ...]]]

COPY = """
    copy into raw.lines (a, b, c, _source_file, _source_row, _load_id)
    from (select $1, $2, $3, 'lines.csv', metadata$file_row_number, 'load-1' from @raw.landing/{path})
    file_format = (type = csv skip_header = 1 field_optionally_enclosed_by = '"' null_if = ()
                   empty_field_as_null = false escape_unenclosed_field = none encoding = 'UTF8')
    force = true
"""


@pytest.fixture(scope="module")
def double() -> Iterator[SnowflakeDouble]:
    """Start one double for this module."""
    with start_double() as running:
        yield running


@pytest.fixture
def query(double: SnowflakeDouble) -> Iterator[Query]:
    """Return a function that runs one statement in a session of its own and returns its rows."""
    with snowflake.connector.connect(**double.connect_arguments()) as connection:

        def run(sql: str) -> list[tuple[Any, ...]]:
            with connection.cursor() as cursor:
                return list(cursor.execute(sql).fetchall())

        yield run


@pytest.fixture
def staged(query: Query, tmp_path: Path) -> Query:
    """Return `query` with an empty raw.lines and a gzipped file of three rows in @raw.landing/load-1/."""
    rows = [
        ["A", "B", "C"],
        ["1/31/2019", "Mug, 11 oz", "1.50"],
        ["007", 'say "hi"', ""],
        [" x ", "10%", "\\N"],
    ]
    file = tmp_path / "lines.csv.gz"
    with gzip.open(file, "wt", encoding="utf-8", newline="") as text:
        csv.writer(text).writerows(rows)
    query("create or replace stage raw.landing")
    query(
        "create or replace table raw.lines (a varchar, b varchar, c varchar, _source_file varchar,"
        " _source_row bigint, _load_id varchar)"
    )
    query("create or replace table raw.ledger (file varchar)")
    query(f"put file://{file} @raw.landing/load-1/ auto_compress=false overwrite=true")
    return query


def test_copy_keeps_the_text_and_numbers_the_rows(staged: Query) -> None:
    staged(COPY.format(path="load-1/"))

    assert staged("select a, b, c, _source_row from raw.lines order by _source_row") == [
        ("1/31/2019", "Mug, 11 oz", "1.50", 1),
        ("007", 'say "hi"', "", 2),
        (" x ", "10%", "\\N", 3),
    ]


def test_copy_skips_a_file_it_has_loaded_unless_forced(staged: Query) -> None:
    statement = COPY.format(path="load-1/lines.csv.gz")
    staged(statement)

    staged(statement.replace("force = true", "force = false"))
    assert staged("select count(*) from raw.lines") == [(3,)]

    staged(statement)
    assert staged("select count(*) from raw.lines") == [(6,)]


def test_copy_ledger_and_delete_are_one_transaction(staged: Query) -> None:
    staged("insert into raw.lines (a) values ('old')")

    staged("begin")
    staged("delete from raw.lines")
    staged(COPY.format(path="load-1/"))
    staged("insert into raw.ledger values ('lines.csv')")
    staged("rollback")
    assert staged("select a from raw.lines") == [("old",)]
    assert staged("select * from raw.ledger") == []

    staged("begin")
    staged("delete from raw.lines")
    staged(COPY.format(path="load-1/"))
    staged("insert into raw.ledger values ('lines.csv')")
    staged("commit")
    assert staged("select count(*), count_if(a = 'old') from raw.lines") == [(3, 0)]
    assert staged("select * from raw.ledger") == [("lines.csv",)]


def test_remove_empties_a_part_of_the_stage(staged: Query) -> None:
    assert staged("remove @raw.landing/load-1/") == [("landing/load-1/lines.csv.gz", "removed")]
    assert staged("list @raw.landing") == []


def test_an_error_in_a_transaction_is_quick_and_rollback_heals_the_session(query: Query) -> None:
    query("create or replace table raw.numbers as select 1 as n")

    query("begin")
    query("delete from raw.numbers")
    with pytest.raises(ProgrammingError, match="Could not convert"):
        query("insert into raw.numbers values ('one')")
    query("rollback")

    assert query("select n from raw.numbers") == [(1,)]


def test_an_unknown_feature_is_an_sql_error_not_a_retry(query: Query) -> None:
    with pytest.raises(ProgrammingError):
        query("select sign(-2)")


def test_ddl_commits_an_open_transaction(query: Query) -> None:
    query("create or replace table raw.numbers (n int)")
    query("begin")
    query("insert into raw.numbers values (1)")
    query("create or replace table raw.other (n int)")
    query("rollback")

    assert query("select n from raw.numbers") == [(1,)]


def test_end_of_session_rolls_back_and_drops_temporary_tables(double: SnowflakeDouble, query: Query) -> None:
    query("create or replace table raw.numbers (n int)")
    with snowflake.connector.connect(**double.connect_arguments()) as other:
        other.cursor().execute(f"create or replace temporary table {DATABASE}.raw.passing as select 1 as n")
        other.cursor().execute("begin")
        other.cursor().execute("insert into raw.numbers select n from raw.passing")

    assert query("select count(*) from raw.numbers") == [(0,)]
    assert query("show tables like 'PASSING' in schema raw") == []


def test_merge_with_the_same_columns_on_both_sides(query: Query) -> None:
    query("create or replace table raw.target as select 1 as id, 'old' as name")
    query("create or replace table raw.source as select 1 as id, 'new' as name union all select 2, 'more'")

    counts = query(
        """
        merge into raw.target as t using raw.source as s on s.id = t.id
        when matched then update set "ID" = s."ID", "NAME" = s."NAME"
        when not matched then insert ("ID", "NAME") values ("ID", "NAME")
        """
    )

    assert counts == [(1, 1)]
    assert query("select id, name from raw.target order by id") == [(1, "new"), (2, "more")]


def test_keys_are_remarks_and_declared_columns_hold(query: Query) -> None:
    query("create or replace table raw.kept (id bigint primary key) as (select 1 union all select 1)")
    assert query("select count(*) from raw.kept") == [(2,)]

    with pytest.raises(ProgrammingError, match="NOT NULL"):
        query("create or replace table raw.kept (id bigint not null) as (select null)")
    assert query("select count(*) from raw.kept") == [(2,)]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("null::timestamp_tz", None),
        ("try_cast('no time' as timestamp_ntz)", None),
        ("try_to_date('1/31/2019', 'MM/DD/YYYY')::varchar", "2019-01-31"),
        ("try_to_date('2/30/2019', 'MM/DD/YYYY')", None),
        ("try_cast('ten' as number(18, 4))", None),
        ("monthname('2019-01-31'::date)", "Jan"),
        ("datediff('day', '2019-01-01'::date, '2019-01-31'::date)", 30),
        ("split_part('a/b', '/', 2)", "b"),
        ("regexp_replace('5&quot; disc', '&quot;', '\"')", '5" disc'),
        ("md5('abc')", "900150983cd24fb0d6963f7d28e17f72"),
    ],
)
def test_functions(query: Query, expression: str, value: object) -> None:
    assert query(f"select {expression}") == [(value,)]


MODELS = {
    "dbt_project.yml": """
        name: tried
        profile: tried
        flags: {send_anonymous_usage_stats: false}
        models: {tried: {+persist_docs: {relation: true, columns: true}}}
        """,
    "seeds/source.csv": "id,d,amount\n1,2019-01-01,10.50\n2,2019-01-02,20.25\n",
    "macros/replace_range.sql": """
        {% macro get_incremental_replace_range_sql(arg_dict) %}
          {%- set columns = arg_dict['dest_columns'] | map(attribute='quoted') | join(', ') -%}
          begin;
          delete from {{ arg_dict['target_relation'] }} where d >= '2019-01-02';
          insert into {{ arg_dict['target_relation'] }} ({{ columns }})
          select {{ columns }} from {{ arg_dict['temp_relation'] }};
          commit;
        {% endmacro %}
        """,
    "models/models.yml": """
        models:
          - name: contracted
            description: It's a "contract"
            config: {contract: {enforced: true}}
            constraints: [{type: primary_key, columns: [id], warn_unenforced: false}]
            columns:
              - {name: id, data_type: bigint, constraints: [{type: not_null}], data_tests: [unique]}
              - {name: d, data_type: date}
              - {name: amount, data_type: "decimal(18,2)"}
              - {name: loaded_at, data_type: timestamptz}
        unit_tests:
          - name: rounds
            model: contracted
            given: [{input: ref('source'), rows: [{id: 1, d: 2019-01-01, amount: 1.237}]}]
            expect: {rows: [{id: 1, amount: 1.24}]}
        """,
    "models/contracted.sql": """
        {{ config(materialized='table') }}
        select cast(id as bigint) as id, cast(d as date) as d, cast(amount as decimal(18, 2)) as amount,
               cast(current_timestamp() as timestamp_tz) as loaded_at
        from {{ ref('source') }}
        """,
    "models/ranged.sql": """
        {{ config(materialized='incremental', incremental_strategy='replace_range') }}
        select id, d, amount from {{ ref('contracted') }}
        {% if is_incremental() %} where d >= '2019-01-02' {% endif %}
        """,
    "models/keyed.sql": """
        {{ config(materialized='incremental', incremental_strategy='delete+insert', unique_key='id') }}
        select id, d, amount from {{ ref('contracted') }}
        """,
    "models/merged.sql": """
        {{ config(materialized='incremental', incremental_strategy='merge', unique_key='id') }}
        select id, d, amount from {{ ref('contracted') }}
        """,
    "snapshots/history.sql": """
        {% snapshot history %}
        {{ config(schema='snapshots', unique_key='id', strategy='check', check_cols=['amount'],
                  hard_deletes='new_record') }}
        select id, amount from {{ ref('source') }}
        {% endsnapshot %}
        """,
}


def _dbt(project: Path, *arguments: str) -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "dbt.cli.main", *arguments, "--profiles-dir", str(project)],
        cwd=project,
        env={**os.environ, "DBT_SEND_ANONYMOUS_USAGE_STATS": "False"},
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert finished.returncode == 0, finished.stdout[-4000:] + finished.stderr[-1000:]


@pytest.fixture
def project(double: SnowflakeDouble, tmp_path: Path) -> Path:
    """Return the folder of a small dbt project whose profile points at the double."""
    for name, text in MODELS.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
    profile = {"tried": {"target": "double", "outputs": {"double": double.dbt_output("tried")}}}
    (tmp_path / "profiles.yml").write_text(json.dumps(profile), encoding="utf-8")
    return tmp_path


def test_dbt_builds_twice_and_the_snapshot_follows_changes_and_deletes(project: Path, query: Query) -> None:
    _dbt(project, "build")
    (project / "seeds" / "source.csv").write_text(
        "id,d,amount\n1,2019-01-01,10.50\n3,2019-01-03,3.00\n", encoding="utf-8"
    )
    _dbt(project, "build")

    assert query("select id from tried.contracted order by id") == [(1,), (3,)]
    assert query("select id from tried.ranged order by id") == [(1,), (3,)]
    assert query("select id from tried.keyed order by id") == [(1,), (2,), (3,)]
    assert query("select id from tried.merged order by id") == [(1,), (2,), (3,)]
    assert query(
        "select id, dbt_is_deleted, dbt_valid_to is null from tried_snapshots.history"
        " order by id, dbt_valid_from"
    ) == [(1, "False", True), (2, "False", False), (2, "True", True), (3, "False", True)]
    assert query("select comment from information_schema.tables where table_name = 'CONTRACTED'") == [
        ('It\'s a "contract"',)
    ]
