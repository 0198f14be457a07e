"""Redrives and purges that an operator asks for, each with its entry in the audit trail."""

from __future__ import annotations

from typing import Any

from api.services.letter_desk import LetterDesk, LetterQuery, LettersStopped, Sent
from api.services.resources import Services
from storage.sql.api_keys import ApiKey
from storage.sql.audit import record_letters


def redrive(services: Services, caller: ApiKey, desk: LetterDesk, query: LetterQuery) -> Sent:
    """Send letters back to where they came from. Raises `LettersStopped`, which tells how many were sent before."""
    try:
        done = desk.redrive(query)
    except LettersStopped as error:
        outcome = {"sent": error.done.sent, "refused": len(error.done.refused), "error": error.detail}
        _note(services, caller, "redriven", query, outcome)
        raise
    _note(services, caller, "redriven", query, {"sent": done.sent, "refused": len(done.refused)})
    return done


def purge(services: Services, caller: ApiKey, desk: LetterDesk, query: LetterQuery) -> int:
    """Close letters without sending them, and return how many.

    Raises `LettersStopped`, which tells how many were closed before.
    """
    try:
        closed = desk.purge(query)
    except LettersStopped as error:
        _note(services, caller, "purged", query, {"purged": error.done.sent, "error": error.detail})
        raise
    _note(services, caller, "purged", query, {"purged": closed})
    return closed


def _note(services: Services, caller: ApiKey, action: str, query: LetterQuery, outcome: dict[str, Any]) -> None:
    chosen = {
        "ids": query.ids,
        "reason": query.reason,
        "stage": query.stage,
        "since": query.since.isoformat() if query.since else None,
    }
    record_letters(services.database, action, chosen=chosen, outcome=outcome, actor=caller.actor, at=services.now())
