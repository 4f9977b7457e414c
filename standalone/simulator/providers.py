"""What the two simulated providers answer to a request, and the faults that spoil their answers."""

import json
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from standalone.simulator.feeds import Market, Newsroom

FEEDS = {"simple/price": "prices", "top-headlines": "news"}
SHOWN = 50_000  # items that /_stats remembers of each feed


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; the body is JSON unless it is bytes already."""

    status: int
    body: Any
    retry_after: float | None = None

    def encoded(self) -> bytes:
        """Return the body as it goes over the wire."""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


@dataclass(frozen=True)
class Fault:
    """What spoils the next answers; `seconds` is the delay of `slow` and the Retry-After of `429`."""

    kind: str
    seconds: float = 1


@dataclass
class FeedState:
    """The requests of one feed, the items it has shown, and the faults still to come."""

    requests: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    faults: deque[Fault] = field(default_factory=deque)
    shown: dict[str, None] = field(default_factory=dict)  # a set in the order of time
    request_times: deque[float] = field(default_factory=lambda: deque(maxlen=SHOWN))

    def stats(self) -> dict[str, Any]:
        """Return what /_stats says of this feed."""
        return {
            "requests": self.requests,
            "statuses": {str(status): count for status, count in self.statuses.items()},
            "faults_to_come": len(self.faults),
            "request_times": list(self.request_times),
            "shown": list(self.shown),
        }

    def show(self, items: Iterable[str]) -> None:
        """Remember the ids of an answer's items, the newest SHOWN of them."""
        self.shown |= dict.fromkeys(items)
        while len(self.shown) > SHOWN:
            del self.shown[next(iter(self.shown))]


def _each(items: Sequence[dict[str, Any]], **changes: Any) -> None:
    for item in items:
        item.update(changes)


def _null_price(body: Any) -> Any:
    _each(list(body.values()), usd=None)
    return body


def _wrong_types(body: Any) -> Any:
    if "articles" in body:
        _each(body["articles"][:1], title=7)
        _each(body["articles"][1:2], source="Reuters")
        _each(body["articles"][2:3], publishedAt="yesterday")
        body["articles"][3:4] = ["no article"]
    else:
        _each(list(body.values())[:1], usd="67000")
        _each(list(body.values())[1:2], last_updated_at=1e30)
    return body


def _half_empty(body: Any) -> Any:
    if "articles" in body:
        _each(body["articles"][:1], title=None)
        _each(body["articles"][1:2], url="")
        _each(body["articles"][2:3], source={"id": None, "name": None})
    else:
        body.pop(next(iter(body)))
    return body


SPOILERS: dict[str, Callable[[Any], Any]] = {
    "null_price": _null_price,
    "half_empty": _half_empty,
    "wrong_types": _wrong_types,
    "malformed": lambda body: json.dumps(body).encode()[:-20],
    "html": lambda body: b"<html><body>Bad gateway</body></html>",
    "error": lambda body: {"status": "error", "code": "unexpectedError", "message": "Try again."},
}
REFUSALS: dict[str, Callable[[Fault], Answer]] = {
    "429": lambda fault: Answer(429, {"status": "error", "code": "rateLimited"}, fault.seconds),
    "500": lambda fault: Answer(500, {"status": "error", "code": "serverError"}),
    "401": lambda fault: Answer(401, {"status": "error", "code": "apiKeyInvalid"}),
}
FAULTS = {
    "prices": (*REFUSALS, "slow", "malformed", "html", "error", "null_price", "half_empty", "wrong_types"),
    "news": (*REFUSALS, "slow", "malformed", "html", "error", "half_empty", "wrong_types"),
}


class Simulator:
    """Both providers; every method may be called from several threads."""

    def __init__(
        self,
        *,
        seed: int = 0,
        update_seconds: float = 5,
        new_articles: int = 3,
        news_key: str | None = None,
        fault_rate: float = 0,
    ) -> None:
        self._market = Market(seed, update_seconds)
        self._newsroom = Newsroom(seed, new_articles, time.time())
        self._news_key = news_key
        self._fault_rate = fault_rate
        self._random = random.Random(f"{seed} faults")  # noqa: S311 (made-up faults)
        self._feeds = {feed: FeedState() for feed in FEEDS.values()}
        self._lock = threading.Lock()

    def answer(self, feed: str, query: dict[str, str], key: str) -> Answer:
        """Return what the provider says to one request; a slow one takes its time here."""
        with self._lock:
            state = self._feeds[feed]
            state.requests += 1
            state.request_times.append(time.time())
            fault = state.faults.popleft() if state.faults else self._chance(feed)
        if fault and fault.kind == "slow":
            time.sleep(fault.seconds)
        with self._lock:
            answer = self._spoilt(feed, query, key, fault)
            state.statuses[answer.status] += 1
        return answer

    def add_faults(self, feed: str, kind: str, count: int = 1, seconds: float = 1) -> None:
        """Spoil the next `count` answers of a feed. Raises ValueError for an unknown feed or fault."""
        if kind not in FAULTS.get(feed, ()):
            raise ValueError(f"there is no fault {kind!r} of a feed {feed!r}; there are {FAULTS}")
        with self._lock:
            self._feeds[feed].faults.extend([Fault(kind, float(seconds))] * count)

    def stats(self) -> dict[str, Any]:
        """Return the counts of requests and answers, and what was shown, by feed."""
        with self._lock:
            return {feed: state.stats() for feed, state in self._feeds.items()}

    def _chance(self, feed: str) -> Fault | None:
        if self._random.random() >= self._fault_rate:
            return None
        return Fault(self._random.choice(FAULTS[feed]))

    def _spoilt(self, feed: str, query: dict[str, str], key: str, fault: Fault | None) -> Answer:
        if fault and fault.kind in REFUSALS:
            return REFUSALS[fault.kind](fault)
        answer = self._prices(query) if feed == "prices" else self._news(query, key)
        if answer.status != 200 or fault is None or fault.kind not in SPOILERS:
            self._remember(feed, answer)
            return answer
        return Answer(200, SPOILERS[fault.kind](answer.body))

    def _prices(self, query: dict[str, str]) -> Answer:
        if not query.get("ids") or query.get("vs_currencies") != "usd":
            return Answer(422, {"error": "Missing parameter ids or vs_currencies=usd"})
        now = time.time()
        quotes = {coin: self._market.quote(coin, now) for coin in query["ids"].split(",")}
        for asked, name in (
            ("include_24hr_change", "usd_24h_change"),
            ("include_last_updated_at", "last_updated_at"),
        ):
            if query.get(asked) != "true":
                for quote in quotes.values():
                    del quote[name]
        return Answer(200, quotes)

    def _news(self, query: dict[str, str], key: str) -> Answer:
        if not key:
            return Answer(401, _news_error("apiKeyMissing", "Your API key is missing."))
        if self._news_key and key != self._news_key:
            return Answer(401, _news_error("apiKeyInvalid", "Your API key is invalid or incorrect."))
        if not query.keys() & {"country", "category", "q", "sources"}:
            return Answer(400, _news_error("parametersMissing", "Required parameters are missing."))
        page_size = query.get("pageSize", "20")
        if not page_size.isdecimal():
            return Answer(400, _news_error("parameterInvalid", "pageSize is no number."))
        articles = self._newsroom.front_page(min(int(page_size), 100), time.time())
        return Answer(200, {"status": "ok", "totalResults": len(articles), "articles": articles})

    def _remember(self, feed: str, answer: Answer) -> None:
        """Remember the ids of a good answer's items: coin and time, or the address."""
        if answer.status != 200:
            return
        if feed == "news":
            self._feeds[feed].show(article["url"] for article in answer.body["articles"])
        else:
            self._feeds[feed].show(
                f"{coin}:{quote.get('last_updated_at')}" for coin, quote in answer.body.items()
            )


def _news_error(code: str, message: str) -> dict[str, str]:
    return {"status": "error", "code": code, "message": message}
