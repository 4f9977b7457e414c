"""A worker serves its metrics and its health, and an unhealthy one gives the reason."""

import json
import socket
import urllib.error
import urllib.request

import pytest
from aiokafka import TopicPartition
from prometheus_client import REGISTRY

from streaming_workers.consumer.batches import Batch
from streaming_workers.consumer.progress import LatencyHistogram, Progress
from streaming_workers.events import PRICES_TOPIC
from streaming_workers.monitoring import MonitoringError, monitoring
from tests.kafka import free_port

FIRST, SECOND = TopicPartition(PRICES_TOPIC, 0), TopicPartition(PRICES_TOPIC, 1)


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_healthz_and_metrics_are_served_until_the_end() -> None:
    port = free_port()
    reasons: list[str | None] = [None]
    with monitoring(port, lambda: reasons[0]):
        assert get(port, "/healthz") == (200, json.dumps({"healthy": True, "reason": None}))
        reasons[0] = "the feed is silent"
        assert get(port, "/healthz") == (503, json.dumps({"healthy": False, "reason": "the feed is silent"}))
        status, text = get(port, "/metrics")
        assert status == 200
        assert "python_info" in text
        assert get(port, "/")[0] == 404

    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_port_that_is_taken_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(MonitoringError, match=rf"127\.0\.0\.1:{port}.*in use"),
            monitoring(port, lambda: None),
        ):
            pass


def test_port_0_serves_nothing() -> None:
    def fail() -> str | None:
        raise AssertionError("nobody may ask")

    with monitoring(0, fail):
        pass


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def progress(clock: Clock) -> Progress:
    return Progress(120, clock)


def stored(next_offset: int) -> Batch:
    batch = Batch(generation=1)
    batch.move(FIRST, 0, next_offset)
    return batch


def test_lag_without_progress_turns_red_and_progress_green(progress: Progress, clock: Clock) -> None:
    progress.placed({FIRST: 0, SECOND: 7}, refused={})
    progress.ends_known({FIRST: 100, SECOND: 7})
    clock.now += 100
    progress.ends_known({FIRST: 100, SECOND: 7})
    assert progress.health() is None
    progress.failed(OSError("disk full"))
    clock.now += 21
    progress.ends_known({FIRST: 100, SECOND: 7})

    reason = progress.health()

    assert reason == "bitcoin-prices partition 0: 100 messages wait, none stored for 121 s (disk full)"
    assert progress.stalled
    progress.stored(stored(50), seconds=1)
    assert progress.health() is None
    assert not progress.stalled


def test_silence_without_lag_stays_green(progress: Progress, clock: Clock) -> None:
    progress.placed({FIRST: 5}, refused={})
    for _ in range(10):
        clock.now += 100
        progress.ends_known({FIRST: 5})

    assert progress.health() is None
    progress.ends_known({FIRST: 6})  # the first message after a long silence is no stall
    assert progress.health() is None


def test_a_lag_that_nobody_knows_turns_red(progress: Progress, clock: Clock) -> None:
    clock.now += 125  # the stall's 120 s and some intervals of the lag
    assert progress.health() is None
    clock.now += 2

    assert "lag is unknown" in (progress.health() or "")


def test_what_waits_is_said_before_that_the_lag_is_out_of_date(progress: Progress, clock: Clock) -> None:
    progress.placed({FIRST: 0}, refused={})
    progress.ends_known({FIRST: 100})
    clock.now += 500

    assert "100 messages wait, none stored for 500 s" in (progress.health() or "")


def test_losing_and_getting_back_a_partition_is_no_progress(progress: Progress, clock: Clock) -> None:
    progress.placed({FIRST: 0}, refused={})
    for _ in range(5):
        progress.ends_known({FIRST: 100})
        clock.now += 30
        progress.keep([FIRST])
        progress.placed({FIRST: 0}, refused={})
    progress.ends_known({FIRST: 100})

    assert "none stored for 150 s" in (progress.health() or "")


def test_a_partition_that_is_refused_is_red_at_once_and_its_gauges_go_with_it(progress: Progress) -> None:
    progress.placed({FIRST: 0}, refused={SECOND: "offset 9 is stored, but the log ends at 3"})
    progress.ends_known({FIRST: 8, SECOND: 3})
    labels = {"topic": PRICES_TOPIC, "partition": "0"}

    assert progress.health() == "offset 9 is stored, but the log ends at 3"
    assert REGISTRY.get_sample_value("consumer_lag_messages", labels) == 8
    progress.keep([])
    assert REGISTRY.get_sample_value("consumer_lag_messages", labels) is None


def test_the_histogram_counts_as_prometheus_does() -> None:
    histogram = LatencyHistogram("seconds", "A test.", (0.1, 1, 10))
    histogram.observe_times([1000, 950, 900, 899, 0, -50_000, 1500], now_ms=1000)

    [family] = histogram.collect()

    values = {tuple(sample.labels.values()): sample.value for sample in family.samples if sample.labels}
    assert values == {("0.1",): 4, ("1.0",): 6, ("10.0",): 6, ("+Inf",): 7}
    assert next(one.value for one in family.samples if one.name == "seconds_count") == 7
    total = next(one.value for one in family.samples if one.name == "seconds_sum")
    assert total == pytest.approx((0 + 50 + 100 + 101 + 1000 + 51_000 + 0) / 1000)
