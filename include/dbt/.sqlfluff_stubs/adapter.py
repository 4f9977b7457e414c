"""Stand-in for dbt's `adapter`, for sqlfluff only."""

from collections.abc import Callable


def dispatch(macro: str) -> Callable[..., str]:
    """Return a function that renders a call of `macro` with the columns it is given."""

    def call(*arguments: object) -> str:
        columns = [
            str(column)
            for argument in arguments
            for column in (argument if isinstance(argument, list) else [argument])
        ]
        return f"{macro}({', '.join(columns)})"

    return call


def get_columns_in_relation(_relation: object) -> list[object]:
    """Return no columns."""
    return []
