"""Messages that a role produces."""

from __future__ import annotations

from typing import Literal, final

import msgspec

Headers = list[tuple[str, str | bytes | None]]
"""Headers of a Kafka message, as confluent-kafka takes and gives them."""

TopicAndPartition = tuple[str, int]


OutputKind = Literal[
    "result", "skip", "task", "dead_letter", "redriven", "event", "label", "measurement", "decision", "drift"
]
"""The kinds of outputs: the result of a verdict or of a skip, a run that waits for a judge, a dead letter, a record
that returns to its own topic, an event that came over HTTP, the label of a person, the result of a measurement, or why
a run was not made."""


@final
class Output(msgspec.Struct, frozen=True, gc=False):  # a third of what a named tuple costs, and one for every result
    """A message to be produced. `partition` is -1 where the key decides."""

    kind: OutputKind
    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers
    partition: int = -1
