"""The consumer as a process: every event is in the warehouse once, whatever happens to it or around it.

Longer faults, and many of them, are in tests/e2e/streaming_faults.
"""

import asyncio
import random
import time
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete

from streaming_workers.events import NEWS_TOPIC, PRICES_TOPIC
from tests.kafka import Broker
from tests.streaming_workers.harness import ConsumerProcess, Message, Stage, assert_exactly_once, prices
from tests.warehouse.locks import locked

ARTICLE = Message(
    b'{"event_id": "article", "source_name": "Paper", "headline": "News", "description": null,'
    b' "url": "https://example.com/1", "author": null, "category": null,'
    b' "published_at": "2025-06-15T12:00:00Z", "fetched_at": "2025-06-15T12:01:00Z"}',
    b"https://example.com/1",
)


AS_THE_SENTENCE_SAYS = (
    "update streaming.kafka_offsets set next_offset = 0, topic_id = null where kafka_topic = 'bitcoin-prices'"
)
EVENTS = "select event_id from streaming.bitcoin_prices_raw"


def ids(numbers: range) -> list[str]:
    return [f"event-{number}" for number in numbers]


def wait_for_log(stage: Stage, consumer: ConsumerProcess, event: str, seconds: float = 30) -> None:
    stage.wait_until(lambda: consumer.said(event), f"the log to say: {event}", seconds)


def test_events_arrive_and_a_restart_goes_on_where_it_was(stage: Stage) -> None:
    stage.produce(prices(range(300)))
    stage.produce([ARTICLE], NEWS_TOPIC)
    with stage.consumer() as first:
        stage.wait_for_rows(300)
        stage.wait_for_rows(1, NEWS_TOPIC)
        stage.wait_until(
            lambda: first.metric("consumer_lag_messages", topic=PRICES_TOPIC, partition="0") == 0, "no lag"
        )
        assert first.health() == (200, None)
        assert first.metric("consumer_rows_total", table="streaming.bitcoin_prices_raw") == 300
        assert first.metric("consumer_event_latency_seconds_count") == 301
        assert first.metric("consumer_last_progress_timestamp_seconds") == pytest.approx(time.time(), abs=30)
        assert first.stop()[0] == 0
    ours = [line for line in first.lines() if not line["logger"].startswith("aiokafka")]
    assert {line["level"] for line in ours} <= {"debug", "info"}, ours

    stage.produce(prices(range(300, 400)))
    with stage.consumer() as second:
        stage.wait_for_rows(400)
        assert second.metric("consumer_rows_total", table="streaming.bitcoin_prices_raw") == 100

    assert_exactly_once(stage, ids(range(400)))
    assert_exactly_once(stage, ["article"], NEWS_TOPIC)


def test_killed_again_and_again_under_load(stage: Stage) -> None:
    chance = random.Random(4)
    poison = [Message(b"{", b"poison"), Message(None, b"poison"), Message(b"", b"poison")]
    for life in range(4):
        begin = life * 500
        stage.produce([*prices(range(begin, begin + 250)), *poison, *prices(range(begin + 250, begin + 500))])
        with stage.consumer(CONSUMER_BATCH_ROWS="40", CONSUMER_BATCH_SECONDS="0.01") as consumer:
            wait_for_log(stage, consumer, "partitions assigned")
            time.sleep(chance.uniform(0.05, 0.8))
            consumer.kill()
    with stage.consumer():
        stage.wait_for_offsets(seconds=60)

    assert_exactly_once(stage, ids(range(2000)))
    assert len(stage.dead_letters()) == 12


def test_a_consumer_that_was_frozen_cannot_write_what_another_has_stored(stage: Stage) -> None:
    stage.produce(prices(range(100)))
    with stage.consumer() as frozen:
        stage.wait_for_rows(100)
        with locked(stage.duckdb_path):  # so that it is frozen with a batch in its hands
            stage.produce([*prices(range(100, 200)), Message(b"poison", b"key")])
            wait_for_log(stage, frozen, "a batch could not be stored, trying again")
            frozen.freeze()
        with stage.consumer():
            stage.wait_for_offsets(seconds=60)  # after the session time-out
            frozen.thaw()
            stage.produce(prices(range(200, 300)))
            stage.wait_until(
                lambda: (
                    frozen.said("another consumer has the partitions, the batch is dropped")
                    or frozen.said("the partitions were revoked, the batch is dropped")
                ),
                "the thawed consumer to give up",
            )
            stage.wait_for_offsets(seconds=60)

    assert_exactly_once(stage, ids(range(300)))
    assert len(stage.dead_letters()) == 1


def test_a_locked_warehouse_delays_and_is_caught_up_with(stage: Stage) -> None:
    stage.produce(prices(range(100)))
    with stage.consumer(CONSUMER_STALL_SECONDS="2") as consumer:
        stage.wait_for_rows(100)
        assignments = len(consumer.said("partitions assigned"))
        with locked(stage.duckdb_path):
            stage.produce(prices(range(100, 1100)))
            wait_for_log(stage, consumer, "a batch could not be stored, trying again")
            stage.wait_until(lambda: consumer.health()[0] == 503, "health to turn red")
            assert "messages wait, none stored" in str(consumer.health()[1])
            assert "lock" in str(consumer.health()[1])
        start = time.monotonic()
        stage.wait_for_rows(1100)
        assert time.monotonic() - start < 20
        stage.wait_until(lambda: consumer.health() == (200, None), "health to turn green")
        assert len(consumer.said("partitions assigned")) == assignments  # it stayed in the group

        with locked(stage.duckdb_path):
            stage.produce(prices(range(1100, 1200)))
            time.sleep(1)
            code, seconds = consumer.stop()
    assert (code, seconds < 5) == (0, True), consumer.log_file.read_text()[-3000:]
    with stage.consumer():
        stage.wait_for_rows(1200)
    assert_exactly_once(stage, ids(range(1200)))


def test_a_table_that_takes_no_rows_holds_everything_up_until_it_is_mended(stage: Stage) -> None:
    stage.produce(prices(range(10)))
    with stage.consumer():
        stage.wait_for_rows(10)
    stage.query("alter table streaming.bitcoin_prices_raw rename column payload to body")
    stage.produce(prices(range(10, 20)))
    with stage.consumer() as consumer:
        wait_for_log(stage, consumer, "a batch could not be stored, trying again")
        assert '"payload"' in consumer.said("a batch could not be stored, trying again")[0]["error"]
        stage.query("alter table streaming.bitcoin_prices_raw rename column body to payload")
        stage.wait_for_rows(20)

    assert_exactly_once(stage, ids(range(20)))


def delete_up_to(broker: Broker, offsets: dict[TopicPartition, int]) -> None:
    async def delete() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
        await admin.start()
        try:
            await admin.delete_records(
                {one: RecordsToDelete(before_offset=offset) for one, offset in offsets.items()}
            )
        finally:
            await admin.close()

    asyncio.run(delete())


def test_messages_that_expired_are_said_and_the_rest_is_read(broker: Broker, tmp_path: Path) -> None:
    stage = Stage(broker, tmp_path, partitions=1)
    stage.produce(prices(range(10)))
    with stage.consumer():
        stage.wait_for_rows(10)
    stage.produce(prices(range(10, 40)))
    delete_up_to(broker, {TopicPartition(PRICES_TOPIC, 0): 25})

    with stage.consumer() as consumer:
        stage.wait_for_rows(25)
        [line] = consumer.said("messages were deleted from the topic before they were read")
        assert (line["first_lost"], line["lost"]) == (10, 15)
        assert consumer.metric("consumer_lost_messages_total", topic=PRICES_TOPIC) == 15

    assert sorted(stage.rows().values()) == sorted([*ids(range(10)), *ids(range(25, 40))])
    assert stage.next_offsets() == {0: 40}


def test_a_topic_that_was_recreated_is_not_read_until_somebody_says_so(
    broker: Broker, tmp_path: Path
) -> None:
    old = Stage(broker, tmp_path, partitions=1)
    old.produce(prices(range(10)))
    with old.consumer():
        old.wait_for_rows(10)
    new = Stage(broker, tmp_path, partitions=1)
    new.produce(prices(range(10, 13)))
    new.produce([ARTICLE], NEWS_TOPIC)

    with new.consumer() as consumer:
        wait_for_log(new, consumer, "a partition is not read")
        new.wait_for_rows(1, NEWS_TOPIC)  # the others go on
        status, reason = consumer.health()
        assert status == 503
        assert "offset 10 is stored of the topic with the id" in str(reason)
        assert "it was deleted and created again" in str(reason)
        assert "set next_offset to 0 and topic_id to null" in str(reason)
        assert new.count() == 10
    new.query(AS_THE_SENTENCE_SAYS)
    with new.consumer():
        new.wait_until(lambda: new.count() == 13, "the rows of the new topic")


def test_a_recreated_topic_that_has_outgrown_the_stored_offset_is_not_read_on(
    broker: Broker, tmp_path: Path
) -> None:
    """By its offsets alone it looks like the old one, and its first ten events would be skipped."""
    old = Stage(broker, tmp_path, partitions=1)
    old.produce(prices(range(10)))
    with old.consumer():
        old.wait_for_rows(10)
    new = Stage(broker, tmp_path, partitions=1)
    new.produce(prices(range(10, 25)))

    with new.consumer() as consumer:
        wait_for_log(new, consumer, "a partition is not read")
        assert "it was deleted and created again" in str(consumer.health()[1])
        assert new.count() == 10
    new.query(AS_THE_SENTENCE_SAYS)
    with new.consumer():
        new.wait_until(lambda: new.count() == 25, "the rows of the new topic")

    assert sorted(row[0] for row in new.query(EVENTS)) == sorted(ids(range(25)))


def test_an_offset_of_an_earlier_version_gets_the_topics_id_and_is_read_on(
    broker: Broker, tmp_path: Path
) -> None:
    stage = Stage(broker, tmp_path, partitions=1)
    stage.produce(prices(range(10)))
    with stage.consumer():
        stage.wait_for_rows(10)
    stage.query("alter table streaming.kafka_offsets drop column topic_id")
    stage.produce(prices(range(10, 20)))

    with stage.consumer():
        stage.wait_for_rows(20)

    assert_exactly_once(stage, ids(range(20)))
    found = stage.query("select topic_id from streaming.kafka_offsets where kafka_topic = 'bitcoin-prices'")
    assert [len(topic_id) for (topic_id,) in found] == [22]


def test_a_broker_that_dies_is_waited_for_and_does_not_hold_up_the_end(
    own_broker: Broker, tmp_path: Path
) -> None:
    stage = Stage(own_broker, tmp_path)
    stage.produce(prices(range(100)))
    with stage.consumer(CONSUMER_STALL_SECONDS="3") as consumer:
        stage.wait_for_rows(100)
        own_broker.kill()
        stage.wait_until(lambda: consumer.health()[0] == 503, "health to turn red")
        assert "lag is unknown" in str(consumer.health()[1])
        own_broker.start()
        stage.produce(prices(range(100, 200)))
        stage.wait_for_rows(200, seconds=60)
        stage.wait_until(lambda: consumer.health() == (200, None), "health to turn green", 60)
        assert_exactly_once(stage, ids(range(200)))
        own_broker.kill()
        code, seconds = consumer.stop()

    assert (code, seconds < 5) == (0, True), consumer.log_file.read_text()[-3000:]


def test_a_setting_that_cannot_be_used_is_one_line(stage: Stage) -> None:
    with stage.consumer(CONSUMER_BATCH_ROWS="0") as consumer:
        assert consumer.process.wait(timeout=500) == 2
        [line] = consumer.lines()
    assert line["error"] == "The setting CONSUMER_BATCH_ROWS cannot be used: it should be greater than 0."
