"""Figures of one evaluation for its page: cells over time, groups by a property, and the way from event to verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from api.http.errors import Invalid
from api.schemas.actions import Estimate
from api.services.console_access import Reader
from api.services.estimating import estimate_since
from api.services.event_access import need_events
from api.services.resources import Services
from api.services.verdicts import pass_rule
from config.definitions import Evaluation
from quality.intervals import wilson
from storage.clickhouse.groups import COLUMNS, count_groups
from storage.clickhouse.outcomes import JudgeLatency, OutcomeCell, read_cells, read_latencies
from storage.clickhouse.query import PassRule
from storage.clickhouse.results import ResultSelection, Summary, summarise
from storage.sql.audit import AuditEntry

GROUPS = COLUMNS
_MAX_PROPERTY = 200


@dataclass(frozen=True, slots=True)
class EvaluationCells:
    """The results of one evaluation by hour, version and value, as they were at `as_of`."""

    cells: Sequence[OutcomeCell]
    rule: PassRule
    latency: JudgeLatency | None
    as_of: datetime

    @property
    def versions(self) -> list[int]:
        """The versions that have results, ascending."""
        return sorted({cell.version for cell in self.cells})


@dataclass(frozen=True, slots=True)
class Group:
    """Results whose generations have one value of a property.

    Attributes:
        scored: verdicts that no passing rule decides. undecided: N/A and skips.
    """

    value: str
    passed: int
    failed: int
    scored: int
    undecided: int

    @property
    def pass_rate(self) -> float | None:
        """The share of passes among decided results."""
        decided = self.passed + self.failed
        return self.passed / decided if decided else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The Wilson interval (95 %) of the pass rate."""
        return wilson(self.passed, self.passed + self.failed)


@dataclass(frozen=True, slots=True)
class Groups:
    """The largest groups.

    Attributes:
        rows: most results first.
        groups: how many groups there are.
        results: how many results are in them; newest: whether these are only the newest ones of the period.
    """

    rows: Sequence[Group]
    groups: int
    results: int
    newest: bool


@dataclass(frozen=True, slots=True)
class Outage:
    """A time in which an evaluation did not run because of an error.

    Attributes:
        ended: None while it lasts.
        reason: of the first error.
    """

    begun: datetime
    ended: datetime | None
    reason: str


@dataclass(frozen=True, slots=True)
class Funnel:
    """The way from event to verdict in the newest events of a period."""

    estimate: Estimate
    summary: Summary


def cells_of(
    services: Services, session: str, evaluation: Evaluation, start: datetime, end: datetime
) -> EvaluationCells:
    """Return the results of an evaluation from `start` to `end`, by the hour."""
    with services.pages.client(session) as client:
        cells = read_cells(client, evaluation.team_id, start, end, evaluation_ids=[evaluation.id], hours=1)
        latencies = read_latencies(client, evaluation.team_id, start, end, [evaluation.id])
    return EvaluationCells(cells, pass_rule(evaluation), latencies.get(evaluation.id), services.now())


def groups_of(
    services: Services, reader: Reader, evaluation: Evaluation, start: datetime, end: datetime, by: str
) -> Groups:
    """Return the results by a column of them or by a property of their generations, most results first.

    A property of generations is read for the newest 5 000 results only.

    Raises:
        Invalid: the name is too long.
        PermissionDenied: it is a property, and the reader may not read events.
    """
    need_events(reader.key, by, but=GROUPS)
    if len(by) > _MAX_PROPERTY:
        raise Invalid("The name of the property is too long.", attr="by")
    selection = ResultSelection(evaluation.team_id, evaluation_id=evaluation.id, after=start, before=end)
    with services.pages.client(reader.session) as client:
        found = count_groups(client, selection, pass_rule(evaluation), by)
    return Groups([Group(**row) for row in found.rows], found.groups, found.results, found.newest)


def outages_of(history: Sequence[AuditEntry], start: datetime, end: datetime) -> list[Outage]:
    """Return the outages that reach into `start` to `end`, oldest first.

    Args:
        history: changes of the evaluation, newest first.
    """
    found: list[Outage] = []
    begun: AuditEntry | None = None
    for entry in reversed(history):
        status = _after(entry, "status")
        if status == "error":
            begun = begun or entry
        elif begun is not None and (status is not None or _after(entry, "enabled")):
            found.append(Outage(begun.at, entry.at, str(_after(begun, "status_reason") or "error")))
            begun = None
    if begun is not None:
        found.append(Outage(begun.at, None, str(_after(begun, "status_reason") or "error")))
    return [each for each in found if each.begun < end and (each.ended is None or each.ended > start)]


def _after(entry: AuditEntry, field: str) -> Any:
    return entry.changes[field][1] if field in entry.changes else None


def funnel_of(services: Services, session: str, evaluation: Evaluation, start: datetime, end: datetime) -> Funnel:
    """Return how many of the newest events of a period match and are sampled, and what the results of these are."""
    with services.pages.client(session) as client:
        found, since = estimate_since(services, client, evaluation, start, end)
        selection = ResultSelection(evaluation.team_id, evaluation_id=evaluation.id, after=since, before=end)
        return Funnel(found, summarise(client, selection, pass_rule(evaluation)))
