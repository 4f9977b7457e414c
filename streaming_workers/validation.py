"""Tells valid events from dead letters."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, NoReturn

import msgspec
from aiokafka import ConsumerRecord
from pydantic import ValidationError

from streaming_workers.events import EARLIEST_TIME, END_OF_TIME, Stream

BRACKETS = 100  # pydantic refuses what is nested 200 deep, msgspec does not
_FROM, _TO = EARLIEST_TIME + timedelta(seconds=1), END_OF_TIME - timedelta(seconds=1)  # msgspec rounds


class InvalidEventError(ValueError):
    """The message is no event; the message of the error says why, without the values in it."""


@dataclass(frozen=True)
class Rejected:
    """A message that is no event, and why."""

    record: ConsumerRecord
    error: InvalidEventError


class ValidEvent(NamedTuple):
    """What the raw table holds of an event beside its place in Kafka.

    event_timestamp is aware; payload is JSON in UTF-8.
    """

    event_id: str
    event_timestamp: datetime
    payload: bytes


class ValidEvents(NamedTuple):
    """The same of several events, one list a column."""

    event_id: list[str]
    event_timestamp: list[datetime]
    payload: list[bytes]


def parse_events(stream: Stream, values: Sequence[bytes | None], max_bytes: int) -> ValidEvents | None:
    """Return the events in the values, as `parse_event` would, or None where it has to look at each value.

    Whatever is accepted here, `parse_event` accepts; digits behind a time's microseconds are rounded.
    """
    payloads = [value for value in values if value is not None]
    if len(payloads) != len(values) or not payloads or max(map(len, payloads)) > max_bytes:
        return None
    try:
        events = [stream.struct.decode(payload) for payload in payloads]
        _ = [payload.isascii() or payload.decode() for payload in payloads]
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    times = [[getattr(event, name) for event in events] for name in stream.times]
    if not all(min(some) > _FROM and max(some) < _TO for some in times):
        return None
    # Finding one bracket takes a tenth of the time of counting them.
    nested = [payload for payload in payloads if payload.find(b"{", 1) > 0 or b"[" in payload]
    if any(payload.count(b"[") + payload.count(b"{") > BRACKETS for payload in nested):
        return None
    return ValidEvents([event.event_id for event in events], times[0], payloads)


def parse_event(stream: Stream, value: bytes | None, max_bytes: int) -> ValidEvent:
    """Return the event in a message's value; the payload is the unchanged value.

    Raises InvalidEventError. What passes here must be JSON to every warehouse: one that refused a row would
    block its partition.
    """
    if value is None:
        raise InvalidEventError("the message has no value")
    if len(value) > max_bytes:
        raise InvalidEventError(f"the message has {len(value)} bytes, more than the {max_bytes} allowed")
    try:
        fields = stream.fields.validator.validate_json(value)
        # pydantic takes these for numbers, which JSON does not have; finding one letter first is faster.
        if (b"N" in value and b"NaN" in value) or (b"I" in value and b"Infinity" in value):
            json.loads(value, parse_constant=_refuse_constant)
    except ValidationError as error:
        raise InvalidEventError(_complaints(error)) from error
    return ValidEvent(fields["event_id"], fields[stream.times[0]], value)


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidEventError(f"{name} is no JSON")


def _complaints(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(": ".join([*(str(part) for part in one["loc"]), one["msg"]]) for one in found)
