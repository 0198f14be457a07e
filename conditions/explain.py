"""Why an evaluation runs on an event, or does not."""

from __future__ import annotations

from conditions.compiled.compiler import compile_matcher
from conditions.interpreter import Decision, RowFields, interpret
from conditions.model import CompileExpression, Target
from conditions.row import EventRow, too_deep

Explanation = Decision
"""Each set, each filter with its value and outcome, the rollout number, and the outcome."""


class EngineDisagreement(RuntimeError):
    """The matcher that runs live and the interpreter decided differently: a fault of Gavel, never of a user."""


def explain(target: Target, row: EventRow, *, compile_expression: CompileExpression | None = None) -> Explanation:
    """Explain the decision about one evaluation and one event.

    The outcome comes from the compiled matcher, which decides live. The traces come from the interpreter, which must
    have reached the same outcome.

    Raises:
        RowError: the row's properties are not a JSON object, or are nested too deeply.
        ConditionError: a hogql filter, and no `compile_expression`.
        EngineDisagreement: the two differ.
    """
    try:
        explanation = interpret(target, RowFields(row), compile_expression=compile_expression)
    except RecursionError as error:
        raise too_deep() from error
    live = compile_matcher([target], compile_expression=compile_expression).match(row)
    if live.matched:
        seen: tuple[str, str | None] = ("matched", live.matched[0][1])
    elif live.sampled_out or live.errors:
        seen = ("sampled_out" if live.sampled_out else "error", None)
    else:
        seen = ("filtered", None)
    silent = explanation.outcome in ("disabled", "no_conditions")
    expected = ("filtered", None) if silent else (explanation.outcome, explanation.condition_id)
    if seen != expected:
        raise EngineDisagreement(f"the live matcher says {seen}, the interpreter {expected}; please report this event")
    return explanation
