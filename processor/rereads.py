"""What it means when the offsets of a partition go back: the topic was made again, or the same log is read once more.

Offsets alone do not tell. A client goes back to the beginning of a topic that was made again, and librdkafka (2.16) may
do so twice; to take the second time for another new topic would answer every record twice. What tells is the record
with which the partition began: a new topic has another one at its place.
"""

from __future__ import annotations

from typing import Any, Literal

import structlog

from processor.ledger import TopicAndPartition


class Rereads:
    """Remembers the first record of each partition since it was assigned, or made again."""

    def __init__(self) -> None:
        self._origin: dict[TopicAndPartition, tuple[Any, ...]] = {}
        self._upto: dict[TopicAndPartition, int] = {}
        """Of partitions that are being read once more, the offset up to which they were."""

    def forget(self, source: TopicAndPartition) -> None:
        """Forget a partition whose assignment begins or ends."""
        self._origin.pop(source, None)
        self._upto.pop(source, None)

    def kind(
        self, source: TopicAndPartition, messages: list[Any], floor: int
    ) -> Literal["news", "again", "made_again"]:
        """Tell what `messages` are, whose offsets ascend.

        Args:
            floor: the offset behind all that was taken up of the partition.

        Returns:
            `again` for records of which those below the floor were taken up before.
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


def ascending(messages: list[Any]) -> list[list[Any]]:
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


def _identity(message: Any) -> tuple[Any, ...]:
    return message.offset(), message.timestamp(), message.key()
