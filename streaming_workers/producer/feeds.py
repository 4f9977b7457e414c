"""The two feeds: what their providers answer becomes valid events; the rest is rejected with a reason."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any, Protocol

from pydantic import AwareDatetime, TypeAdapter, ValidationError
from typing_extensions import override

from streaming_workers.events import EARLIEST_TIME, NEWS_TOPIC, PRICES_TOPIC, BitcoinPrice, Event, NewsEvent
from streaming_workers.producer.json_api import FeedError, JsonApi
from streaming_workers.settings import ProducerSettings

LARGEST_NUMBER = Decimal(10) ** 15
SMALLEST_STEP = Decimal(1).scaleb(-12)
FUTURE_TOLERANCE = timedelta(days=1)  # clocks and time zones of publishers are often wrong by hours
_FIFTEEN_DIGITS = Context(prec=15, rounding=ROUND_HALF_EVEN)
_TIME: TypeAdapter[datetime] = TypeAdapter(AwareDatetime)


@dataclass(frozen=True)
class Rejection:
    """An item of an answer that is no event; `reason` is one of few short names (a metric's label)."""

    reason: str
    item: str


@dataclass
class PollResult:
    """What one poll of a feed gave."""

    events: list[Event] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)

    def add(self, item: str, read: Callable[[], Event]) -> None:
        """Add the event that `read` returns, or the reason why it is none."""
        try:
            self.events.append(read())
        except _NoEventError as error:
            self.rejections.append(Rejection(str(error), item))
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False, include_context=False)[0]
            self.rejections.append(Rejection(f"{first['loc'][0]}_{first['type']}", item))


class Feed(Protocol):
    """A provider that is polled, by one thread at a time."""

    name: str
    topic: str
    interval_seconds: float

    def poll(self) -> PollResult:
        """Return all current events, earlier polls' included; raises FeedError if there is no answer."""


class PriceFeed(Feed):
    """CoinGecko's simple price: one event a coin."""

    name = "prices"
    topic = PRICES_TOPIC

    def __init__(self, settings: ProducerSettings) -> None:
        """Raises ValueError that names the setting that cannot be used."""
        self.interval_seconds = settings.price_interval_seconds
        names = (coin.strip().lower() for coin in settings.coingecko_coins.split(","))
        self._coins = list(dict.fromkeys(name for name in names if name))
        if not self._coins:
            raise ValueError("COINGECKO_COINS names no coin")
        self._api = JsonApi(
            settings.coingecko_url,
            settings.coingecko_api_key,
            key_header="x-cg-demo-api-key",
            url_setting="COINGECKO_URL",
            key_setting="COINGECKO_API_KEY",
            timeout_seconds=settings.http_timeout_seconds,
            retries=settings.http_retries,
        )

    @override
    def poll(self) -> PollResult:
        answer = self._api.get(
            "simple/price",
            {
                "ids": ",".join(self._coins),
                "vs_currencies": "usd",
                "include_24hr_change": "true",
                "include_last_updated_at": "true",
            },
        )
        fetched_at = datetime.now(UTC)
        if not isinstance(answer, dict) or _is_refusal(answer):
            raise FeedError("error_answer", "the answer is no object of prices")
        result = PollResult()
        for coin in self._coins:
            result.add(coin, lambda coin=coin: _price(coin, answer.get(coin), fetched_at))  # type: ignore[misc]
        return result


class NewsFeed(Feed):
    """NewsAPI's top headlines: one event an article of the page."""

    name = "news"
    topic = NEWS_TOPIC

    def __init__(self, settings: ProducerSettings) -> None:
        """Raises ValueError that names the setting that cannot be used."""
        self.interval_seconds = settings.news_interval_seconds
        self._category = settings.newsapi_category.strip()
        wanted = {
            "category": self._category,
            "country": settings.newsapi_country.strip(),
            "q": settings.newsapi_query.strip(),
        }
        self._parameters = {name: value for name, value in wanted.items() if value} | {"pageSize": "100"}
        self._api = JsonApi(
            settings.newsapi_url,
            settings.newsapi_key,
            key_header="X-Api-Key",
            url_setting="NEWSAPI_URL",
            key_setting="NEWSAPI_KEY",
            timeout_seconds=settings.http_timeout_seconds,
            retries=settings.http_retries,
        )

    @override
    def poll(self) -> PollResult:
        answer = self._api.get("top-headlines", self._parameters)
        fetched_at = datetime.now(UTC)
        articles = answer.get("articles") if isinstance(answer, dict) else None
        if not isinstance(articles, list) or answer.get("status") != "ok":
            raise FeedError("error_answer", "the answer is no page of articles")
        result = PollResult()
        for article in articles:
            result.add(
                _name(article),
                lambda article=article: _news(article, self._category or None, fetched_at),  # type: ignore[misc]
            )
        return result


class _NoEventError(Exception):
    """An item that is no event; the text is the reason."""


def _is_refusal(answer: dict[str, Any]) -> bool:
    """Tell CoinGecko's error answers from prices: there is a coin whose id is `status`."""
    status = answer.get("status")
    return isinstance(status, str) or isinstance(answer.get("error"), str) or "error_code" in (status or {})


def _price(coin: str, quote: Any, fetched_at: datetime) -> BitcoinPrice:
    if not isinstance(quote, dict):
        raise _NoEventError("missing_coin")
    price = _number(quote, "usd", "price")
    if price is None:
        raise _NoEventError("no_price")
    observed_at = _epoch(quote.get("last_updated_at"), fetched_at)
    return BitcoinPrice(
        event_id=f"{coin}:{_iso(observed_at)}",
        coin=coin,
        price_usd=price,
        change_24h_pct=_number(quote, "usd_24h_change", "change"),
        observed_at=observed_at,
        fetched_at=fetched_at,
        **_simulated(quote),
    )


def _news(article: Any, category: str | None, fetched_at: datetime) -> NewsEvent:
    if not isinstance(article, dict):
        raise _NoEventError("no_article")
    source = article.get("source")
    url = _required(article, "url")
    headline = _required(article, "title", "headline")
    if headline == "[Removed]":  # NewsAPI's stand-in for an article that its publisher took back
        raise _NoEventError("removed")
    if not url.startswith(("https://", "http://")):
        raise _NoEventError("bad_url")
    published_at = _published_at(article, fetched_at)
    return NewsEvent(
        event_id=hashlib.sha256(f"{url}\n{_iso(published_at)}".encode(errors="replace")).hexdigest()[:32],
        source_name=_required(source if isinstance(source, dict) else {}, "name", "source"),
        headline=headline,
        description=_text(article, "description"),
        url=url,
        author=_text(article, "author"),
        category=category,
        published_at=published_at,
        fetched_at=fetched_at,
        **_simulated(article),
    )


def _simulated(item: dict[str, Any]) -> dict[str, Any]:
    """Return the mark of a made-up item, which its event keeps; no provider sends one."""
    return {"simulated": True} if item.get("simulated") is True else {}


def _number(quote: dict[str, Any], field_name: str, called: str) -> Decimal | None:
    """Return a number of at most 15 digits, which a reader that uses doubles gets exactly, too."""
    value = quote.get(field_name)
    if value is None:
        return None
    if not isinstance(value, Decimal):
        raise _NoEventError(f"bad_{called}")
    if abs(value) >= LARGEST_NUMBER:
        raise _NoEventError(f"bad_{called}")
    rounded = _FIFTEEN_DIGITS.plus(value)
    exponent = rounded.as_tuple().exponent
    if isinstance(exponent, int) and exponent < SMALLEST_STEP.adjusted():
        return rounded.quantize(SMALLEST_STEP, rounding=ROUND_HALF_EVEN)
    return rounded


def _epoch(value: Any, now: datetime) -> datetime:
    """Return the time of a number of seconds since 1970, to the microsecond."""
    if value is None:
        raise _NoEventError("no_observed_at")
    if not isinstance(value, Decimal) or not 0 < value < LARGEST_NUMBER:
        raise _NoEventError("bad_observed_at")
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(value * 1_000_000))
    except OverflowError as error:
        raise _NoEventError("bad_observed_at") from error
    return _plausible(moment, now, "observed_at")


def _published_at(article: dict[str, Any], now: datetime) -> datetime:
    text = _required(article, "publishedAt", "published_at")
    try:
        moment = _TIME.validate_strings(text).astimezone(UTC)
    except (ValidationError, OverflowError) as error:
        raise _NoEventError("bad_published_at") from error
    return _plausible(moment, now, "published_at")


def _plausible(moment: datetime, now: datetime, called: str) -> datetime:
    """Refuse a time before EARLIEST_TIME and one ahead, which would move every look-back window there."""
    if moment < EARLIEST_TIME:
        raise _NoEventError(f"old_{called}")
    if moment > now + FUTURE_TOLERANCE:
        raise _NoEventError(f"future_{called}")
    return moment


def _required(fields: dict[str, Any], field_name: str, called: str = "") -> str:
    text = _text(fields, field_name, called)
    if text is None:
        raise _NoEventError(f"no_{called or field_name}")
    return text


def _text(fields: dict[str, Any], field_name: str, called: str = "") -> str | None:
    """Return a text without blanks around it and NUL (which no warehouse stores); None if nothing is left."""
    value = fields.get(field_name)
    if value is not None and not isinstance(value, str):
        raise _NoEventError(f"bad_{called or field_name}")
    return (value or "").replace("\x00", "").strip() or None


def _name(article: Any) -> str:
    """Return what identifies a rejected article in the log."""
    fields = article if isinstance(article, dict) else {}
    return str(fields.get("url") or fields.get("title") or "?")[:200]


def _iso(moment: datetime) -> str:
    """Return the text that pydantic gives the same time in the message."""
    return moment.isoformat().replace("+00:00", "Z")
