"""Backfills of a team, as pages list them: how far they are, and how long they will take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from api.http.errors import Conflict, Invalid, NotFound
from api.schemas.measurements import MeasurementStanding
from api.services.resources import Services
from config.definitions import Evaluation
from storage.clickhouse.results import costs_of_backfills
from storage.sql.api_keys import ApiKey
from storage.sql.backfills import Backfill, BackfillOpen, Backfills, WrongState

ACTIONS = ("pause", "resume", "cancel")


@dataclass(frozen=True, slots=True)
class MeasurementJob:
    """A measurement or a comparison with the figures that follow from its counters.

    Attributes:
        rate: judgements a second since it started; None before.
        left: until it ends at this rate; None if that cannot be known.
    """

    run: MeasurementStanding
    rate: float | None
    left: timedelta | None


def measured(run: MeasurementStanding, now: datetime) -> MeasurementJob:
    """Return a measurement with its rate and time left."""
    seconds = ((run.finished_at or now) - run.started_at).total_seconds() if run.started_at else 0.0
    rate = run.done / seconds if run.done and seconds > 0 else None
    left = (
        timedelta(seconds=max(0, run.total - run.missing - run.done) / rate)
        if rate and run.state == "running"
        else None
    )
    return MeasurementJob(run, rate, left)


def backfill_costs(services: Services, team_id: int, jobs: Sequence[Job]) -> Mapping[str, float]:
    """Return the USD of each backfill by its id, without those that have no priced run. Raises `ArchiveAway`."""
    if not jobs:
        return {}
    found = [each.backfill for each in jobs]
    start, end = min(each.window_start for each in found), max(each.window_end for each in found)
    with services.archive.client() as client:
        return costs_of_backfills(client, team_id, sorted({each.evaluation_id for each in found}), start, end)


@dataclass(frozen=True, slots=True)
class Job:
    """One backfill with the figures that follow from its counters.

    Attributes:
        share: of the window that is read, 0 to 1; None until its size is known.
        rate: events a second since it started; None before.
        left: until it ends at this rate; None if that cannot be known.
    """

    backfill: Backfill
    share: float | None
    rate: float | None
    left: timedelta | None


def open_backfills(services: Services, team_id: int) -> list[Job]:
    """Return the backfills that are not finished, newest first."""
    now = services.now()
    return [job_of(each, now) for each in Backfills(services.database).of_team(team_id, only_open=True)]


def all_backfills(services: Services, team_id: int) -> list[Job]:
    """Return the team's last 100 backfills, newest first."""
    now = services.now()
    return [job_of(each, now) for each in Backfills(services.database).of_team(team_id)]


def start_backfill(
    services: Services, caller: ApiKey, evaluation: Evaluation, start: datetime, end: datetime, *, rerun: bool
) -> Backfill:
    """Ask for a backfill of a window of the past.

    Raises:
        Invalid: the window is empty or reaches into the future.
        Conflict: another backfill of this evaluation is not finished.
    """
    now = services.now()
    if start >= end:
        raise Invalid("window_start must be before window_end.", attr="window_start")
    if end > now:
        raise Invalid("window_end is in the future; live evaluation takes what is to come.", attr="window_end")
    try:
        return Backfills(services.database).create(
            team_id=caller.team_id,
            evaluation_id=evaluation.id,
            evaluation_version=evaluation.version,
            window_start=start,
            window_end=end,
            rerun_existing=rerun,
            actor=caller.actor,
            now=now,
        )
    except BackfillOpen as error:
        detail = "This evaluation has a backfill that is not finished; cancel it, or wait."
        raise Conflict(detail, code="backfill_running") from error


def change_backfill(services: Services, caller: ApiKey, backfill_id: str, action: str) -> Backfill:
    """Pause, resume or cancel a backfill.

    Raises:
        NotFound: the team has no such backfill.
        Conflict: its state does not allow it.
    """
    repository = Backfills(services.database)
    changes = {"cancel": repository.cancel, "pause": repository.pause, "resume": repository.resume}
    try:
        changed = changes[action](caller.team_id, backfill_id, actor=caller.actor, now=services.now())
    except WrongState as error:
        detail = f"The backfill is {error.state}; it cannot be changed by {action}."
        raise Conflict(detail, code="wrong_state") from error
    if changed is None:
        raise NotFound
    return changed


def share_of(backfill: Backfill) -> float | None:
    """Return how much of the window is read, 0 to 1; None until its size is known."""
    if backfill.state == "completed":
        return 1.0
    total = backfill.progress.total
    return None if total is None else min(1.0, backfill.progress.read / total) if total else 1.0


def job_of(backfill: Backfill, now: datetime) -> Job:
    """Return a backfill with its share, rate and time left."""
    share, read, total = share_of(backfill), backfill.progress.read, backfill.progress.total
    ended = backfill.finished_at or now
    seconds = (ended - backfill.started_at).total_seconds() if backfill.started_at else 0.0
    rate = read / seconds if read and seconds > 0 else None
    left = None
    if rate and total is not None and backfill.state == "running":
        left = timedelta(seconds=max(0, total - read) / rate)
    return Job(backfill, share, rate, left)
