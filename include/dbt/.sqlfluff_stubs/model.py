"""Stand-in for dbt's `model`, for sqlfluff only."""

columns: dict[str, object] = {"sales_line_id": None}
