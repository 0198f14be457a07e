"""Figures of evaluations over time, from the hourly rollup, for pages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Protocol, TypeVar, cast

from api.http.errors import Invalid
from api.schemas.trust import Trust
from api.services.one_evaluation import EvaluationCells, cells_of
from api.services.resources import Services
from api.services.shared_work import SharedWork
from api.services.team_outlines import TeamOutlines
from api.services.trust.report import trust
from api.services.verdicts import stored_rule
from config.definitions import Evaluation
from quality.intervals import wilson
from storage.clickhouse.outcomes import JudgeLatency, OutcomeCell, hour_of, read_cells, read_latencies
from storage.clickhouse.query import PassRule
from storage.sql.evaluation_outlines import Outlines

_CACHED_S = 30
_MAX_CACHED = 64
_LEAST_DECIDED = 5
_T = TypeVar("_T")


@dataclass(slots=True)
class FiguresTally:
    """Outcomes of one stretch of time, or of one value.

    Attributes:
        skipped: by reason.
        scores: runs by score; categories: runs by category, in which a run with two categories counts twice.
    """

    passed: int = 0
    failed: int = 0
    scored: int = 0
    not_applicable: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    scores: Counter[float] = field(default_factory=Counter)
    categories: Counter[str] = field(default_factory=Counter)
    cost_usd: float = 0.0
    tokens: int = 0

    def add(self, cell: OutcomeCell, rule: PassRule) -> None:
        """Add a cell as `rule` reads it."""
        self.cost_usd += cell.cost_usd
        self.tokens += cell.tokens
        if cell.outcome == "skipped":
            self.skipped[cell.skip_reason] += cell.runs
            return
        if cell.outcome == "not_applicable":
            self.not_applicable += cell.runs
            return
        passes = rule.reads(cell.outcome, cell.result_type, cell.score, cell.categories)
        if passes is None:
            self.scored += cell.runs
        elif passes:
            self.passed += cell.runs
        else:
            self.failed += cell.runs
        if cell.result_type == "numeric":
            self.scores[cell.score] += cell.runs
        for category in cell.categories:
            self.categories[category] += cell.runs

    @property
    def skips(self) -> int:
        """Runs without a verdict."""
        return self.skipped.total()

    @property
    def decided(self) -> int:
        """The denominator of the pass rate."""
        return self.passed + self.failed

    @property
    def runs(self) -> int:
        """All results."""
        return self.decided + self.scored + self.not_applicable + self.skips

    @property
    def pass_rate(self) -> float | None:
        """The share of passes among decided results; None if there are none."""
        return self.passed / self.decided if self.decided else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The Wilson interval (95 %) of the pass rate."""
        return wilson(self.passed, self.decided)


def tally(cells: Iterable[OutcomeCell], rule: PassRule) -> FiguresTally:
    """Return the sum of `cells`."""
    found = FiguresTally()
    for cell in cells:
        found.add(cell, rule)
    return found


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one evaluation in a stretch of time.

    Attributes:
        before: of the stretch of the same length before it.
        steps: pass rates over time, None where nothing was decided; for a sparkline.
    """

    now: FiguresTally
    before: FiguresTally
    steps: tuple[float | None, ...]
    latency: JudgeLatency | None

    @property
    def change(self) -> float | None:
        """Difference of the pass rates, -1 to 1; None where one of them is missing."""
        if self.now.pass_rate is None or self.before.pass_rate is None:
            return None
        return self.now.pass_rate - self.before.pass_rate

    @property
    def is_distinct(self) -> bool:
        """Whether the two intervals do not overlap, so that the change is more than chance."""
        now, before = self.now.interval, self.before.interval
        return now is not None and before is not None and (now[1] < before[0] or before[1] < now[0])


@dataclass(frozen=True, slots=True)
class TeamTotals:
    """Sums over the evaluations of a team."""

    runs: int
    failed: int
    skipped: int
    cost_usd: float


class TeamFigures:
    """The figures of a team's evaluations that have results, with what every reader of them asks for.

    Args:
        by_id: by the id of the evaluation, in the order of their names.
        as_of: when they were read.
    """

    def __init__(self, by_id: Mapping[str, Figures], as_of: datetime) -> None:
        self.by_id = by_id
        self.as_of = as_of

    @cached_property
    def totals(self) -> TeamTotals:
        """The sums over the stretch."""
        tallies = [each.now for each in self.by_id.values()]
        return TeamTotals(
            runs=sum(each.runs for each in tallies),
            failed=sum(each.failed for each in tallies),
            skipped=sum(each.skips for each in tallies),
            cost_usd=sum(each.cost_usd for each in tallies),
        )

    @cached_property
    def moved(self) -> Sequence[tuple[str, Figures]]:
        """The evaluations whose pass rate changed, with their figures.

        Changes that are more than chance come first, then the larger ones. A rate of few results does not count.
        """
        found = [
            (evaluation_id, each)
            for evaluation_id, each in self.by_id.items()
            if min(each.now.decided, each.before.decided) >= _LEAST_DECIDED and each.change
        ]
        return sorted(found, key=lambda each: (not each[1].is_distinct, -abs(each[1].change or 0)))


class Stretch(Protocol):
    """The time that figures are of."""

    @property
    def name(self) -> str:
        """Return `7d` or the like for a stretch that ends now; empty if its ends were given."""

    @property
    def start(self) -> datetime:
        """Return the aware start."""

    @property
    def end(self) -> datetime:
        """Return the aware end, which is excluded."""


@dataclass(frozen=True, slots=True)
class _Made:
    """A value that was made in one half minute, of one state of the definitions."""

    value: object
    slot: int
    state: Hashable


class FigureBook:
    """Outlines and figures of teams, kept for half a minute, because several pages and readers ask for the same.

    Readers who ask for the same figures at the same moment wait for one of them to make it. The last figures are kept
    after that too, for the time in which ClickHouse does not answer.
    """

    def __init__(self) -> None:
        self._outlines = SharedWork(_MAX_CACHED)
        # Apart from the others, or many pages of evaluations would push out the last figures of a team.
        self._figures = SharedWork(_MAX_CACHED)
        self._kept = SharedWork(_MAX_CACHED)

    def outlines(self, services: Services, team_id: int) -> TeamOutlines:
        """Return the team's evaluations by name; read again only if a definition of the team changed."""
        repository = Outlines(services.database)
        revision = repository.revision(team_id)

        def make() -> TeamOutlines:
            return TeamOutlines(revision, repository.all(team_id))

        return self._outlines.get(team_id, make, lambda known: known.revision == revision)

    def figures(
        self, services: Services, session: str, outlines: TeamOutlines, team_id: int, stretch: Stretch
    ) -> TeamFigures:
        """Return the figures of the evaluations that have results in `stretch`, or in the same time before it.

        They may be half a minute old. Errors as `BoundedArchive.client`.
        """
        now, start, end = services.now(), stretch.start, stretch.end
        span = end - start

        def make() -> TeamFigures:
            hours = max(1, round(span.total_seconds() / 3600 / 24))
            with services.pages.client(session) as client:
                cells = read_cells(client, team_id, start - span, end, hours=hours, edge=start)
                latencies = read_latencies(client, team_id, start, end)
            by_id = _by_evaluation(outlines, cells, latencies, hour_of(start), end, timedelta(hours=hours))
            return TeamFigures(by_id, now)

        return _fresh(self._figures, (team_id, _identity(stretch)), outlines.revision, now, make)

    def last_figures(self, team_id: int, stretch: Stretch) -> TeamFigures | None:
        """Return the figures of a team that were read last for such a stretch; None if none are kept."""
        made = self._figures.last((team_id, _identity(stretch)))
        return None if made is None else made.value

    def cells(self, services: Services, session: str, evaluation: Evaluation, stretch: Stretch) -> EvaluationCells:
        """Return the results of an evaluation by the hour. They may be half a minute old; `as_of` says from when."""

        def make() -> EvaluationCells:
            return cells_of(services, session, evaluation, stretch.start, stretch.end)

        return self.kept(("cells", evaluation.id), _state(evaluation), stretch, services.now(), make)

    def trusts(
        self, services: Services, evaluation: Evaluation, versions: Sequence[int], stretch: Stretch
    ) -> Mapping[str, Trust]:
        """Return how far each version can be believed, by its number as text. They may be half a minute old.

        A version that is known no more is left out. Errors as `trust`.
        """

        def make() -> Mapping[str, Trust]:
            found = {}
            for version in versions:
                try:
                    found[str(version)] = trust(
                        services, evaluation, version=version, start=stretch.start, end=stretch.end
                    )
                except Invalid:
                    continue
            return found

        return self.kept(("trusts", evaluation.id), tuple(versions), stretch, services.now(), make)

    def kept(self, key: Hashable, state: Hashable, stretch: Stretch, now: datetime, make: Callable[[], _T]) -> _T:
        """Return what `make` returned for the same key and stretch in the half minute of `now`, or let it make it.

        Args:
            state: of the definitions that the value follows from; of another state it is recomputed.
        """
        return _fresh(self._kept, (key, _identity(stretch)), state, now, make)

    def last(self, key: Hashable, stretch: Stretch) -> Any | None:
        """Return the value that was made last for a key and such a stretch; None if none is kept."""
        made = self._kept.last((key, _identity(stretch)))
        return None if made is None else made.value


def _identity(stretch: Stretch) -> Hashable:
    # A stretch that ends now has other times in each request, and the same meaning.
    return stretch.name or (stretch.start, stretch.end)


def _state(evaluation: Evaluation) -> Hashable:
    return evaluation.version, evaluation.revision


def _fresh(work: SharedWork, key: Hashable, state: Hashable, now: datetime, make: Callable[[], _T]) -> _T:
    slot = int(now.timestamp()) // _CACHED_S
    made = work.get(key, lambda: _Made(make(), slot, state), lambda known: known.slot == slot and known.state == state)
    return cast("_T", made.value)


def _by_evaluation(
    outlines: TeamOutlines,
    cells: list[OutcomeCell],
    latencies: Mapping[str, JudgeLatency],
    start: datetime,
    end: datetime,
    step: timedelta,
) -> Mapping[str, Figures]:
    """Return the figures by evaluation, in the order of names. `start` is the start of an hour."""
    grouped: dict[str, list[OutcomeCell]] = {}
    for cell in cells:
        grouped.setdefault(cell.evaluation_id, []).append(cell)
    found = {}
    for outline in outlines.in_order(grouped):
        mine = grouped[outline.id]
        rule = stored_rule(outline.output_type, outline.output_config)
        now = [cell for cell in mine if cell.start >= start]
        found[outline.id] = Figures(
            now=tally(now, rule),
            before=tally((cell for cell in mine if cell.start < start), rule),
            steps=_steps(now, rule, start, end, step) if now else (),
            latency=latencies.get(outline.id),
        )
    return found


def _steps(
    cells: list[OutcomeCell], rule: PassRule, start: datetime, end: datetime, step: timedelta
) -> tuple[float | None, ...]:
    count = max(1, -(-(end - start) // step))
    tallies = [FiguresTally() for _ in range(count)]
    for cell in cells:
        tallies[min(count - 1, max(0, (cell.start - start) // step))].add(cell, rule)
    return tuple(each.pass_rate for each in tallies)
