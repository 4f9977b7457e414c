"""What the producer writes is what the consumer takes, to the last digit."""

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from pydantic import ValidationError

from streaming_workers.events import NEWS_TOPIC, PRICES_TOPIC, STREAMS, BitcoinPrice, Event, NewsEvent
from streaming_workers.validation import InvalidEventError, parse_event
from tests.streaming_workers.harness import price

MOMENT = datetime(2026, 1, 31, 23, 59, 59, 999_999, tzinfo=UTC)


def bitcoin(price_usd: str, change: str | None = None) -> BitcoinPrice:
    return BitcoinPrice(
        event_id="bitcoin:1",
        coin="bitcoin",
        price_usd=Decimal(price_usd),
        change_24h_pct=None if change is None else Decimal(change),
        observed_at=MOMENT,
        fetched_at=MOMENT,
    )


def news(**changes: str | None) -> NewsEvent:
    fields: dict[str, str | None] = {
        "event_id": "article",
        "source_name": "Süddeutsche",
        "headline": 'Bitcoin "soars"\n日本',
        "description": None,
        "url": "https://example.org/a",
        "author": None,
        "category": "business",
        **changes,
    }
    return NewsEvent(**fields, published_at=MOMENT, fetched_at=MOMENT)


@pytest.mark.parametrize(
    ("topic", "event"),
    [
        (PRICES_TOPIC, bitcoin("67123.45", "-1.25")),
        (PRICES_TOPIC, bitcoin("0.00000001")),
        (PRICES_TOPIC, bitcoin("9999999999.99999")),
        (NEWS_TOPIC, news()),
        (NEWS_TOPIC, news(description="", author="A. Author")),
    ],
)
def test_an_event_is_a_valid_message_with_every_field(topic: str, event: Event) -> None:
    message = event.to_json()

    assert parse_event(STREAMS[topic], message, 10_000) == (event.event_id, MOMENT, message.decode())
    assert json.loads(message).keys() == STREAMS[topic].fields.validator.validate_json(message).keys()


@pytest.mark.parametrize("number", ["0", "-1", "0.000000001", "10000000000", "1e300", "NaN", "Infinity"])
def test_a_price_that_no_warehouse_could_type_is_neither_written_nor_taken(number: str) -> None:
    with pytest.raises(ValidationError, match="price_usd"):
        bitcoin(number)
    [before, after] = (price(1, price_usd="?").value or b"").split(b'"?"')
    message = before + number.encode() + after
    with pytest.raises(InvalidEventError):
        parse_event(STREAMS[PRICES_TOPIC], message, 10_000)


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "1999-12-31T23:59:59Z"])
def test_a_time_of_no_plausible_year_is_neither_written_nor_taken(moment: str) -> None:
    with pytest.raises(ValidationError, match="observed_at"):
        BitcoinPrice.model_validate_json(price(1, observed_at=moment).value or b"")
    with pytest.raises(InvalidEventError, match="observed_at"):
        parse_event(STREAMS[PRICES_TOPIC], price(1, observed_at=moment).value, 10_000)
