"""The definitions that a processor works with: compiled, immutable, replaced as a whole.

A poller asks the store for what changed and compiles only that: one edit costs the same in a team of ten
evaluations and nearly the same in one of ten thousand. A store that fails leaves the last
snapshot in place; before the first successful load there is none, which is not the same as a snapshot
without evaluations.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from time import monotonic
from types import MappingProxyType

import structlog

from conditions import ConditionError, Matcher, Target, compile_matcher
from config.definitions import Evaluation, compile_condition
from evaluators.generation import USUAL
from evaluators.hog import HogCompileError, HogEvaluator
from storage.background import Background
from storage.sql.changes import Changes, TeamDefinitions
from storage.sql.engine import StoreError
from storage.sql.revision import Revision


@dataclass(frozen=True)
class CompiledEvaluation:
    """An evaluation, ready to run."""

    definition: Evaluation

    @cached_property
    def hog(self) -> HogEvaluator | None:
        """The compiled Hog code; None for an LLM judge. Enabled evaluations are compiled before they are here.

        Raises:
            HogCompileError: only for one that is not enabled.
        """
        source = self.definition.source
        if source is None:
            return None
        return HogEvaluator(source, allows_na=self.definition.output_config.allows_na)


@dataclass(frozen=True)
class TeamSnapshot:
    """A team's evaluations that are not deleted.

    Attributes:
        evaluations: enabled ones and others, since parked tasks and manual runs need those too; only the
            enabled take part in `matcher`, whose targets have the same order.
        enabled: how many are enabled.
    """

    team_id: int
    evaluations: tuple[CompiledEvaluation, ...]
    matcher: Matcher
    enabled: int

    @cached_property
    def by_id(self) -> Mapping[str, CompiledEvaluation]:
        """The evaluations by id."""
        return MappingProxyType({each.definition.id: each for each in self.evaluations})


@dataclass(frozen=True, slots=True)
class BrokenEvaluation:
    """An evaluation that is stored but cannot be run; `problem` says why. It stops no other."""

    team_id: int
    evaluation_id: str
    problem: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All definitions at one revision of the store."""

    revision: int
    teams: Mapping[int, TeamSnapshot]
    broken: tuple[BrokenEvaluation, ...] = ()
    store: Revision | None = field(default=None, repr=False)

    def find(self, team_id: int, evaluation_id: str) -> CompiledEvaluation | None:
        """Return one evaluation of a team, enabled or not, or None."""
        team = self.teams.get(team_id)
        return None if team is None else team.by_id.get(evaluation_id)


def build_snapshot(previous: Snapshot | None, changes: Changes) -> Snapshot:
    """Return the snapshot after `changes`. Teams and evaluations without a change keep their objects."""
    before = None if changes.complete else previous
    keep = {} if before is None else dict(before.teams)
    broken = [] if before is None else [each for each in before.broken if each.team_id not in changes.teams]
    for team_id, definitions in changes.teams.items():
        if before is None:
            team, failures = compile_team(team_id, definitions)
        else:
            failures = [each for each in before.broken if each.team_id == team_id]
            team, failures = _update_team(team_id, before.teams.get(team_id), definitions, failures)
        broken.extend(failures)
        if team.evaluations:
            keep[team_id] = team
        else:
            keep.pop(team_id, None)
    return Snapshot(changes.revision.number, MappingProxyType(keep), tuple(broken), changes.revision)


def compile_team(team_id: int, definitions: TeamDefinitions) -> tuple[TeamSnapshot, list[BrokenEvaluation]]:
    """Compile all of a team's evaluations; those that cannot be run are returned with the reason."""
    return _update_team(team_id, None, definitions, [])


def _update_team(
    team_id: int, before: TeamSnapshot | None, changed: TeamDefinitions, broken: Sequence[BrokenEvaluation]
) -> tuple[TeamSnapshot, list[BrokenEvaluation]]:
    """Put what changed into a team: only that is compiled, and the team's matcher, once.

    Args:
        broken: the team's evaluations that could not be run before.
    """
    touched = {each.id for each in changed.evaluations} | changed.unreadable.keys() | changed.deleted
    failures = [each for each in broken if each.evaluation_id not in touched]
    failures += (BrokenEvaluation(team_id, key, problem) for key, problem in changed.unreadable.items())
    kept = () if before is None else before.evaluations
    if before is not None and not touched:
        return before, failures
    fresh: list[CompiledEvaluation] = []
    for definition in changed.evaluations:
        evaluation = CompiledEvaluation(definition)
        try:
            if definition.enabled:
                _ = evaluation.hog
        except HogCompileError as error:
            failures.append(BrokenEvaluation(team_id, definition.id, str(error)))
        else:
            fresh.append(evaluation)
    compiled = sorted([*(each for each in kept if each.definition.id not in touched), *fresh], key=_creation)
    try:
        matcher = _compile_matcher(compiled)
    except ConditionError:
        # Those that are kept were in a matcher already, so the fault is one of the fresh.
        refused = {each.definition.id for each in fresh if not _matches(team_id, each, failures)}
        compiled = [each for each in compiled if each.definition.id not in refused]
        matcher = _compile_matcher(compiled)
    enabled = sum(each.definition.enabled for each in compiled)
    return TeamSnapshot(team_id, tuple(compiled), matcher, enabled), failures


def _creation(evaluation: CompiledEvaluation) -> tuple[datetime, str]:
    return evaluation.definition.created_at, evaluation.definition.id


def _matches(team_id: int, evaluation: CompiledEvaluation, broken: list[BrokenEvaluation]) -> bool:
    """Whether a matcher can be made of this evaluation alone; if not, say why in `broken`."""
    try:
        _compile_matcher([evaluation])
    except ConditionError as error:
        broken.append(BrokenEvaluation(team_id, evaluation.definition.id, str(error)))
        return False
    return True


def _compile_matcher(evaluations: Sequence[CompiledEvaluation]) -> Matcher:
    targets = [
        Target(
            id=each.definition.id,
            conditions=each.definition.conditions,
            enabled=each.definition.enabled,
            cohort=each.definition.sampling_cohort,
        )
        for each in evaluations
    ]
    return compile_matcher(targets, compile_expression=compile_condition, carried=USUAL)


class SnapshotPoller(Background):
    """Keeps a snapshot current from a background thread.

    Args:
        load: returns what changed after a revision, or None; raises `StoreError` if it cannot know.
            `storage.sql.changes.read_changes` with a database.
        interval_s: between two looks.
        on_change: called with each new snapshot, from the poller's thread, before it becomes current.

    The first look is made at once. `current`, `age_s`, `failures` and `last_error` may be read from any thread.
    """

    def __init__(
        self,
        load: Callable[[Revision | None], Changes | None],
        interval_s: float = 1.0,
        *,
        on_change: Callable[[Snapshot], None] | None = None,
    ) -> None:
        super().__init__("gavel-snapshot", every_s=interval_s, stop_within_s=5.0, at_once=True)
        self._load = load
        self._on_change = on_change
        self._current: Snapshot | None = None
        self._confirmed_at: float | None = None
        self._failures = 0
        self._last_error: str | None = None
        self._polling = threading.Lock()

    @property
    def current(self) -> Snapshot | None:
        """The newest snapshot, or None before the first load.

        Raises:
            RuntimeError: the poller died of a defect, so the snapshot would go stale without an end.
        """
        if self.crash is not None:
            raise RuntimeError("the snapshot poller ended; the process must be started again") from self.crash
        return self._current

    @property
    def age_s(self) -> float:
        """Seconds since the store last confirmed the snapshot; infinite before the first load."""
        return float("inf") if self._confirmed_at is None else monotonic() - self._confirmed_at

    @property
    def failures(self) -> int:
        """Looks that failed, since the start."""
        return self._failures

    @property
    def last_error(self) -> str | None:
        """Why the last look failed; None if it did not."""
        return self._last_error

    def poll(self) -> bool:
        """Look once, from the calling thread, and return whether the store answered."""
        log = structlog.get_logger("gavel.snapshot")
        with self._polling:
            previous = self._current
            try:
                changes = self._load(None if previous is None else previous.store)
            except StoreError as error:
                self._failures += 1
                if self._last_error is None:
                    log.warning("snapshot_load_failed", error=str(error), keeps_revision=previous and previous.revision)
                self._last_error = str(error)
                return False
            if changes is not None:
                snapshot = build_snapshot(previous, changes)
                self._report(log, previous, snapshot, changes)
                if self._on_change is not None:
                    self._on_change(snapshot)
                self._current = snapshot
                if previous is None:
                    # The collector would walk all definitions at every full round, with every thread at a stand:
                    # two seconds at ten thousand evaluations. Reference counting still frees what an edit replaces.
                    gc.freeze()
            if self._last_error is not None:
                log.info("snapshot_load_recovered", failures=self._failures)
            self._last_error = None
            self._confirmed_at = monotonic()
            return True

    def _turn(self) -> None:
        self.poll()

    @staticmethod
    def _report(
        log: structlog.stdlib.BoundLogger, previous: Snapshot | None, snapshot: Snapshot, changes: Changes
    ) -> None:
        log.info(
            "snapshot_loaded",
            revision=snapshot.revision,
            teams_changed=len(changes.teams),
            teams=len(snapshot.teams),
            enabled=sum(team.enabled for team in snapshot.teams.values()),
            broken=len(snapshot.broken),
        )
        known = set() if previous is None else set(previous.broken)
        for each in snapshot.broken:
            if each not in known:
                log.error(
                    "evaluation_not_runnable",
                    team_id=each.team_id,
                    evaluation_id=each.evaluation_id,
                    problem=each.problem,
                )
