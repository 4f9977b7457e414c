"""The one error of ingestion."""

from airflow.sdk.exceptions import AirflowFailException


class IngestionError(AirflowFailException):
    """The input is bad: one sentence that names file and column. Airflow does not retry: it cannot help."""
