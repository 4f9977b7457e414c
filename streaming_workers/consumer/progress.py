"""The consumer's metrics, and whether it is healthy."""

import threading
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from aiokafka import TopicPartition
from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector
from typing_extensions import override

from streaming_workers.consumer.batches import Batch

LATENCY_BUCKETS = (0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30, 60, 300, 1800, 3600)
PARTITION = ("topic", "partition")
LAG_INTERVAL_SECONDS = 2  # between two measurements of the lag


class LatencyHistogram(Collector):
    """A histogram that takes a batch of thousands in one call; the library's takes one value a call."""

    def __init__(self, name: str, description: str, bounds: Sequence[float]) -> None:
        self._name = name
        self._description = description
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0
        self._lock = threading.Lock()

    def observe_times(self, times_ms: Iterable[int], now_ms: int) -> None:
        """Observe the delay from each of the times (ms since 1970) until now, at least 0."""
        times = sorted(times_ms)
        past = times[: bisect_right(times, now_ms)]
        within = [len(times) - bisect_left(times, now_ms - bound * 1000) for bound in self._bounds]
        upper = [*within, len(times)]
        with self._lock:
            for position, (below, within_bound) in enumerate(zip([0, *within], upper, strict=True)):
                self._counts[position] += within_bound - below
            self._sum += (now_ms * len(past) - sum(past)) / 1000

    @override
    def collect(self) -> Iterable[HistogramMetricFamily]:
        with self._lock:
            counts, total = list(self._counts), self._sum
        buckets, seen = [], 0
        for bound, count in zip([*map(str, map(float, self._bounds)), "+Inf"], counts, strict=True):
            seen += count
            buckets.append((bound, float(seen)))
        yield HistogramMetricFamily(self._name, self._description, buckets=buckets, sum_value=total)


LAG = Gauge("consumer_lag_messages", "Messages in the partition that are not yet stored.", PARTITION)
NEXT_OFFSET = Gauge("consumer_next_offset", "Stored offset: the next to be read.", PARTITION)
ROWS = Counter("consumer_rows", "Rows stored.", ["table"])
BATCHES = Counter("consumer_batches", "Batches stored.")
STORE_SECONDS = Histogram(
    "consumer_store_seconds",
    "Seconds that storing a batch took, all tries and pauses included.",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300),
)
LOST = Counter("consumer_lost_messages", "Messages that Kafka deleted before they were read.", ["topic"])
RETRIES = Counter("consumer_retries", "Failed tries to reach the sink or the dead-letter topic.", ["error"])
CONFLICTS = Counter("consumer_conflicts", "Batches dropped since another consumer has the partition.")
SNOWPIPE_REJECTED = Counter(
    "consumer_snowpipe_rejected_rows", "Rows that Snowpipe Streaming rejected, stored by SQL instead."
)
LAST_PROGRESS = Gauge("consumer_last_progress_timestamp_seconds", "When a batch was last stored.")
LATENCY = LatencyHistogram(
    "consumer_event_latency_seconds", "Seconds from Kafka's time of an event to its commit.", LATENCY_BUCKETS
)
REGISTRY.register(LATENCY)


@dataclass
class PartitionProgress:
    """How far a partition is stored; `since` is when it last advanced or had no lag (monotonic seconds)."""

    next_offset: int
    since: float
    end: int | None = None

    @property
    def lag(self) -> int:
        """Consumer lag in messages; transaction markers count until the position has passed them."""
        return max(0, (self.end or 0) - self.next_offset)


class Progress:
    """Collects what the consumer reports, for the metrics and for `health`, which any thread may call."""

    def __init__(self, stall_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._stall_seconds = stall_seconds
        self._lock = threading.Lock()
        self._partitions: dict[TopicPartition, PartitionProgress] = {}
        self._refused: dict[TopicPartition, str] = {}
        self._clock = clock
        self._lag_known = clock()
        self._trouble: str | None = None

    @property
    def next_offsets(self) -> dict[TopicPartition, int]:
        """The stored offset of each partition that is being read."""
        with self._lock:
            return {partition: one.next_offset for partition, one in self._partitions.items()}

    def placed(self, stored: Mapping[TopicPartition, int], refused: Mapping[TopicPartition, str]) -> None:
        """Report the stored offsets of partitions that are now read; `refused` says why others are not."""
        now = self._clock()
        with self._lock:
            for partition, offset in stored.items():
                known = self._partitions.get(partition)
                # Being assigned the same partition again is no progress.
                if known is None or known.next_offset != offset:
                    self._partitions[partition] = PartitionProgress(offset, now)
                NEXT_OFFSET.labels(*partition).set(offset)
            self._refused = dict(refused)

    def keep(self, partitions: Collection[TopicPartition]) -> None:
        """Forget all partitions but these, which are the consumer's."""
        with self._lock:
            for partition in self._partitions.keys() - set(partitions):
                del self._partitions[partition]
                for gauge in (LAG, NEXT_OFFSET):
                    gauge.remove(*partition)

    def stored(self, batch: Batch, seconds: float) -> None:
        """Report that a batch is committed, and the seconds that took."""
        now = self._clock()
        with self._lock:
            self._trouble = None
            for partition, move in batch.moves.items():
                if partition in self._partitions:
                    self._partitions[partition].next_offset = move.next
                    self._partitions[partition].since = now
                    NEXT_OFFSET.labels(*partition).set(move.next)
        for stream, rows in batch.rows.items():
            ROWS.labels(stream.table).inc(len(rows))
        BATCHES.inc()
        STORE_SECONDS.observe(seconds)
        LAST_PROGRESS.set_to_current_time()
        LATENCY.observe_times(batch.kafka_timestamps, time.time_ns() // 1_000_000)

    def failed(self, error: BaseException | None) -> None:
        """Report a try to read or store that failed and will be repeated."""
        RETRIES.labels(type(error).__name__).inc()
        with self._lock:
            self._trouble = str(error) or repr(error)

    def ends_known(self, ends: Mapping[TopicPartition, int]) -> None:
        """Report where the log of every partition of this consumer ends."""
        now = self._clock()
        with self._lock:
            self._lag_known = now
            for partition, end in ends.items():
                if partition in self._partitions:
                    one = self._partitions[partition]
                    one.end = end
                    if one.lag == 0:
                        one.since = now
                    LAG.labels(*partition).set(one.lag)

    def health(self) -> str | None:
        """Return what is wrong, in a sentence, or None."""
        now = self._clock()
        with self._lock:
            if self._refused:
                return next(iter(self._refused.values()))
            if found := self._stalled(now):
                (topic, number), one = found
                return self._reason(
                    f"{topic} partition {number}: {one.lag} messages wait, none stored for"
                    f" {now - one.since:.0f} s"
                )
            # The lag is measured at intervals: between two of them it is not unknown.
            if (silence := now - self._lag_known) > self._stall_seconds + 3 * LAG_INTERVAL_SECONDS:
                return self._reason(f"the lag is unknown for {silence:.0f} s")
        return None

    @property
    def stalled(self) -> bool:
        """Whether messages of a partition wait and none of them was stored for long."""
        with self._lock:
            return self._stalled(self._clock()) is not None

    def _stalled(self, now: float) -> tuple[TopicPartition, PartitionProgress] | None:
        for partition, one in self._partitions.items():
            if one.lag and now - one.since > self._stall_seconds:
                return partition, one
        return None

    def _reason(self, sentence: str) -> str:
        return f"{sentence} ({self._trouble})" if self._trouble else sentence
