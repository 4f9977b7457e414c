"""What waits for Kafka and what it has taken, so that a process sends each event once."""

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from enum import Enum
from itertools import islice

from streaming_workers.events import Event

CAPACITY = 10_000  # events, about 20 MB; at the default intervals more than three days of prices
MEMORY = 10_000  # ids that were sent; a page of news holds 100
MAX_EVENT_BYTES = 262_144  # the consumer's default limit


@dataclass(frozen=True)
class Message:
    """An event as Kafka gets it."""

    event_id: str
    topic: str
    key: bytes
    value: bytes
    since: float = field(default_factory=time.monotonic)  # when it began to wait


class Offer(Enum):
    """What became of an event that was offered."""

    NEW = "new"
    KNOWN = "known"
    TOO_LONG = "too_long"
    NO_ROOM = "no_room"


class Outbox:
    """Messages in the order they came; each stays until Kafka has acknowledged it.

    Both the messages and the ids of what was sent are bounded. A full outbox refuses new events: what its
    provider still shows then comes again with a later poll.
    """

    def __init__(self, capacity: int = CAPACITY, memory: int = MEMORY) -> None:
        self._capacity = capacity
        self._memory = memory
        self._waiting: dict[str, Message] = {}
        self._sent: OrderedDict[str, None] = OrderedDict()
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()
        self._emptied.set()

    def __len__(self) -> int:
        return len(self._waiting)

    def offer(self, topic: str, event: Event) -> Offer:
        """Take an event unless it waits or was sent already."""
        if event.event_id in self._sent:
            self._sent.move_to_end(event.event_id)  # what the provider still shows is never forgotten
            return Offer.KNOWN
        if event.event_id in self._waiting:
            return Offer.KNOWN
        message = Message(event.event_id, topic, event.key.encode(), event.to_json())
        if len(message.value) > MAX_EVENT_BYTES:
            return Offer.TOO_LONG
        if len(self._waiting) >= self._capacity:
            return Offer.NO_ROOM
        self._waiting[event.event_id] = message
        self._filled.set()
        self._emptied.clear()
        return Offer.NEW

    async def next(self, limit: int) -> list[Message]:
        """Return the oldest messages, at least one; they stay until they are settled."""
        await self._filled.wait()
        return list(islice(self._waiting.values(), limit))

    def settle(self, message: Message) -> None:
        """Remove a message that need not be sent again, and remember its id."""
        if self._waiting.pop(message.event_id, None) is None:
            return
        self._sent[message.event_id] = None
        if len(self._sent) > self._memory:
            self._sent.popitem(last=False)
        if not self._waiting:
            self._filled.clear()
            self._emptied.set()

    async def emptied(self) -> None:
        """Return when nothing waits."""
        await self._emptied.wait()

    def longest_wait(self) -> float:
        """Return the seconds that the oldest message has waited, 0 if none does; safe in any thread."""
        oldest = next(iter(self._waiting.copy().values()), None)
        return time.monotonic() - oldest.since if oldest else 0
