"""The running system for operators: processes with their heartbeats, budgets, open jobs, and the audit trail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from api.http.errors import Invalid, NotFound, Unavailable
from api.schemas.parts import User
from api.services.jobs import Job, job_of
from api.services.resources import Services
from api.services.spending import BudgetStanding, spending_of, spending_today
from config.provider_keys import ProviderKey
from storage.sql.api_keys import ApiKey
from storage.sql.audit import AuditEntry, read_team_audit
from storage.sql.backfills import Backfills
from storage.sql.datasets import DatasetQuery, Datasets
from storage.sql.engine import StoreSchemaError
from storage.sql.evaluation_outlines import Outlines
from storage.sql.heartbeats import Heartbeat, Heartbeats
from storage.sql.provider_keys import KeyNotFound

_MAX_BUDGETS = 500


def heartbeats(services: Services) -> list[Heartbeat]:
    """Return the newest heartbeat of each role of each process. Raises `Unavailable` if the store lacks the table."""
    try:
        return Heartbeats(services.database).read(now=services.now())
    except StoreSchemaError as error:
        raise Unavailable(str(error), code="store_unavailable") from error


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


def all_budgets(services: Services) -> list[tuple[int, BudgetStanding]]:
    """Return the use of every budget with its team, the fullest first, at most 500."""
    found = []
    for config in services.judging.keys.configs():
        team = spending_today(services, config.team_id).team
        if team is not None:
            found.append((config.team_id, team))
    for team_id, outline in Outlines(services.database).with_budget(limit=_MAX_BUDGETS):
        if outline.budget is not None:
            found.append((team_id, spending_of(services, outline.id, outline.name, outline.budget)))
    return sorted(found, key=lambda each: -each[1].share)[:_MAX_BUDGETS]


def open_jobs(services: Services) -> list[Job]:
    """Return the backfills of all teams that are not finished, newest first."""
    now = services.now()
    return [job_of(each, now) for each in Backfills(services.database).of_all_teams()]


def team_audit(services: Services, team_id: int, *, before: int | None, limit: int) -> list[AuditEntry]:
    """Return the team's changes, newest first, from the entry before `before` on."""
    with services.database.read() as connection:
        return read_team_audit(connection, team_id, before=before, limit=limit)


def people(services: Services, entries: list[AuditEntry]) -> Callable[[str | None], User | None]:
    """Return a function from the actor of an entry to the owner of its key."""
    return services.owners.of([entry.actor for entry in entries])


def provider_keys(services: Services, team_id: int) -> list[tuple[ProviderKey, list[Any], bool]]:
    """Return the team's provider keys with the evaluations that name each, and whether it is the active one."""
    keys = services.judging.keys
    active = keys.config(team_id, now=services.now()).active_provider_key_id
    return [(key, keys.dependents(team_id, key.id), key.id == active) for key in keys.page(team_id).results]


def validate_key(services: Services, caller: ApiKey, key_id: str) -> tuple[str, str]:
    """Ask the provider whether a key works. Return its name and the state in words. Blocks up to forty seconds.

    Raises:
        NotFound: the team has no such key.
        Invalid: it cannot be decrypted, or its address may not be called.
    """
    keys = services.judging.keys
    try:
        found = keys.open(caller.team_id, key_id)
    except KeyNotFound as error:
        raise NotFound from error
    if found.api_key is None:
        raise Invalid("None of secret_keys decrypts this key; store it again.")
    endpoint = services.judging.endpoint(
        found.key.provider,
        found.api_key,
        base_url=found.key.base_url,
        azure_endpoint=found.key.azure_endpoint,
        api_version=found.key.api_version,
    )
    state, message = services.judging.validate(endpoint)
    keys.set_state(caller.team_id, key_id, state, error_message=message, now=services.now())
    return found.key.name, "works" if state == "ok" else f"does not work: {message}"


def datasets(services: Services, team_id: int) -> list[Any]:
    """Return the team's datasets, newest first, at most 200."""
    rows, _ = Datasets(services.database).page(team_id, DatasetQuery(), limit=200, offset=0)
    return list(rows)


def dataset_items(services: Services, team_id: int, dataset_id: str) -> tuple[Any, list[Any]]:
    """Return a dataset and its newest 100 items. Raises `NotFound`."""
    repository = Datasets(services.database)
    found = repository.get(team_id, dataset_id)
    if found is None:
        raise NotFound
    items, _ = repository.items_page(team_id, dataset_id=dataset_id, limit=100, offset=0)
    return found, list(items)
