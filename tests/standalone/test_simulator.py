"""The simulator answers as the two real APIs do, moves on by itself, and fails when it is told to."""

import itertools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests

from standalone.simulator.feeds import Market, Newsroom
from standalone.simulator.providers import FAULTS
from tests.conftest import PROJECT_ROOT
from tests.streaming_workers.feed_server import running_simulator

PRICES = {
    "ids": "bitcoin,ethereum",
    "vs_currencies": "usd",
    "include_24hr_change": "true",
    "include_last_updated_at": "true",
}
NEWS = {"country": "us", "pageSize": "100"}
KEY = {"X-Api-Key": "any"}


def prices(url: str, **changes: str) -> requests.Response:
    return requests.get(f"{url}/api/v3/simple/price", params=PRICES | changes, timeout=10)


def news(url: str, headers: dict[str, str] = KEY, **changes: str) -> requests.Response:
    return requests.get(f"{url}/v2/top-headlines", params=NEWS | changes, headers=headers, timeout=10)


@contextmanager
def simulator_process(*arguments: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "standalone.simulator", "--port", "0", *arguments],
        cwd=PROJECT_ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    try:
        yield process, json.loads(process.stdout.readline())["url"]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_prices_have_the_real_shape() -> None:
    with running_simulator() as (_, url):
        answer = prices(url).json()
        bare = prices(url, include_24hr_change="false", include_last_updated_at="false").json()
        refused = prices(url, ids="")

    assert set(answer) == {"bitcoin", "ethereum"}
    for quote in answer.values():
        assert set(quote) == {"usd", "usd_24h_change", "last_updated_at", "simulated"}
        assert isinstance(quote["last_updated_at"], int)
        assert 0 <= time.time() - quote["last_updated_at"] < 10
    assert set(bare["bitcoin"]) == {"usd", "simulated"}
    assert refused.status_code == 422


def test_news_have_the_real_shape_and_need_a_key() -> None:
    with running_simulator(news_key="mine") as (_, url):
        missing, wrong = news(url, headers={}), news(url, headers={"X-Api-Key": "another"})
        answer = news(url, headers={"X-Api-Key": "mine"}, pageSize="5").json()

    assert (missing.status_code, missing.json()["code"]) == (401, "apiKeyMissing")
    assert (wrong.status_code, wrong.json()["code"]) == (401, "apiKeyInvalid")
    assert answer["status"] == "ok"
    assert answer["totalResults"] == len(answer["articles"]) == 5
    assert set(answer["articles"][0]) == {
        "source", "author", "title", "description", "url", "urlToImage", "publishedAt", "content",
        "simulated",
    }  # fmt: skip


def test_a_price_changes_only_together_with_its_time() -> None:
    with running_simulator(update_seconds=0.2) as (_, url):
        quotes = []
        for _ in range(40):
            quotes.append(tuple(prices(url).json()["bitcoin"].values()))
            time.sleep(0.02)

    assert len({time for *_, time in quotes}) == len(set(quotes)) > 2


def test_the_walk_is_the_same_for_a_seed_and_plausible() -> None:
    def walk(seed: int) -> list[float]:
        market = Market(seed, update_seconds=60)
        return [market.quote("bitcoin", step * 60.0)["usd"] for step in range(24 * 60)]

    once, again, other = walk(1), walk(1), walk(2)

    assert once == again != other
    steps = [abs(after / before - 1) for before, after in itertools.pairwise(once)]
    assert 0 < sum(steps) / len(steps) < 0.002  # a minute moves it by some hundredths of a per cent
    assert 0.8 < min(once) / max(once) < 1


def test_a_poll_returns_most_articles_again_and_a_few_new_ones() -> None:
    newsroom = Newsroom(seed=1, new_articles=3, now=1.7e9)
    pages = [newsroom.front_page(100, 1.7e9 + poll) for poll in range(20)]

    for before, after in itertools.pairwise(pages):
        assert len(after) == 20
        assert 1 <= len({one["url"] for one in after} - {one["url"] for one in before}) <= 3
    titles = " ".join(one["title"] for page in pages for one in page)
    assert "Bitcoin" in titles
    assert "Gold" in titles


@pytest.mark.parametrize(("feed", "kind"), [(feed, kind) for feed, kinds in FAULTS.items() for kind in kinds])
def test_a_fault_spoils_as_many_answers_as_it_should_and_no_other_feed(feed: str, kind: str) -> None:
    ask, other = (prices, news) if feed == "prices" else (news, prices)
    with running_simulator(new_articles=0, update_seconds=1000) as (_, url):
        good = ask(url)
        fault = {"feed": feed, "kind": kind, "count": 2, "seconds": 1}
        assert requests.post(f"{url}/_faults", json=fault, timeout=5).status_code == 200
        assert other(url).status_code == 200
        start = time.monotonic()
        spoilt = [ask(url) for _ in range(2)]
        seconds = time.monotonic() - start
        healed = ask(url)

    assert healed.content == good.content
    if kind == "slow":
        assert seconds >= 2
    else:
        assert all(answer.content != good.content for answer in spoilt)
    assert [answer.status_code for answer in spoilt] == [int(kind) if kind.isdecimal() else 200] * 2
    assert [answer.headers.get("Retry-After") for answer in spoilt] == ["1" if kind == "429" else None] * 2


@pytest.mark.parametrize(
    "body", [{"feed": "prices", "kind": "flood"}, {"feed": "weather", "kind": "500"}, {}, {"x": 1}, []]
)
def test_a_fault_that_there_is_not_is_refused(body: Any) -> None:
    with running_simulator() as (_, url):
        assert requests.post(f"{url}/_faults", json=body, timeout=5).status_code == 400


def test_the_stats_say_what_was_asked_answered_and_shown() -> None:
    with running_simulator() as (_, url):
        requests.post(f"{url}/_faults", json={"feed": "news", "kind": "500"}, timeout=5)
        news(url)
        page = news(url).json()["articles"]
        stats = requests.get(f"{url}/_stats", timeout=5).json()

    assert stats["news"]["requests"] == 2
    assert stats["news"]["statuses"] == {"500": 1, "200": 1}
    assert stats["news"]["shown"] == [one["url"] for one in page]
    assert stats["prices"]["requests"] == 0


def test_a_share_of_the_answers_fails_at_random() -> None:
    with running_simulator(fault_rate=0.5) as (simulator, url):
        quotes = [prices(url) for _ in range(12)]

    assert {answer.status_code for answer in quotes} > {200}
    assert simulator.stats()["prices"]["faults_to_come"] == 0


def test_the_process_ends_with_0_though_an_answer_is_still_slow() -> None:
    with simulator_process("--seed", "7", "--update-seconds", "0.2") as (process, url):
        fault = {"feed": "prices", "kind": "slow", "seconds": 30}
        requests.post(f"{url}/_faults", json=fault, timeout=5)

        def ask() -> None:
            with pytest.raises(requests.ConnectionError):
                prices(url)

        asking = threading.Thread(target=ask)
        asking.start()
        while not requests.get(f"{url}/_stats", timeout=5).json()["prices"]["requests"]:
            time.sleep(0.02)
        start = time.monotonic()
        process.terminate()

        assert process.wait(timeout=10) == 0
        assert time.monotonic() - start < 5
        asking.join()


def test_a_port_in_use_is_one_clear_line() -> None:
    with simulator_process() as (_, url):
        done = subprocess.run(
            [sys.executable, "-m", "standalone.simulator", "--port", url.rpartition(":")[2]],
            cwd=PROJECT_ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=500,
        )

    assert done.returncode == 2
    assert json.loads(done.stdout)["error"] == "Address already in use"
