"""What the tasks of the DAG `segment_retraining` do, one function a task."""

import datetime as dt
import json
import logging
from collections.abc import Mapping
from typing import Any

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from include.alert_kind import AlertKind
from include.warehouse import Warehouse, get_warehouse
from ml.drift import RefitSettings, drift
from ml.features import DRY_RUN_TABLE, FEATURES_TABLE, FeaturesError, load_features
from ml.gate import UnknownCheckError
from ml.outlook import Outlook, load_days, outlook, predict
from ml.purchases import OutlookRefusedError
from ml.registry import PARAMETERS_FILE, Registry, RegistryError, Version, open_registry
from ml.segmentation import SegmentationError
from ml.training import train

log = logging.getLogger(__name__)


class GateFailedError(AirflowFailException):
    """The gate rejected the version; the message holds each figure that missed its limit. No retry."""

    alert_kind = AlertKind.GATE_FAILED


class UntrainableError(AirflowFailException):
    """These features give no model, so a retry cannot help; the message says why."""


def due(by_hand: bool) -> bool:
    """Return whether to fit: by hand, the first time, after ML_REFIT_DAYS, or when a feature has drifted."""
    registry, settings = open_registry(), RefitSettings()
    current = registry.current()
    if by_hand or current is None:
        return True
    age = dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(registry.get(current.version).created_at)
    if age >= dt.timedelta(days=settings.refit_days):
        log.info("Version %s is %d days old: a new one is fitted.", current.version, age.days)
        return True
    try:
        then = registry.features(current.version)
        model = registry.model(current.version)
        indexes = drift(then.frame, load_features(get_warehouse(role="transformer")).frame, model.features_)
    except (FeaturesError, RegistryError, SegmentationError) as error:
        log.warning("Drift cannot be told, so a new version is fitted: %s", error)
        return True
    drifted = {name: index for name, index in indexes.items() if index > settings.max_drift}
    log.info("Population stability indexes since version %s: %s", current.version, indexes)
    return bool(drifted)


def fit(params: Mapping[str, Any]) -> str:
    """Train on the warehouse's features and store the version; return its id. The version in use stays.

    `params` are the run's: k, as_of_date, dry_run and override.
    """
    warehouse = get_warehouse(role="transformer")
    table = DRY_RUN_TABLE if params["dry_run"] else FEATURES_TABLE
    chosen = {name: params[name] for name in ("k", "dry_run", "override")}
    try:
        training = train(
            load_features(warehouse, table),
            open_registry(),
            **chosen,
            promote=False,
            outlook=_outlook_or_why_not(warehouse, table, params),
        )
    except (FeaturesError, SegmentationError, UnknownCheckError) as error:
        raise UntrainableError(str(error)) from error
    log.info("Version %s in %s", training.version.version, training.location)
    for line in training.summary.drop(columns="revenue_share").to_string().splitlines():
        log.info("%s", line)
    return training.version.version


def gate(version: str, ask: bool = False) -> str | None:
    """Return the task that goes on: register, or ask a person; None after a dry run.

    Raises GateFailedError for a rejected version unless `ask`; it stays in the registry for inspection.
    """
    registry = open_registry()
    manifest = registry.get(version)
    if manifest.decision == "rejected" and ask:
        get_current_context()["ti"].xcom_push(key="findings", value=_as_list(version, manifest.findings))
        return "ask"
    _refuse_rejected(manifest, registry)
    for finding in manifest.findings:
        log.warning("Overridden: %s", finding)
    return None if manifest.dry_run else "register"


def _refuse_rejected(manifest: Version, registry: Registry) -> None:
    if manifest.decision == "rejected":
        raise GateFailedError(
            f"Version {manifest.version} is not used, the model in use goes on."
            f" {' '.join(manifest.findings)}"
            f" Its model card is in {registry.location(manifest.version)}."
        )


def _as_list(version: str, findings: tuple[str, ...]) -> str:
    return "\n".join([f"Version {version}:", "", *(f"- {one}" for one in findings)])


def register(version: str, answer: Mapping[str, Any] | None = None) -> None:
    """Make the version the current one, if the one it was compared with is current until then.

    `answer` is that of the person who was asked, with `responded_by_user`: it overrides the checks that
    failed, by their names. Raises AirflowFailException otherwise, and if its files are damaged.
    """
    registry = open_registry()
    override = registry.get(version).failed if answer else ()
    by = _name_of(answer.get("responded_by_user")) if answer else ""
    compared_with = json.loads(registry.read(version, PARAMETERS_FILE))["compared_with"]
    try:
        registry.promote(version, replacing=compared_with, override=override, by=by)
    except RegistryError as error:
        raise AirflowFailException(str(error)) from error


def _name_of(user: Any) -> str:
    return str(user.get("name") or user.get("id")) if isinstance(user, Mapping) else str(user or "unknown")


def look_ahead(params: Mapping[str, Any]) -> None:
    """Store who will buy again, unless in a dry run; orders that are too few are no failure."""
    if params["dry_run"]:
        raise AirflowSkipException("A dry run changes no table that others read.")
    predict(get_warehouse(role="transformer"), _as_of(params))


def _outlook_or_why_not(
    warehouse: Warehouse, table: str, params: Mapping[str, Any]
) -> Outlook | OutlookRefusedError:
    try:
        return outlook(load_days(warehouse, table), _as_of(params))
    except OutlookRefusedError as error:
        return error


def _as_of(params: Mapping[str, Any]) -> dt.date | None:
    day = params.get("as_of_date")
    return dt.date.fromisoformat(day) if day else None
