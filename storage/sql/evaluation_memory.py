"""Remembers evaluations as they were read, because making one from its row takes longer than finding the row."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, select

from config.definitions import Evaluation
from storage.recent import Recent
from storage.sql.evaluation_changes import evaluations, from_row

RememberedState = tuple[str, int, datetime]
"""An evaluation's id, revision and time of its last change, which no two states of it share."""

STATE = (evaluations.c.id, evaluations.c.revision, evaluations.c.updated_at)
"""The columns of a `RememberedState`."""

_MOST = 1_000
_LARGEST = 32_768
"""Characters above which an evaluation is not remembered, so that memory stays bounded."""


class EvaluationMemory:
    """Evaluations by their state. Safe to share between threads."""

    def __init__(self) -> None:
        self._known: Recent[RememberedState, Evaluation] = Recent(_MOST)

    def known(self, wanted: Sequence[RememberedState]) -> list[Evaluation] | None:
        """Return the evaluations of these states, in order, if all of them are remembered."""
        found = [self._known.get(state) for state in wanted]
        return None if None in found else [each for each in found if each is not None]

    def read(self, connection: Connection, wanted: Sequence[RememberedState]) -> list[Evaluation]:
        """Return the evaluations of these states, in order; asks the store once for all that are not known.

        `wanted` was read in the transaction of `connection`, which sees one state of the store throughout.
        """
        found = {state: known for state in wanted if (known := self._known.get(state)) is not None}
        unknown = [state[0] for state in wanted if state not in found]
        if unknown:
            rows = connection.execute(select(evaluations).where(evaluations.c.id.in_(unknown))).mappings().all()
            for evaluation in map(from_row, rows):
                found[state_of(evaluation)] = evaluation
                self.keep(evaluation)
        return [found[state] for state in wanted]

    def keep(self, evaluation: Evaluation) -> None:
        """Remember an evaluation that was just read, unless it is large."""
        if is_small(evaluation):
            self._known.keep(state_of(evaluation), evaluation)


def state_of(evaluation: Evaluation) -> RememberedState:
    """Return the state that `evaluation` was read in."""
    return evaluation.id, evaluation.revision, evaluation.updated_at


def is_small(evaluation: Evaluation) -> bool:
    """Return whether an evaluation is small enough to be remembered by number, whatever memory it takes."""
    return len(evaluation.model_dump_json()) <= _LARGEST
