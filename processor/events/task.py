"""A task: one evaluation of one event that waits for a judge.

On Kafka a task is the event's message again — the value byte for byte — with the task's own fields as
text headers, so that nothing is decoded and encoded on the way and a task is as readable as its event.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from processor.events.identity import Trigger
from processor.events.output import Headers

TASK_PREFIX = "gavel.task."


class TaskError(ValueError):
    """A message on the task topic whose headers make no task."""


def event_key(team_id: int | str, event_uuid: str) -> bytes:
    """Return the Kafka key of tasks and results: team and event, so that what concerns one event stays in order."""
    return f"{team_id}:{event_uuid}".encode()


@dataclass(frozen=True, slots=True)
class Task:
    """One run to be made.

    Attributes:
        team_id, evaluation_id, event_uuid: the judged event, and the evaluation that judges it.
        run_key: the identity of the run (`processor.events.identity`).
        condition_id: of the condition set that let the event in; empty for manual runs.
        started_at: ISO-8601 UTC; when the run first started. The result's timestamp, whatever retries follow.
        backfill_id: of a backfill or replay, else None.
        attempt: how often the run was parked before.
        parked_since_ms: epoch milliseconds of the first parking, 0 if it never was.
        not_before_ms: epoch milliseconds before which a parked run is not tried.
        parked_cause: why it was parked last.
        revision: of the store at the last change of the definition that the task was made from; 0 in tasks of older
            releases. A judge that knows only an earlier revision refreshes before it decides.
        version: of that definition. A measurement names the version that it measures, which may be an older one.
        measurement_id, measurement_kind: the run of a measurement.
        answers: of a strategy's steps that were made before the run was parked (`processor.judge.answers`).
        item, repeat: the item that a measurement judges, and how often its run has judged it before.
    """

    team_id: int
    evaluation_id: str
    event_uuid: str
    run_key: str
    condition_id: str
    started_at: str
    trigger: Trigger = "live"
    backfill_id: str | None = None
    attempt: int = 0
    parked_since_ms: int = 0
    not_before_ms: int = 0
    parked_cause: str = ""
    revision: int = 0
    version: int = 0
    measurement_id: str = ""
    measurement_kind: str = ""
    item: str = ""
    repeat: int = 0
    answers: str = ""

    def key(self) -> bytes:
        """Return the Kafka key; see `event_key`."""
        return event_key(self.team_id, self.event_uuid)

    def headers(self) -> Headers:
        """Return the headers that `read_task` reads back; fields at their defaults are left out."""
        found: Headers = []
        for name in _FIELDS:
            value = getattr(self, name)
            if value not in (None, "", 0):
                found.append((TASK_PREFIX + name, str(value).encode()))
        return found

    def parked(self, *, now_ms: int, not_before_ms: int, cause: str) -> Task:
        """Return this task as it goes to the parked topic."""
        return replace(
            self,
            attempt=self.attempt + 1,
            parked_since_ms=self.parked_since_ms or now_ms,
            not_before_ms=not_before_ms,
            parked_cause=cause,
        )


_MATCH = "match-"


def match_task(team_id: int, event_uuid: str, started_at: str) -> Task:
    """Return the task to match an event with all evaluations of its team, because the matcher had no time left for it.

    It is not a run of one evaluation; in its place stands a name of the team's own, so that teams wait separately.
    """
    name = f"{_MATCH}{team_id}"
    return Task(team_id, name, event_uuid, f"{name}-{event_uuid}", "", started_at)


def is_match(task: Task) -> bool:
    """Return whether `task` is one of `match_task`."""
    return task.evaluation_id.startswith(_MATCH)


def has_task(headers: Sequence[tuple[str, str | bytes | None]]) -> bool:
    """Return whether any of `headers` is a field of a task."""
    return any(name.startswith(TASK_PREFIX) for name, _ in headers)


_INTEGERS = frozenset({"team_id", "attempt", "parked_since_ms", "not_before_ms", "revision", "version", "repeat"})
_INTEGER = re.compile("-?[0-9]+")
_MAX_CHARS = 20
_REQUIRED = ("team_id", "evaluation_id", "event_uuid", "run_key", "started_at")
_FIELDS = tuple(Task.__dataclass_fields__)


def read_task(headers: Sequence[tuple[str, bytes | str | None]] | None) -> Task:
    """Return the task that `headers` describe; headers of others are passed over.

    Raises:
        TaskError: a required field is missing, or a number is none; names the field.
    """
    # `headers` leaves out empty fields, because a manual run has no condition set.
    fields: dict[str, Any] = {"condition_id": ""}
    for name, raw in headers or ():
        if not name.startswith(TASK_PREFIX) or raw is None:
            continue
        field = name.removeprefix(TASK_PREFIX)
        if field not in _FIELDS:
            continue
        text = raw if isinstance(raw, str) else raw.decode("utf-8", "replace")
        if field in _INTEGERS:
            if len(text) > _MAX_CHARS or _INTEGER.fullmatch(text) is None or not -(2**63) <= int(text) < 2**63:
                raise TaskError(f"header {name}: {text[:40]!r} is not a whole number of 64 bits")
            fields[field] = int(text)
        else:
            fields[field] = text
    missing = [name for name in _REQUIRED if not fields.get(name)]
    if missing:
        raise TaskError(f"header {TASK_PREFIX}{missing[0]} is missing; only Gavel writes to the task topic")
    return Task(**fields)
