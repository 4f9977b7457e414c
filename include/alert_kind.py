"""The kinds of alerts. An exception with an attribute `alert_kind` says of which kind its alert is."""

from enum import StrEnum


class AlertKind(StrEnum):
    """What an alert is about, for whoever routes it."""

    RUN_FAILED = "run_failed"
    DEADLINE_MISSED = "deadline_missed"
    GATE_FAILED = "gate_failed"
    FRESHNESS = "freshness"
    LAG = "lag"
    QUARANTINE_SHARE = "quarantine_share"
    TEST = "test"
