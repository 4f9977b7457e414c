"""The producer as a process: everything it fetched is in Kafka once, whatever a feed or the broker does."""

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from standalone.simulator.providers import Simulator
from streaming_workers.events import NEWS_TOPIC, PRICES_TOPIC, STREAMS, BitcoinPrice, NewsEvent
from tests.conftest import PROJECT_ROOT
from tests.kafka import Broker, free_port, running_broker
from tests.machine import wait_until
from tests.streaming_workers.feed_server import KEY, running_simulator
from tests.streaming_workers.producer.producer_process import read_topic, running_producer

pytestmark = pytest.mark.slow  # files and processes: some seconds in all


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """The broker of this module: every test leaves it running, and reads the events of its own time."""
    with running_broker(tmp_path_factory.mktemp("kafka")) as one:
        yield one


@pytest.fixture
def feeds() -> Iterator[tuple[Simulator, str]]:
    """A simulator with quick feeds."""
    with running_simulator(seed=int(datetime.now(UTC).timestamp() * 1000), update_seconds=0.5) as one:
        yield one


def shown(simulator: Simulator, feed: str) -> list[str]:
    return list(simulator.stats()[feed]["shown"])


def prices_in(brokers: str, since: datetime) -> list[BitcoinPrice]:
    events = [BitcoinPrice.model_validate_json(record.value) for record in read_topic(brokers, PRICES_TOPIC)]
    return [event for event in events if event.fetched_at >= since]


def news_in(brokers: str, since: datetime) -> list[NewsEvent]:
    events = [NewsEvent.model_validate_json(record.value) for record in read_topic(brokers, NEWS_TOPIC)]
    return [event for event in events if event.fetched_at >= since]


def dry_up(simulator: Simulator) -> None:
    """Let the feeds show nothing more, so that what they have shown stays the same."""
    for feed in ("prices", "news"):
        simulator.add_faults(feed, "500", count=10_000)


def assert_sent_once(simulator: Simulator, brokers: str, since: datetime) -> None:
    """Everything that was shown is in the topics, each id once, and nothing else."""
    prices, news = prices_in(brokers, since), news_in(brokers, since)
    assert sorted(f"{one.coin}:{one.observed_at.timestamp()}" for one in prices) == sorted(
        shown(simulator, "prices")
    )
    assert sorted(one.url for one in news) == sorted(shown(simulator, "news"))
    assert len({one.event_id for one in (*prices, *news)}) == len(prices) + len(news)


def test_what_the_feeds_show_arrives_once_keyed_and_valid(
    tmp_path: Path, kafka: Broker, feeds: tuple[Simulator, str]
) -> None:
    simulator, url = feeds
    port = free_port()
    since = datetime.now(UTC)
    with running_producer(
        tmp_path, url, kafka.bootstrap_servers, PRODUCER_METRICS_PORT=str(port)
    ) as producer:
        wait_until(
            lambda: len(shown(simulator, "prices")) > 8 and len(shown(simulator, "news")) > 25, "events"
        )
        simulator.add_faults("news", "half_empty", count=1)
        simulator.add_faults("prices", "null_price", count=1)
        wait_until(lambda: len(producer.said("items rejected")) == 2, "rejections in the log")
        dry_up(simulator)
        wait_until(lambda: len(producer.said("feed failed")) == 2, "both feeds dry")
        metrics = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
        health = json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz"))
        code, seconds = producer.stop()

    assert (code, seconds < 5) == (0, True)
    assert producer.said("stopped, every event sent")
    assert_sent_once(simulator, kafka.bootstrap_servers, since)
    for topic, stream in STREAMS.items():
        for record in read_topic(kafka.bootstrap_servers, topic):
            assert record.key.decode() == stream.event.model_validate_json(record.value).key
    assert health == {"healthy": True, "reason": None}
    assert 'producer_items_rejected_total{feed="prices",reason="no_price"} 2.0' in metrics
    assert 'producer_items_rejected_total{feed="news",reason="no_headline"} 1.0' in metrics
    assert 'producer_feed_errors_total{feed="news",reason="http_500"}' in metrics
    assert f'producer_events_sent_total{{topic="news-events"}} {len(shown(simulator, "news"))}.0' in metrics
    assert 'producer_last_poll_timestamp_seconds{feed="prices"} 1.' in metrics
    assert "producer_events_waiting 0.0" in metrics


def test_a_producer_outlives_a_broker_that_comes_late_and_is_killed(
    tmp_path: Path, kafka: Broker, feeds: tuple[Simulator, str]
) -> None:
    simulator, url = feeds
    kafka.kill()
    since = datetime.now(UTC)
    with running_producer(tmp_path, url, kafka.bootstrap_servers) as producer:
        wait_until(lambda: len(producer.said("waiting for Kafka")) > 1, "it waits")
        kafka.start()
        wait_until(lambda: prices_in(kafka.bootstrap_servers, since), "the first events")
        kafka.kill()
        before = len(shown(simulator, "prices"))
        wait_until(
            lambda: len(shown(simulator, "prices")) > before + 4, "more prices while the broker is down"
        )
        kafka.start()
        dry_up(simulator)
        wait_until(lambda: len(producer.said("feed failed")) == 2, "both feeds dry")
        last = shown(simulator, "prices")[-1]
        wait_until(
            lambda: any(
                f"{one.coin}:{one.observed_at.timestamp()}" == last
                for one in prices_in(kafka.bootstrap_servers, since)
            ),
            "what was fetched while the broker was down",
        )
        assert producer.stop()[0] == 0

    assert_sent_once(simulator, kafka.bootstrap_servers, since)


def test_it_ends_in_time_while_the_broker_is_frozen_and_a_feed_hangs(
    tmp_path: Path, kafka: Broker, feeds: tuple[Simulator, str]
) -> None:
    simulator, url = feeds
    simulator.add_faults("news", "slow", seconds=60)
    with running_producer(tmp_path, url, kafka.bootstrap_servers, HTTP_TIMEOUT_SECONDS="50") as producer:
        wait_until(lambda: producer.said("connected to Kafka"), "it connects")
        wait_until(lambda: len(shown(simulator, "prices")) > 4, "prices, though the news hang")
        kafka.freeze()
        try:
            before = len(shown(simulator, "prices"))
            wait_until(lambda: len(shown(simulator, "prices")) > before + 2, "prices that nobody takes")
            code, seconds = producer.stop()
        finally:
            kafka.thaw()

    assert (code, seconds < 5) == (0, True)
    [warning] = producer.said("stopped with events that Kafka has not acknowledged")
    assert warning["events"] > 0


def test_it_ends_in_time_while_there_is_no_broker(tmp_path: Path, feeds: tuple[Simulator, str]) -> None:
    _, url = feeds
    with running_producer(tmp_path, url, f"127.0.0.1:{free_port()}") as producer:
        wait_until(lambda: producer.said("waiting for Kafka"), "it waits")
        code, seconds = producer.stop()

    assert (code, seconds < 5) == (0, True)


def test_without_a_news_key_the_news_stay_off_and_it_says_so_once(
    tmp_path: Path, kafka: Broker, feeds: tuple[Simulator, str]
) -> None:
    simulator, url = feeds
    since = datetime.now(UTC)
    with running_producer(tmp_path, url, kafka.bootstrap_servers, NEWSAPI_KEY="") as producer:
        wait_until(lambda: prices_in(kafka.bootstrap_servers, since), "prices")
        assert producer.stop()[0] == 0

    assert len([line for line in producer.lines() if "NEWSAPI_KEY" in line["event"]]) == 1
    assert simulator.stats()["news"]["requests"] == 0


def test_a_refused_key_is_said_once_and_tried_again(
    tmp_path: Path, kafka: Broker, feeds: tuple[Simulator, str]
) -> None:
    simulator, url = feeds
    since = datetime.now(UTC)
    simulator.add_faults("news", "401", count=4)
    with running_producer(tmp_path, url, kafka.bootstrap_servers) as producer:
        wait_until(lambda: news_in(kafka.bootstrap_servers, since), "news, once the key is taken")
        assert producer.stop()[0] == 0

    [refusal] = producer.said("feed failed")
    assert refusal["error"] == "NEWSAPI_KEY is refused (HTTP 401, apiKeyInvalid)"
    assert producer.said("feed is back")[0]["failed_polls"] == 4
    assert prices_in(kafka.bootstrap_servers, since)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"COINGECKO_URL": "coingecko"}, "COINGECKO_URL"),
        (
            {"PRICE_INTERVAL_SECONDS": "0"},
            "PRICE_INTERVAL_SECONDS cannot be used: it should be greater than 0",
        ),
        ({"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_PASSWORD": KEY}, "KAFKA_SASL_USERNAME"),
        ({"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_CAFILE": "/nowhere.pem"}, "No such file"),
    ],
)
def test_a_setting_that_cannot_be_used_ends_it_with_one_clear_line(
    changes: dict[str, str], message: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "streaming_workers.producer"],
        cwd=PROJECT_ROOT,
        env={"PRODUCER_METRICS_PORT": "0", **changes},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )

    assert done.returncode == 2
    assert message in json.loads(done.stdout.splitlines()[-1])["error"]
    assert "Traceback" not in done.stdout + done.stderr
    assert KEY not in done.stdout + done.stderr
