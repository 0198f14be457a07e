"""The running system for operators: processes with their heartbeats, budgets, open jobs, and the audit trail."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from api.http.errors import Unavailable
from api.schemas.parts import User
from api.services.jobs import Job, job_of
from api.services.resources import Services
from api.services.spending import BudgetStanding, spending_of, spending_today
from config.provider_keys import ProviderKey
from storage.sql.audit import AuditEntry, read_team_audit
from storage.sql.backfills import Backfills
from storage.sql.engine import StoreSchemaError
from storage.sql.evaluation_outlines import Outlines
from storage.sql.heartbeats import Heartbeat, Heartbeats
from storage.sql.labels import AUDITED as LABELS_AUDITED

_MAX_BUDGETS = 500


def heartbeats(services: Services) -> list[Heartbeat]:
    """Return the newest heartbeat of each role of each process. Raises `Unavailable` if the store lacks the table."""
    try:
        return Heartbeats(services.database).read(now=services.now())
    except StoreSchemaError as error:
        raise Unavailable(str(error), code="store_unavailable") from error


@dataclass(frozen=True, slots=True)
class TopicLag:
    """The unread part of one topic: its records, and the age of the oldest in seconds, or None if it is not known."""

    topic: str
    records: int
    seconds: float | None


@dataclass(frozen=True, slots=True)
class OpenBreaker:
    """An open breaker: no calls go to this model with this key.

    Attributes:
        process: `host:pid` of the judge. next_probe_s: seconds until it tries again; 0 if that is due.
    """

    process: str
    key: str
    model: str
    cause: str
    detail: str
    next_probe_s: float


@dataclass(frozen=True, slots=True)
class Process:
    """A role of a process, with the details of its heartbeat that have the form that they should have.

    Attributes:
        paused: topic and its paused partitions. parked: runs that wait on purpose. parked_s: age of the oldest.
        breakers: the described ones of `open_breakers`.
    """

    beat: Heartbeat
    lag: tuple[TopicLag, ...]
    paused: tuple[tuple[str, tuple[int, ...]], ...]
    parked: int
    parked_s: float
    breakers: tuple[OpenBreaker, ...]
    open_breakers: int


def processes(services: Services) -> list[Process]:
    """Return the newest heartbeat of each role of each process with its details. Raises `Unavailable`."""
    return [process_of(beat) for beat in heartbeats(services)]


def process_of(beat: Heartbeat) -> Process:
    """Return a heartbeat with its details. Details that another release wrote in another form are left out."""
    told = beat.vitals.details
    lag, ages, paused, parked = (_mapping(told.get(name)) for name in ("lag", "lag_s", "paused", "parked"))
    listed = told.get("breakers")
    breakers = tuple(_breaker(beat, _mapping(each)) for each in listed) if isinstance(listed, list) else ()
    return Process(
        beat,
        tuple(TopicLag(topic, int(_number(records) or 0), _number(ages.get(topic))) for topic, records in lag.items()),
        tuple(
            (topic, tuple(each for each in numbers if isinstance(each, int)))
            for topic, numbers in paused.items()
            if isinstance(numbers, list)
        ),
        int(_number(parked.get("records")) or 0),
        _number(parked.get("oldest_s")) or 0.0,
        breakers,
        max(len(breakers), int(_number(told.get("breakers_open")) or 0)),
    )


def _breaker(beat: Heartbeat, told: Mapping[str, Any]) -> OpenBreaker:
    key, model, cause, detail = (str(told.get(name) or "") for name in ("key", "model", "cause", "detail"))
    wait_s = max(0.0, (_number(told.get("next_probe_in_s")) or 0.0) - beat.age_s)
    return OpenBreaker(beat.instance, key, model, cause, detail, wait_s)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


@dataclass(frozen=True, slots=True)
class ReplayShown:
    """A replay that a process runs, as its heartbeat tells.

    Attributes:
        share: of its records that are read, 0 to 1; None where the total is not known.
        rate: records a second since the process started. left: the time until the end at this rate.
        judged: runs that it made itself or gave to the judge role.
    """

    id: str
    beat: Heartbeat
    read: int
    share: float | None
    rate: float | None
    left: timedelta | None
    judged: int


def replays(services: Services) -> list[ReplayShown]:
    """Return the replays of the last day, newest heartbeat first. Raises `Unavailable` as `heartbeats`."""
    found = [_replay(beat) for beat in heartbeats(services) if beat.role == "replay"]
    return sorted(found, key=lambda each: each.beat.seen, reverse=True)


def running_replays(services: Services) -> list[ReplayShown]:
    """Return the replays that run, or that were running when they were last heard of. Errors as `replays`."""
    return [each for each in replays(services) if each.beat.vitals.state == "running"]


def _replay(beat: Heartbeat) -> ReplayShown:
    told = beat.vitals.details.get("replay")
    told = told if isinstance(told, dict) else {}
    done, total, read = (_number(told.get(name)) for name in ("done", "total", "read"))
    seconds = (beat.seen - beat.started).total_seconds()
    rate = done / seconds if done and seconds > 0 else None
    share = None if done is None or total is None else min(1.0, done / total) if total else 1.0
    running = beat.vitals.state == "running" and not beat.missing
    left = timedelta(seconds=max(0.0, total - done) / rate) if running and rate and total and done else None
    judged = sum(_number(told.get(name)) or 0 for name in ("evaluated", "handed_on"))
    return ReplayShown(str(told.get("id", ""))[:80], beat, int(read or 0), share, rate, left, int(judged))


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def all_budgets(services: Services) -> tuple[list[tuple[int, BudgetStanding]], bool]:
    """Return the use of budgets with their team, the fullest first, and whether some evaluations' are left out.

    The budgets of teams and of 500 evaluations are read: to read the use of thousands would take a page too long.
    """
    found = []
    for config in services.keys.configs():
        team = spending_today(services, config.team_id).team
        if team is not None:
            found.append((config.team_id, team))
    own = Outlines(services.database).with_budget(limit=_MAX_BUDGETS + 1)
    for team_id, outline in own[:_MAX_BUDGETS]:
        if outline.budget is not None:
            found.append((team_id, spending_of(services, outline.id, outline.name, outline.budget)))
    return sorted(found, key=lambda each: -each[1].share), len(own) > _MAX_BUDGETS


def open_jobs(services: Services) -> list[Job]:
    """Return the backfills of all teams that are not finished, newest first."""
    now = services.now()
    return [job_of(each, now) for each in Backfills(services.database).of_all_teams()]


def team_audit(
    services: Services, team_id: int, *, before: int | None, limit: int, with_labels: bool = True
) -> list[AuditEntry]:
    """Return the team's changes, newest first, from the entry before `before` on. Labels can be left out."""
    without = () if with_labels else (LABELS_AUDITED,)
    with services.database.read() as connection:
        return read_team_audit(connection, team_id, before=before, limit=limit, without=without)


def people(services: Services, entries: list[AuditEntry]) -> Callable[[str | None], User | None]:
    """Return a function from the actor of an entry to the owner of its key."""
    return services.owners.of([entry.actor for entry in entries])


def provider_keys(services: Services, team_id: int) -> list[tuple[ProviderKey, list[Any], bool]]:
    """Return the team's provider keys with the evaluations that name each, and whether it is the active one."""
    keys = services.keys
    active = keys.config(team_id, now=services.now()).active_provider_key_id
    return [(key, keys.dependents(team_id, key.id), key.id == active) for key in keys.page(team_id).results]
