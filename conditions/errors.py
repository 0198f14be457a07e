"""Errors of this room.

ValueError
├── ConditionError   a definition that cannot be accepted; `path` says where
└── RowError         a message that is not an event row; `reason` is a short label
"""

from __future__ import annotations


class ConditionError(ValueError):
    """A condition list that is refused.

    Attributes:
        path: where the fault is, as in `conditions[1].properties[0].value`.
        problem: the fault and its remedy, without the path.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem


class RowError(ValueError):
    """A Kafka message that cannot be read as an event row.

    Attributes:
        reason: a short label (`not_json`, `not_a_row`, `no_uuid`, `no_team_id`, `bad_properties`, ...).

    The message never holds the payload, so it may be logged and kept with a dead letter.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
