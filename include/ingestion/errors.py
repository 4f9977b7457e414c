"""The errors of ingestion; each is one sentence that says where, what and what to do."""

from airflow.sdk.exceptions import AirflowException, AirflowFailException


class IngestionError(AirflowFailException):
    """The input is bad: names file, sheet, row and column. Airflow does not retry: it cannot help."""


class SourceUnavailableError(AirflowException):
    """The store of the files cannot be reached, or is too slow; nothing was loaded. Airflow retries."""
