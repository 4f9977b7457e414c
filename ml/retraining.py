"""What the tasks of the DAG `segment_retraining` do, one function a task."""

import datetime as dt
import json
import logging
from collections.abc import Mapping
from typing import Any

from airflow.sdk.exceptions import AirflowFailException

from include.alert_kind import AlertKind
from include.warehouse import Warehouse, get_warehouse
from ml.features import FeaturesError, load_features
from ml.outlook import Outlook, load_days, outlook, predict
from ml.purchases import OutlookRefusedError
from ml.registry import PARAMETERS_FILE, RegistryError, open_registry
from ml.segmentation import SegmentationError
from ml.training import train

log = logging.getLogger(__name__)


class GateFailedError(AirflowFailException):
    """The gate rejected the version; the message holds each figure that missed its limit. No retry."""

    alert_kind = AlertKind.GATE_FAILED


class UntrainableError(AirflowFailException):
    """These features give no model, so a retry cannot help; the message says why."""


def fit(warehouse: Warehouse, params: Mapping[str, Any]) -> str:
    """Train on the warehouse's features and store the version; return its id. The version in use stays.

    `params` are the run's: k, as_of_date, dry_run and force.
    """
    chosen = {name: params[name] for name in ("k", "dry_run", "force")}
    try:
        training = train(
            load_features(warehouse),
            open_registry(),
            **chosen,
            promote=False,
            outlook=_outlook_or_why_not(warehouse, params),
        )
    except (FeaturesError, SegmentationError) as error:
        raise UntrainableError(str(error)) from error
    log.info("Version %s in %s", training.version.version, training.location)
    for line in training.summary.drop(columns="revenue_share").to_string().splitlines():
        log.info("%s", line)
    return training.version.version


def gate(version: str) -> bool:
    """Return whether the version is to be promoted: False after a dry run.

    Raises GateFailedError for a rejected one, which stays in the registry for inspection.
    """
    registry = open_registry()
    manifest = registry.get(version)
    if manifest.decision == "rejected":
        raise GateFailedError(
            f"Version {version} is not used, the segments stay as they are. {' '.join(manifest.findings)}"
            f" Its model card is in {registry.location(version)}."
        )
    for finding in manifest.findings:
        log.warning("Overridden by the parameter force: %s", finding)
    return not manifest.dry_run


def register(version: str) -> None:
    """Make the version the current one, if the one it was compared with is current until then.

    Raises AirflowFailException otherwise, and if its files are damaged.
    """
    registry = open_registry()
    compared_with = json.loads(registry.read(version, PARAMETERS_FILE))["compared_with"]
    try:
        registry.promote(version, replacing=compared_with)
    except RegistryError as error:
        raise AirflowFailException(str(error)) from error


def look_ahead(params: Mapping[str, Any]) -> None:
    """Store who will buy again; orders that are too few are no failure."""
    predict(get_warehouse(role="transformer"), _as_of(params))


def _outlook_or_why_not(warehouse: Warehouse, params: Mapping[str, Any]) -> Outlook | OutlookRefusedError:
    try:
        return outlook(load_days(warehouse), _as_of(params))
    except OutlookRefusedError as error:
        return error


def _as_of(params: Mapping[str, Any]) -> dt.date | None:
    day = params.get("as_of_date")
    return dt.date.fromisoformat(day) if day else None
