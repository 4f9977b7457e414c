"""A plausible market and newsroom behind the simulator's two APIs, from one seed."""

import random
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import Any

SIMULATED = "simulated"  # the producer copies it into the event
SECONDS_A_YEAR = 365 * 24 * 3600
VOLATILITY = 0.6  # of a year, about Bitcoin's
START_PRICES = {"bitcoin": 67_000.0, "ethereum": 3_500.0, "solana": 150.0, "dogecoin": 0.12}
PAGE = 20  # articles on the front page
LONGEST_WALK = 10_000  # steps computed at once after a pause; earlier ones are left out

SOURCES = ("Reuters", "Bloomberg", "CNBC", "Financial Times", "The Verge", "Handelsblatt", "CoinDesk")
SUBJECTS = (
    "Bitcoin", "Federal Reserve", "Ethereum", "Oil", "European Central Bank", "Online retail",
    "Crypto trading", "The chip sector", "Consumer spending", "Gold",
)  # fmt: skip
EVENTS = (
    "rises as traders weigh inflation data",
    "slips after a record week",
    "draws new buyers ahead of earnings",
    "holds steady while bond yields climb",
    "faces fresh questions from regulators",
    "beats forecasts in a quiet session",
)


class Market:
    """Prices of any coins: geometric random walks that take a step every `update_seconds` of the clock."""

    def __init__(self, seed: int, update_seconds: float) -> None:
        self._seed = seed
        self._update_seconds = update_seconds
        self._walks: dict[str, _Walk] = {}

    def quote(self, coin: str, now: float) -> dict[str, Any]:
        """Return CoinGecko's fields of a coin at a time (seconds since 1970), and that they are made up."""
        step = int(now / self._update_seconds)
        if coin not in self._walks:
            self._walks[coin] = _Walk(coin, self._seed, step)
        price, change = self._walks[coin].at(step, self._update_seconds)
        updated_at = step * self._update_seconds
        return {
            SIMULATED: True,
            "usd": price,
            "usd_24h_change": change,
            # The real API gives whole seconds; only a market that moves faster needs parts of one.
            "last_updated_at": round(updated_at, 3) if self._update_seconds < 1 else int(updated_at),
        }


class _Walk:
    def __init__(self, coin: str, seed: int, step: int) -> None:
        self._random = random.Random(f"{seed} {coin}")  # noqa: S311 (made-up prices)
        self._step = step
        self._price = START_PRICES.get(coin) or 10 ** self._random.uniform(-2, 3)
        self._yesterday = self._price * (1 + self._random.uniform(-0.04, 0.04))

    def at(self, step: int, step_seconds: float) -> tuple[float, float]:
        """Return price in USD and change over a day in per cent."""
        spread = VOLATILITY * (step_seconds / SECONDS_A_YEAR) ** 0.5
        for _ in range(min(step - self._step, LONGEST_WALK)):
            self._price *= 1 + self._random.gauss(0, spread)
            self._yesterday += (self._price - self._yesterday) * min(1, step_seconds / 86_400)
        self._step = max(step, self._step)
        digits = 2 if self._price >= 1 else 8
        return round(self._price, digits), (self._price / self._yesterday - 1) * 100


class Newsroom:
    """A front page: each request returns most articles of the one before, and one to `new_articles` new."""

    def __init__(self, seed: int, new_articles: int, now: float) -> None:
        self._random = random.Random(f"{seed} news")  # noqa: S311 (made-up news)
        self._new_articles = new_articles
        self._count = 0
        # Addresses differ between two runs of the simulator: articles of the second one are new.
        self._edition = f"{seed}-{int(now):x}"
        self._page: deque[dict[str, Any]] = deque(maxlen=max(PAGE, new_articles))
        for minutes in range(PAGE, 0, -1):
            self._page.appendleft(self._article(now - minutes * 300))

    def front_page(self, page_size: int, now: float) -> list[dict[str, Any]]:
        """Return the newest articles, newest first, in NewsAPI's shape."""
        for _ in range(self._random.randint(min(1, self._new_articles), self._new_articles)):
            self._page.appendleft(self._article(now))
        return [dict(article) for article in self._page][:page_size]

    def _article(self, published: float) -> dict[str, Any]:
        self._count += 1
        source = self._random.choice(SOURCES)
        headline = f"{self._random.choice(SUBJECTS)} {self._random.choice(EVENTS)}"
        moment = datetime.fromtimestamp(published, UTC) - timedelta(seconds=self._random.randint(0, 120))
        return {
            "source": {"id": None, "name": source},
            "author": self._random.choice([None, "A. Writer", "Zoë Müller", "Staff"]),
            "title": f"{headline} - {source}",
            "description": self._random.choice([None, f"{headline}, {source} reports.", f"“{headline}”"]),
            "url": f"https://news.example/{self._edition}/{self._count}",
            "urlToImage": None,
            "publishedAt": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "content": None,
            SIMULATED: True,
        }
