"""The matcher of a team: which evaluations an event runs."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from conditions.interpreter import interpret
from conditions.model import CompileExpression, Target
from conditions.row import EventRow


class MatchResult(msgspec.Struct):
    """What became of an event. Enabled evaluations with conditions that are in none of the lists are filtered.

    Attributes:
        matched: index into the targets, and the id of the condition set that won.
        sampled_out: index of targets of which sets held, but none that the rollout takes.
        errors: index, and what went wrong.
    """

    matched: list[tuple[int, str]]
    sampled_out: list[int]
    errors: list[tuple[int, str]]


class Matcher:
    """Decides for all evaluations of a team at once."""

    def __init__(self, targets: Sequence[Target], compile_expression: CompileExpression | None) -> None:
        self._targets = tuple(targets)
        self._compile = compile_expression

    def match(self, row: EventRow) -> MatchResult:
        """Match one event.

        Raises:
            RowError: the row's properties are no JSON object.
        """
        result = MatchResult([], [], [])
        for index, target in enumerate(self._targets):
            decision = interpret(target, row, compile_expression=self._compile)
            if decision.outcome == "matched":
                result.matched.append((index, decision.condition_id or ""))
            elif decision.outcome == "sampled_out":
                result.sampled_out.append(index)
            elif decision.outcome == "error":
                result.errors.append((index, "error"))
        return result


def compile_matcher(targets: Sequence[Target], *, compile_expression: CompileExpression | None = None) -> Matcher:
    """Build the matcher of a team's evaluations."""
    return Matcher(targets, compile_expression)
