from __future__ import annotations

import asyncio
from time import monotonic

from ingest.embedded import EventRoom
from processor.events.output import Output
from tests.services.waiting import PATIENCE_S


class Readers:
    """The gauges of the roles that read the events topic."""

    def __init__(self) -> None:
        self.lag: float | None = 0.0
        self.others: float | None = 0.0
        self.paused = 0.0

    def value(self, name: str, **labels: str) -> float | None:
        if name == "gavel_partitions_paused":
            return self.paused if labels == {"role": "sink"} else None
        assert labels["topic"] == "events"
        return self.lag if (labels["role"], labels["partition"]) == ("sink", "3") else self.others


def room_of(readers: Readers) -> EventRoom:
    return EventRoom(readers, "events", ("matcher", "sink"), 4)


def messages(*sizes: int) -> list[Output]:
    return [Output("event", "events", b"key", bytes(size), []) for size in sizes]


def wait(room: EventRoom, sent: list[Output], timeout_s: float = 0.2) -> bool:
    return asyncio.run(room.wait(sent, monotonic() + timeout_s))


def test_messages_are_sent_in_slices_and_none_is_left_out() -> None:
    given = messages(400_000, 100_000, 100_000, 3_000_000, 1)
    slices = list(room_of(Readers()).slices(given))
    assert [[len(m.value or b"") for m in part] for part in slices] == [[400_000, 100_000], [100_000], [3_000_000], [1]]


def test_senders_wait_while_one_partition_of_one_reader_is_full() -> None:
    readers = Readers()
    room = room_of(readers)
    assert wait(room, messages(10_000), PATIENCE_S)
    readers.lag = 100
    assert wait(room, messages(10_000), PATIENCE_S)
    readers.lag = 110  # they have 10 kB each, so that is more than 1 MiB
    assert not wait(room, messages(10_000))
    readers.lag = 0
    assert wait(room, messages(10_000), PATIENCE_S)


def test_a_reader_that_has_not_begun_has_everything_to_read() -> None:
    readers = Readers()
    readers.others = None
    room = room_of(readers)
    assert wait(room, messages(500_000), PATIENCE_S)
    assert wait(room, messages(500_000), PATIENCE_S)
    assert wait(room, messages(500_000), PATIENCE_S)
    assert not wait(room, messages(500_000))
    readers.others = 0
    assert wait(room, messages(500_000), PATIENCE_S)


def test_senders_wait_while_a_reader_pauses() -> None:
    readers = Readers()
    readers.paused = 1
    assert not wait(room_of(readers), messages(10))


def test_a_sender_goes_on_when_the_readers_have_caught_up() -> None:
    readers = Readers()
    readers.paused = 1

    async def both() -> bool:
        asyncio.get_running_loop().call_later(0.1, setattr, readers, "paused", 0)
        return await room_of(readers).wait(messages(10), monotonic() + PATIENCE_S)

    assert asyncio.run(both())
