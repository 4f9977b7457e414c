"""Run in the consumer's container (`python -c`): print what Kafka and the warehouse hold of the streams.

As JSON, {topic: {"log": [record], "dead_letters": [record], "ends": {partition: offset}, "rows": [[partition,
offset, event_id, payload]], "next_offsets": [[partition, offset]]}}.

A record is [partition, offset, key, value, [[header, value]]], its bytes in hexadecimal.
"""

import asyncio
import json

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import ConsumerRecord

from include.warehouse import get_warehouse
from streaming_workers.events import STREAMS
from streaming_workers.settings import KafkaSettings
from streaming_workers.topics import partition_counts


def as_text(value: bytes | None) -> str | None:
    """Return bytes in hexadecimal."""
    return None if value is None else value.hex()


def as_list(record: ConsumerRecord) -> list[object]:
    """Return the parts of a record that are compared."""
    headers = [[name, as_text(value)] for name, value in record.headers]
    return [record.partition, record.offset, as_text(record.key), as_text(record.value), headers]


async def read(topic: str) -> tuple[list[list[object]], dict[int, int]]:
    """Return a topic's committed records and the end of each partition."""
    settings = KafkaSettings()
    partitions = [TopicPartition(topic, one) for one in range((await partition_counts(settings))[topic])]
    reader = AIOKafkaConsumer(
        auto_offset_reset="earliest", isolation_level="read_committed", **settings.client_arguments()
    )
    await reader.start()
    try:
        reader.assign(partitions)
        ends = await reader.end_offsets(partitions)
        await reader.seek_to_beginning(*partitions)
        records: list[list[object]] = []
        while any([await reader.position(one) < end for one, end in ends.items()]):
            for batch in (await reader.getmany(timeout_ms=200)).values():
                records.extend(map(as_list, batch))
        return records, {one.partition: end for one, end in ends.items()}
    finally:
        await reader.stop()


async def main() -> None:
    """Print it."""
    found = {}
    for topic, stream in STREAMS.items():
        log, ends = await read(topic)
        dead_letters, _ = await read(stream.dead_letter_topic)
        found[topic] = {"log": log, "dead_letters": dead_letters, "ends": ends}
    with get_warehouse().session() as session:
        for topic, stream in STREAMS.items():
            found[topic]["rows"] = session.execute(
                f"select kafka_partition, kafka_offset, event_id, payload from {stream.table}"
            )
            found[topic]["next_offsets"] = session.execute(
                "select kafka_partition, next_offset from streaming.kafka_offsets where kafka_topic = ?",
                [topic],
            )
    print(json.dumps(found))


asyncio.run(main())
