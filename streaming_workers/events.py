"""The events on the topics: what a valid one holds, and what identifies it.

An event is written through a model, in which a price is a Decimal. A message is validated by the fields of
its stream, which takes a third of the time, and its text is stored unchanged. A struct of the same fields
takes half of that again, and is asked first; what it refuses, the fields decide (see validation.py).
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, get_type_hints

import msgspec
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, Strict, StringConstraints, TypeAdapter
from pydantic_core import to_jsonable_python
from typing_extensions import TypedDict, override

PRICES_TOPIC = "bitcoin-prices"
NEWS_TOPIC = "news-events"


# No price or article is older: a time before it is a default, such as 1970-01-01, or a typing error.
EARLIEST_TIME = datetime(2000, 1, 1, tzinfo=UTC)
# Whatever is valid here must be typed by the warehouse, too: within its range of years and decimal(18, 8).
END_OF_TIME = datetime(9999, 12, 30, tzinfo=UTC)
Text = Annotated[str, StringConstraints(min_length=1), msgspec.Meta(min_length=1)]
Time = Annotated[AwareDatetime, Field(ge=EARLIEST_TIME, lt=END_OF_TIME, strict=True)]
Price = Field(gt=9e-9, lt=1e10, allow_inf_nan=False)
Change = Field(gt=-1e10, lt=1e10, allow_inf_nan=False)
JsonPrice = Annotated[float, Price, Strict(), msgspec.Meta(gt=9e-9, lt=1e10)]
JsonChange = Annotated[float, Change, Strict(), msgspec.Meta(gt=-1e10, lt=1e10)]


class Event(BaseModel):
    """One JSON object in UTF-8; unknown fields are kept."""

    model_config = ConfigDict(extra="allow", frozen=True)

    event_id: Text
    fetched_at: Time

    @property
    def event_timestamp(self) -> datetime:
        """When it happened, as its provider says."""
        raise NotImplementedError

    @property
    def key(self) -> str:
        """What the event is about; Kafka keeps the order of events with the same key."""
        raise NotImplementedError

    def to_json(self) -> bytes:
        """Return the message: a JSON object in UTF-8; decimals are numbers, with all their digits."""
        fields = (f"{json.dumps(name)}: {_json(value)}" for name, value in self.model_dump().items())
        return f"{{{', '.join(fields)}}}".encode()


class BitcoinPrice(Event):
    """The price of a coin; event_id is the coin and the provider's last-updated time."""

    coin: Text
    price_usd: Annotated[Decimal, Price]
    change_24h_pct: Annotated[Decimal, Change] | None
    observed_at: Time

    @property
    @override
    def event_timestamp(self) -> datetime:
        return self.observed_at

    @property
    @override
    def key(self) -> str:
        return self.coin


class NewsEvent(Event):
    """A news article; event_id comes from its URL and the time it was published."""

    source_name: Text
    headline: Text
    description: str | None
    url: Text
    author: str | None
    category: str | None
    published_at: Time

    @property
    @override
    def event_timestamp(self) -> datetime:
        return self.published_at

    @property
    @override
    def key(self) -> str:
        return self.url


@dataclass(frozen=True)
class Stream:
    """A topic, the events on it and the raw table they land in."""

    topic: str
    event: type[Event]
    fields: TypeAdapter[Any]
    struct: msgspec.json.Decoder[Any]
    times: tuple[str, ...]
    """The fields that hold times; the first is the event's own."""
    table: str

    @property
    def dead_letter_topic(self) -> str:
        """The topic of the messages that are no such event."""
        return f"{self.topic}.dlq"


def _stream(topic: str, event: type[Event], timestamp_field: str, table: str, **as_json: Any) -> Stream:
    """Return the stream; `as_json` are the types that JSON has for fields of other types."""
    own = get_type_hints(event, include_extras=True)
    fields = {name: as_json.get(name, own[name]) for name in event.model_fields}
    times = [name for name, kind in fields.items() if kind == Time]
    quick = fields | dict.fromkeys(times, Annotated[datetime, msgspec.Meta(tz=True)])
    return Stream(
        topic,
        event,
        TypeAdapter(TypedDict(event.__name__, fields)),  # type: ignore[operator]
        msgspec.json.Decoder(msgspec.defstruct(event.__name__, list(quick.items()), gc=False)),
        (timestamp_field, *(name for name in times if name != timestamp_field)),
        table,
    )


STREAMS = {
    stream.topic: stream
    for stream in (
        _stream(
            PRICES_TOPIC,
            BitcoinPrice,
            "observed_at",
            "streaming.bitcoin_prices_raw",
            price_usd=JsonPrice,
            change_24h_pct=JsonChange | None,
        ),
        _stream(NEWS_TOPIC, NewsEvent, "published_at", "streaming.news_events_raw"),
    )
}


def _json(value: Any) -> str:
    """Return a value as JSON; the standard encoder would take a Decimal through a float or a string."""
    if isinstance(value, Decimal):
        return format(value, "f")
    return json.dumps(to_jsonable_python(value), ensure_ascii=False)
