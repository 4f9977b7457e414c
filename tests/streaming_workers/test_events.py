"""What the producer writes is what the consumer takes, to the last digit."""

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from pydantic import ValidationError

from streaming_workers.events import NEWS_TOPIC, PRICES_TOPIC, STREAMS, BitcoinPrice, Event, NewsEvent
from streaming_workers.validation import InvalidEventError, parse_event, parse_events
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

    assert parse_event(STREAMS[topic], message, 10_000) == (event.event_id, MOMENT, message)
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


ODD_VALUES = [
    *(
        '"\\ud800"',
        '"\\udc00"',
        '"\\ud83d\\ude00"',
        '"\\u12"',
        '"\\x41"',
        '"\x01"',
        '"\\u0000"',
        '"\t"',
        '"',
        "'a'",
        '""',
    ),
    *(
        "01",
        "-",
        "-0",
        "1.",
        ".5",
        "+1",
        "1e400",
        "1e-400",
        "-1e400",
        "1E+5",
        "1.0e+",
        "0x10",
        "1_000",
        "9" * 400,
    ),
    *(
        "NaN",
        "Infinity",
        "-Infinity",
        "nul",
        "null",
        "true",
        "[1,]",
        "[1 2]",
        '{"a":1,}',
        "{1:2}",
        "/*c*/1",
        "\u00a01",
    ),
    *("[" * 90 + "]" * 90, "[" * 199 + "]" * 199, "[" * 500 + "]" * 500, '{"a":' * 250 + "1" + "}" * 250),
    *(
        "0.000000009",
        "9999999999.99999999999",
        "18446744073709551616",
        '"1"',
        "{}",
        '{"a":1,"a":2}',
        '{"\\ud800":1}',
    ),
    *(
        f'"{time}"'
        for time in ("2026-01-01 00:00:00Z", "2026-01-01T00:00Z", "2026-01-01T00:00:00+0000", "2026-01-01")
    ),
    *(
        f'"{time}"'
        for time in ("2026-01-01T24:00:00Z", "2026-01-01T23:59:60Z", "2026-02-29T00:00:00Z", "1767225600")
    ),
    *(
        f'"{time}"'
        for time in ("1999-12-31T23:59:59.9999999Z", "0001-01-01T00:00:00+14:00", "9999-12-31T00:00:00Z")
    ),
    *(
        f'"{time}"'
        for time in ("2026-01-01T00:00:00+23:59", "2026-01-01T00:00:00+24:00", "2026-01-01T00:00:00\\u005a")
    ),
]
ODD_BYTES = [b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\xc0\xaf", "\ufeff".encode(), b"\x7f", "日本".encode()]


def odd_messages() -> list[bytes]:
    """Return messages with an odd value in each field and in an unknown one, or odd around the object."""
    fields = dict(json.loads(price(1).value or b""), unknown=0)
    messages = [
        json.dumps({**fields, name: "?"}).replace('"?"', value).encode()
        for name in fields
        for value in ODD_VALUES
    ]
    plain = json.dumps({**fields, "unknown": "?"}).encode()
    messages += [plain.replace(b"?", odd) for odd in ODD_BYTES] + [odd + plain for odd in ODD_BYTES]
    twice = plain.replace(b'"coin"', b'"event_id": 5, "coin"')
    return [
        *messages,
        twice,
        plain + b" ",
        plain + b"x",
        plain * 2,
        plain[:-1],
        b"[" + plain + b"]",
        b"",
        b"null",
    ]


def test_events_read_together_are_those_read_one_by_one() -> None:
    """The quick way may leave a message to the other one, but must accept nothing that is no event."""
    stream, quickly = STREAMS[PRICES_TOPIC], 0
    for message in odd_messages():
        together = parse_events(stream, [message], 10_000)
        if together is None:
            continue
        quickly += 1
        assert tuple(together) == tuple([part] for part in parse_event(stream, message, 10_000)), message
    assert quickly > 50
    good = [price(number, bytes_long=1000).value or b"" for number in range(3)]
    assert parse_events(stream, good, 1000)
    assert parse_events(stream, good, 999) is None
    assert parse_events(stream, [*good, None], 1000) is None
    assert parse_events(stream, [*good, b"{"], 1000) is None
