"""The one error of ingestion."""

from airflow.sdk.exceptions import AirflowFailException


class IngestionError(AirflowFailException):
    """The input is bad: one sentence that names file and column. Trying again cannot help, so Airflow does not."""
