"""Tells valid events from dead letters."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, NoReturn

from aiokafka import ConsumerRecord
from pydantic import ValidationError

from streaming_workers.events import Stream


class InvalidEventError(ValueError):
    """The message is no event; the message of the error says why, without the values in it."""


@dataclass(frozen=True)
class Rejected:
    """A message that is no event, and why."""

    record: ConsumerRecord
    error: InvalidEventError


class ValidEvent(NamedTuple):
    """What the raw table holds of an event beside its place in Kafka; event_timestamp is aware."""

    event_id: str
    event_timestamp: datetime
    payload: str


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
    return ValidEvent(fields["event_id"], fields[stream.timestamp_field], value.decode())


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidEventError(f"{name} is no JSON")


def _complaints(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(": ".join([*(str(part) for part in one["loc"]), one["msg"]]) for one in found)
