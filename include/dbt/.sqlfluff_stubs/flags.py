"""Stand-in for dbt's `flags`, for sqlfluff only."""

FULL_REFRESH = False
