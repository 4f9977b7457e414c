"""Whether files are generated or a shop's own, and which of the two a warehouse holds.

Their names are equal, so that one would count as a correction of the other, customer by customer. A warehouse
never changes between them: ingestion refuses it.
"""

from dataclasses import dataclass

from include.warehouse import Session

MARKER = ".sample_data.json"  # lies in every folder of generated files
LEDGER = "raw.ingestion_ledger"

_HAS_ORIGIN = """
select count(*) from information_schema.columns
where lower(table_schema) || '.' || lower(table_name) = ? and lower(column_name) = 'is_generated'
"""
_NEWEST = f"""
select is_generated, source_uri from {LEDGER}
where is_generated is not null
order by loaded_at desc
limit 1
"""  # noqa: S608 (our names)


@dataclass(frozen=True)
class Origin:
    """Where files come from: a folder or URI, and whether they are generated."""

    is_generated: bool
    location: str

    def __str__(self) -> str:
        """Return it for a sentence."""
        return f"{'generated files' if self.is_generated else 'files of a shop'} ({self.location})"


def held_by(session: Session) -> Origin | None:
    """Return the origin of what the warehouse holds; None where it is empty or its ledger does not say."""
    if session.execute(_HAS_ORIGIN, [LEDGER]) == [(0,)]:
        return None
    for is_generated, uri in session.execute(_NEWEST):
        return Origin(is_generated, uri.rpartition("/")[0].removeprefix("file://"))
    return None


def mixture(held: Origin | None, given: Origin) -> str | None:
    """Return a sentence if files of `given` must not go into a warehouse with `held`."""
    if held is None or held.is_generated == given.is_generated:
        return None
    return (
        f"The warehouse holds {held}, and these are {given}: they do not go together. Use another warehouse"
        " (DUCKDB_PATH, on Snowflake SNOWFLAKE_DATABASE), or make up, demo or build with REPLACE=1, which"
        " sets the old DuckDB file aside."
    )
