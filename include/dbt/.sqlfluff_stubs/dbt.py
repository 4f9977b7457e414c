"""Stand-ins for dbt's cross-database macros, for sqlfluff only: plain calls that every dialect can read."""


def dateadd(_datepart: str, interval: object, day: str) -> str:
    return f"date_add({day}, {interval})"


def datediff(first: str, second: str, _datepart: str) -> str:
    return f"date_diff({first}, {second})"


def safe_cast(field: str, type_: str) -> str:
    return f"cast({field} as {type_})"


def current_timestamp() -> str:
    return "now()"


def generate_series(_upper_bound: int) -> str:
    return "select 1 as generated_number"


def last_day(day: str, _datepart: str) -> str:
    return f"last_day({day})"
