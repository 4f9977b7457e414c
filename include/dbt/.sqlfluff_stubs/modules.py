"""Stand-in for dbt's `modules`, for sqlfluff only."""

from types import SimpleNamespace

re = SimpleNamespace(fullmatch=lambda _pattern, text: text)
