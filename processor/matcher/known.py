"""The facts that all runs of one evaluation share, computed once per snapshot."""

from __future__ import annotations

from dataclasses import dataclass

from processor.events.identity import Trigger, run_key_frame
from processor.events.result import ResultWriter, result_template
from storage.snapshot import CompiledEvaluation

_REMEMBERED = 100_000


@dataclass(frozen=True, slots=True)
class RunOrigin:
    """Why runs are made, and so which identities they get (`processor.events.identity`).

    Attributes:
        backfill_id: the id of a backfill or a replay; None for live runs.
        rerun: whether runs get identities of their own by `backfill_id` instead of the live run's.
    """

    trigger: Trigger = "live"
    backfill_id: str | None = None
    rerun: bool = False


class KnownEvaluation:
    """One evaluation, ready to run.

    Attributes:
        hog: its compiled code; None for a judge.
        key_head, key_tail: the run key before and behind the event's uuid.
    """

    __slots__ = ("evaluation", "hog", "id", "key_head", "key_tail", "writer")

    def __init__(self, evaluation: CompiledEvaluation, origin: RunOrigin) -> None:
        definition = evaluation.definition
        self.evaluation = evaluation
        self.id = str(definition.id)
        self.hog = evaluation.hog
        self.writer = ResultWriter(result_template(evaluation), origin.trigger, origin.backfill_id)
        self.key_head, self.key_tail = run_key_frame(
            definition.evaluation_type, self.id, backfill_id=origin.backfill_id if origin.rerun else None
        )


class KnownEvaluations:
    """Remembers `KnownEvaluation` by the compiled evaluation that it was made from."""

    def __init__(self, origin: RunOrigin) -> None:
        self._origin = origin
        self._known: dict[int, KnownEvaluation] = {}

    def of(self, evaluation: CompiledEvaluation) -> KnownEvaluation:
        """Return the known facts of `evaluation`."""
        known = self._known.get(id(evaluation))
        if known is not None and known.evaluation is evaluation:
            return known
        if len(self._known) > _REMEMBERED:
            self._known.clear()  # most belong to snapshots long gone
        known = self._known[id(evaluation)] = KnownEvaluation(evaluation, self._origin)
        return known
