"""The customers' segments without Airflow: trained on what `make build` built, then the tables that follow.

Import it where AIRFLOW_HOME is set: the tasks of `segment_retraining`, which run here in one process, import
Airflow.
"""

from airflow.sdk.exceptions import AirflowFailException
from rich.console import Console

from include.settings import DBT_PROJECT_DIR, Settings
from ml.registry import RegistryError
from ml.reseed import Reseeded, ReseedError, reseed
from ml.retraining import fit, gate, look_ahead, register
from ml.segmentation import DEFAULT_K
from standalone.build import BuildError, build_nodes
from standalone.errors import StandaloneError

AS_THE_DAG = {"k": DEFAULT_K, "dry_run": False, "override": [], "as_of_date": None}


class SegmentsError(StandaloneError):
    """No new segments are in use; the message says why."""


def run_segments(settings: Settings, console: Console) -> Reseeded:
    """Train, judge, register and reseed; look ahead; build and test the tables of segments.

    Raises SegmentsError. The version in use stays where the gate refuses the new one.
    """
    if settings.warehouse != "duckdb" or not settings.duckdb_path.exists():
        raise SegmentsError(
            "make segments trains on the DuckDB file that `make build` fills; Airflow has a DAG."
        )
    try:
        # `make build` leaves the features out where the seed is another shop's.
        build_nodes(settings, DBT_PROJECT_DIR, ["--select", "int_customer_features"], console)
        version = fit(AS_THE_DAG)
        gate(version)
        register(version)
        look_ahead(AS_THE_DAG)
        seeded = reseed(settings=settings)
        build_nodes(settings, DBT_PROJECT_DIR, ["--select", "tag:segments+"], console)
    except (AirflowFailException, RegistryError, ReseedError, BuildError) as error:
        raise SegmentsError(str(error)) from error
    return seeded
