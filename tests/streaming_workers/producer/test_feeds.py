"""A poll of a feed gives valid events, exact to the digit; what a provider sends wrong never stops it."""

import json
import logging
import time
import traceback
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from streaming_workers.events import BitcoinPrice, NewsEvent
from streaming_workers.producer.feeds import NewsFeed, PollResult, PriceFeed
from streaming_workers.producer.json_api import FeedError
from streaming_workers.settings import ProducerSettings
from tests.streaming_workers.feed_server import (
    KEY,
    article,
    page,
    provider_that_says,
    running_simulator,
    settings_for,
)


def poll_prices(body: str, coins: str = "bitcoin") -> PollResult:
    with provider_that_says(body.encode()) as url:
        return PriceFeed(settings_for(url, coingecko_coins=coins)).poll()


def poll_news(*articles: Any) -> PollResult:
    with provider_that_says(page(*articles)) as url:
        return NewsFeed(settings_for(url)).poll()


def reasons(result: PollResult) -> dict[str, int]:
    return dict(Counter(rejection.reason for rejection in result.rejections))


def test_a_poll_of_the_prices_gives_one_event_a_coin_with_the_providers_time() -> None:
    with running_simulator() as (simulator, url):
        result = PriceFeed(settings_for(url, coingecko_coins=" bitcoin, Ethereum ,,bitcoin")).poll()

    assert [event.key for event in result.events] == ["bitcoin", "ethereum"]
    assert result.rejections == []
    for event in result.events:
        assert isinstance(event, BitcoinPrice)
        assert event.event_id == f"{event.coin}:{event.observed_at:%Y-%m-%dT%H:%M:%SZ}"
        assert f"{event.coin}:{event.observed_at.timestamp():.0f}" in simulator.stats()["prices"]["shown"]
        assert timedelta() <= event.fetched_at - event.observed_at < timedelta(seconds=10)


def test_a_poll_of_the_news_gives_every_article_of_the_page() -> None:
    with running_simulator() as (simulator, url):
        result = NewsFeed(settings_for(url, newsapi_category="business")).poll()

    assert [event.key for event in result.events] == simulator.stats()["news"]["shown"]
    assert len(result.events) == 20
    assert {event.model_dump()["category"] for event in result.events} == {"business"}
    assert result.rejections == []


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("67187.33", "67187.33"),
        ("67187.3358936566", "67187.3358936566"),
        ("0.1", "0.1"),
        ("67000", "67000"),
        ("0.000012345678", "0.000012345678"),
        ("1.2e-5", "0.000012"),
        (
            "67187.33589365664212",
            "67187.3358936566",
        ),  # 15 digits: what also a reader with doubles gets exactly
        ("0.12345678901234567", "0.123456789012"),
    ],
)
def test_a_price_reaches_the_message_digit_by_digit(sent: str, kept: str) -> None:
    result = poll_prices(
        f'{{"bitcoin": {{"usd": {sent}, "usd_24h_change": -3.637278946773539, "last_updated_at": 17e8}}}}'
    )

    [event] = result.events
    message = event.to_json()
    assert f'"price_usd": {kept},'.encode() in message
    assert b'"change_24h_pct": -3.637278946774,' in message
    assert json.loads(message, parse_float=Decimal, parse_int=Decimal)["price_usd"] == Decimal(kept)
    assert BitcoinPrice.model_validate_json(message) == event
    assert Decimal(repr(float(kept))) == Decimal(kept)


def test_a_made_up_event_says_so_and_a_real_one_does_not() -> None:
    with running_simulator() as (_, url):
        made_up = [*PriceFeed(settings_for(url)).poll().events, *NewsFeed(settings_for(url)).poll().events]
    real = [*poll_news(article()).events]
    real += poll_prices('{"bitcoin": {"usd": 1.5, "last_updated_at": 1711356300}}').events

    assert len(made_up) > 20
    assert all(json.loads(event.to_json())["simulated"] is True for event in made_up)
    assert len(real) == 2
    assert all("simulated" not in json.loads(event.to_json()) for event in real)


def test_a_news_message_is_read_back_as_it_was() -> None:
    [event] = poll_news(article(title='  Zoë said "Ω" \U0001f600\n ', author="", description=None)).events

    read = NewsEvent.model_validate_json(event.to_json())
    assert read == event
    assert (read.headline, read.author, read.description) == ('Zoë said "Ω" \U0001f600', None, None)


def test_an_article_keeps_its_id_until_its_address_or_time_changes() -> None:
    first, again, moved, later, zone = (
        poll_news(article(**changes)).events[0].event_id
        for changes in (
            {},
            {"title": "Gold holds, updated"},
            {"url": "https://news.example/2"},
            {"publishedAt": "2026-01-02T03:04:06Z"},
            {"publishedAt": "2026-01-02T05:04:05+02:00"},
        )
    )

    assert first == again == zone
    assert len({first, moved, later}) == 3


@pytest.mark.parametrize(
    ("quote", "reason"),
    [
        ('{"usd": null, "last_updated_at": 1711356300}', "no_price"),
        ('{"last_updated_at": 1711356300}', "no_price"),
        ('{"usd": "67000", "last_updated_at": 1711356300}', "bad_price"),
        ('{"usd": true, "last_updated_at": 1711356300}', "bad_price"),
        ('{"usd": 1e400, "last_updated_at": 1711356300}', "bad_price"),
        ('{"usd": 0, "last_updated_at": 1711356300}', "price_usd_greater_than"),
        ('{"usd": 1e-400, "last_updated_at": 1711356300}', "price_usd_greater_than"),
        ('{"usd": -1, "last_updated_at": 1711356300}', "price_usd_greater_than"),
        ('{"usd": 1, "usd_24h_change": "up", "last_updated_at": 1711356300}', "bad_change"),
        ('{"usd": 1}', "no_observed_at"),
        ('{"usd": 1, "last_updated_at": "now"}', "bad_observed_at"),
        ('{"usd": 1, "last_updated_at": 1711356300000}', "bad_observed_at"),
        ('{"usd": 1, "last_updated_at": -5}', "bad_observed_at"),
        ('{"usd": 1, "last_updated_at": 1}', "old_observed_at"),
        ('{"usd": 1, "last_updated_at": 4102444800}', "future_observed_at"),
        ("null", "missing_coin"),
        ("[]", "missing_coin"),
    ],
)
def test_a_quote_that_is_no_price_is_rejected_and_the_other_coins_stay(quote: str, reason: str) -> None:
    result = poll_prices(
        f'{{"bitcoin": {quote}, "ethereum": {{"usd": 3500, "last_updated_at": 1711356300}}}}',
        coins="bitcoin,ethereum,nocoin",
    )

    assert [event.key for event in result.events] == ["ethereum"]
    assert Counter(reasons(result)) == Counter([reason, "missing_coin"])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"title": None}, "no_headline"),
        ({"title": " \n"}, "no_headline"),
        ({"title": 7}, "bad_headline"),
        ({"title": "[Removed]", "url": "https://removed.com"}, "removed"),
        ({"title": "\ud800"}, "headline_string_unicode"),
        ({"url": None}, "no_url"),
        ({"url": "javascript:alert(1)"}, "bad_url"),
        ({"source": None}, "no_source"),
        ({"source": "Reuters"}, "no_source"),
        ({"source": {"name": ["Reuters"]}}, "bad_source"),
        ({"author": {"name": "me"}}, "bad_author"),
        ({"publishedAt": None}, "no_published_at"),
        ({"publishedAt": 1711356300}, "bad_published_at"),
        ({"publishedAt": "yesterday"}, "bad_published_at"),
        ({"publishedAt": "2026-01-02T03:04:05"}, "bad_published_at"),
        ({"publishedAt": "9999-12-31T23:59:59-23:00"}, "bad_published_at"),
        ({"publishedAt": "1970-01-01T00:00:00Z"}, "old_published_at"),
        ({"publishedAt": "1999-12-31T23:59:59Z"}, "old_published_at"),
        ({"publishedAt": "0001-01-01T00:00:00Z"}, "old_published_at"),
    ],
)
def test_a_half_empty_article_is_rejected_and_the_others_stay(changes: dict[str, Any], reason: str) -> None:
    result = poll_news(article(**changes), article(url="https://news.example/good"), None)

    assert [event.key for event in result.events] == ["https://news.example/good"]
    assert reasons(result) == {reason: 1, "no_article": 1}


def test_news_from_the_future_is_rejected_beyond_a_wrong_time_zone() -> None:
    now = datetime.now(UTC)
    result = poll_news(
        article(publishedAt=(now + timedelta(hours=12)).isoformat()),
        article(publishedAt=(now + timedelta(hours=30)).isoformat()),
    )

    assert len(result.events) == 1
    assert reasons(result) == {"future_published_at": 1}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not_json"),
        (b"<html>502</html>", "not_json"),
        (b'{"status": "ok", "articles": [{"title": "Go', "not_json"),
        (b"\xff\xfe\x00", "not_json"),
        (b"[" * 100_000, "not_json"),
        (b'{"a": NaN}', "not_json"),
        (b'{"a": 1e99999999999999999999}', "not_json"),
        (b'{"status": "error", "code": "unexpectedError"}', "error_answer"),
        (b'{"status": "error", "articles": []}', "error_answer"),
        (b'{"status": {"error_code": 429}}', "error_answer"),
        (b'{"error": "coin not found"}', "error_answer"),
        (b"[]", "error_answer"),
        (b"null", "error_answer"),
        (b" " * (8 * 1024 * 1024 + 1), "too_large"),
    ],
)
@pytest.mark.parametrize("feed", [PriceFeed, NewsFeed])
def test_an_answer_that_holds_nothing_is_one_clear_error(
    feed: type[PriceFeed] | type[NewsFeed], body: bytes, reason: str
) -> None:
    with provider_that_says(body) as url, pytest.raises(FeedError) as failure:
        feed(settings_for(url)).poll()

    assert failure.value.reason == reason


def test_a_coin_may_be_called_status() -> None:
    result = poll_prices('{"status": {"usd": 0.03, "last_updated_at": 1711356300}}', coins="status")

    assert [event.key for event in result.events] == ["status"]


@pytest.mark.parametrize("kind", ["500", "429", "slow"])
def test_a_passing_fault_costs_a_retry_and_no_poll(kind: str) -> None:
    with running_simulator() as (simulator, url):
        simulator.add_faults("prices", kind, count=1, seconds=1)
        result = PriceFeed(settings_for(url, http_timeout_seconds=0.5)).poll()

        assert len(result.events) == 1
        assert simulator.stats()["prices"]["requests"] == 2


def test_a_fault_that_lasts_ends_the_poll_after_the_retries() -> None:
    with running_simulator() as (simulator, url):
        simulator.add_faults("prices", "500", count=9)
        with pytest.raises(FeedError, match="HTTP 500, serverError") as failure:
            PriceFeed(settings_for(url, http_retries=2)).poll()

        assert failure.value.reason == "http_500"
        assert simulator.stats()["prices"]["requests"] == 3


def test_retry_after_is_waited_for_before_the_next_try() -> None:
    with running_simulator() as (simulator, url):
        simulator.add_faults("news", "429", seconds=2)
        NewsFeed(settings_for(url)).poll()

        first, second = simulator.stats()["news"]["request_times"]
        assert 2 <= second - first < 4


def test_a_long_retry_after_is_left_to_the_schedule() -> None:
    with running_simulator() as (simulator, url):
        simulator.add_faults("news", "429", seconds=900)
        start = time.monotonic()
        with pytest.raises(FeedError) as failure:
            NewsFeed(settings_for(url, http_retries=5)).poll()

        assert (failure.value.reason, failure.value.retry_after) == ("http_429", 900)
        assert time.monotonic() - start < 5
        assert simulator.stats()["news"]["requests"] == 1


@pytest.mark.parametrize(("header", "seconds"), [("999999999", 3600), ("soon", 0)])
def test_a_senseless_retry_after_is_bounded(header: str, seconds: float) -> None:
    with provider_that_says(b"", 429, Retry_After=header) as url, pytest.raises(FeedError) as failure:
        NewsFeed(settings_for(url)).poll()

    assert failure.value.retry_after == seconds


def test_a_provider_that_drips_its_answer_is_left_in_time() -> None:
    with provider_that_says(b" " * 100, byte_seconds=0.1) as url:
        start = time.monotonic()
        with pytest.raises(FeedError) as failure:
            PriceFeed(settings_for(url, http_timeout_seconds=0.5)).poll()

        assert failure.value.reason == "timeout"
        assert time.monotonic() - start < 5


def test_a_provider_that_is_not_there_is_one_clear_error() -> None:
    with pytest.raises(FeedError, match="Connection refused") as failure:
        PriceFeed(settings_for("http://127.0.0.1:1")).poll()

    assert failure.value.reason == "connection"


def test_a_refused_key_names_the_setting_and_never_the_key(caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.DEBUG),
        running_simulator(news_key="another") as (_, url),
        pytest.raises(FeedError, match=r"NEWSAPI_KEY is refused \(HTTP 401, apiKeyInvalid\)") as failure,
    ):
        NewsFeed(settings_for(url)).poll()

    assert failure.value.reason == "unauthorized"
    assert caplog.records  # urllib3 says which address it asks
    assert KEY not in caplog.text


@pytest.mark.parametrize("fault", ["429", "500", "slow", "html"])
def test_no_message_holds_the_key(fault: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), running_simulator() as (simulator, url):
        simulator.add_faults("news", fault, count=2, seconds=1)
        with pytest.raises(FeedError) as failure:
            NewsFeed(settings_for(url, http_timeout_seconds=0.5)).poll()

    assert KEY not in "".join([*traceback.format_exception(failure.value), caplog.text])


def test_the_key_is_not_taken_to_where_a_provider_redirects() -> None:
    with (
        running_simulator() as (simulator, elsewhere),
        provider_that_says(b"", 301, Location=f"{elsewhere}/v2/top-headlines?q=a") as url,
        pytest.raises(FeedError, match="set NEWSAPI_URL to its new address"),
    ):
        NewsFeed(settings_for(url)).poll()

    assert simulator.stats()["news"]["requests"] == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"newsapi_url": "newsapi.org/v2"}, "NEWSAPI_URL"),
        ({"newsapi_url": "file:///etc/passwd"}, "NEWSAPI_URL"),
        ({"newsapi_key": f"{KEY}\n{KEY}"}, "NEWSAPI_KEY"),
        ({"newsapi_key": f"{KEY}é"}, "NEWSAPI_KEY"),
    ],
)
def test_a_setting_that_no_request_can_carry_is_named(changes: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message) as failure:
        NewsFeed(settings_for("http://127.0.0.1:1", **changes))

    assert KEY not in str(failure.value)


def test_no_coins_is_an_error() -> None:
    with pytest.raises(ValueError, match="COINGECKO_COINS"):
        PriceFeed(settings_for("http://127.0.0.1:1", coingecko_coins=" , "))


@pytest.mark.parametrize("name", ["coingecko_url", "newsapi_url"])
@pytest.mark.parametrize(
    "url",
    [
        "http://api.example.org/v3",
        "http://10.0.0.7:8094/v2",
        "http://localhost.example.org",
        "HTTP://simulator:8094",
    ],
)
def test_a_feed_beyond_this_machine_is_asked_over_https_only(name: str, url: str) -> None:
    with pytest.raises(ValidationError, match=f"{name.upper()} must begin with https"):
        ProducerSettings.model_validate({name: url})
    assert getattr(ProducerSettings.model_validate({name: url, "feeds_allow_http": True}), name) == url


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8094/v2", "http://[::1]:8094", "http://localhost:1", "https://api.example.org"]
)
def test_a_feed_of_this_machine_may_be_plain_http(url: str) -> None:
    assert ProducerSettings.model_validate({"coingecko_url": url}).coingecko_url == url
