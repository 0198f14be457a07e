"""The two reasons for offsets of a partition that go back: the topic was recreated, or the same log is read again.

Offsets alone do not tell the two apart. A client goes back to the beginning of a recreated topic, and librdkafka (2.16)
may do so twice. Taking the second time for another new topic would answer every record twice. The first record of the
partition tells them apart: a new topic has another record there.
"""

from __future__ import annotations

from typing import Any, Literal

import structlog

from processor.events.message import Message
from processor.events.output import TopicAndPartition


class Rereads:
    """Remembers the first record of each partition since it was assigned, or recreated."""

    def __init__(self) -> None:
        self._origin: dict[TopicAndPartition, tuple[Any, ...]] = {}
        self._upto: dict[TopicAndPartition, int] = {}
        """Partition that is being read again → the offset up to which it was read before."""

    def forget(self, source: TopicAndPartition) -> None:
        """Forget a partition whose assignment begins or ends."""
        self._origin.pop(source, None)
        self._upto.pop(source, None)

    def kind(
        self, source: TopicAndPartition, messages: list[Message], floor: int
    ) -> Literal["news", "again", "made_again"]:
        """Tell what `messages` are, whose offsets ascend.

        Args:
            floor: the offset after every record that was read from the partition.

        Returns:
            `again` for records of which those below the floor were read before.
        """
        first = messages[0]
        if first.offset() >= floor:
            self._origin.setdefault(source, _identity(first))
            self._upto.pop(source, None)
            return "news"
        upto = self._upto.get(source)
        goes_on = upto is not None and first.offset() > upto
        if not goes_on and self._origin.get(source) != _identity(first):
            self._origin[source] = _identity(first)
            self._upto.pop(source, None)
            return "made_again"
        if not goes_on:
            structlog.get_logger("gavel.stage").warning(
                "records_came_again", topic=source[0], partition=source[1], offset=first.offset()
            )
        self._upto[source] = messages[-1].offset()
        return "again"


def ascending(messages: list[Message]) -> list[list[Message]]:
    """Split the records of one partition where their offsets go back; mostly nowhere."""
    offsets = [message.offset() for message in messages]
    if offsets == sorted(offsets):
        return [messages]
    stretches = [messages[:1]]
    for message in messages[1:]:
        if message.offset() > stretches[-1][-1].offset():
            stretches[-1].append(message)
        else:
            stretches.append([message])
    return stretches


def _identity(message: Message) -> tuple[Any, ...]:
    return message.offset(), message.timestamp(), message.key()
