"""Addresses in Airflow's UI, as people reach it from outside."""

from airflow.sdk.configuration import conf


def address_of(path: str) -> str:
    """Return the address of a path below `AIRFLOW__API__BASE_URL`."""
    base = conf.get("api", "base_url", fallback="http://localhost:8080").rstrip("/")
    return f"{base}/{path}"
