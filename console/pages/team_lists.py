"""Lists of a team: jobs, provider keys, and the audit trail."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from starlette.responses import RedirectResponse, Response

from api.http.errors import Throttled, Unavailable
from api.services.definitions import find
from api.services.estimating import Estimate, estimate
from api.services.jobs import ACTIONS, Job, all_backfills, backfill_costs, change_backfill, measured, start_backfill
from api.services.operations import (
    people,
    provider_keys,
    running_replays,
    team_audit,
)
from api.services.provider_key_changes import check_stored_key, delete_key, replace_secret
from api.services.trust_desk import cancel, measurements_of_team
from console.pages.registry import Page, post
from console.render import fragment, page
from console.visit import Visit

_AUDITED = 50
_COSTS_S = 30
_BACKFILL_DAYS = {"1": "day", "7": "7 days", "30": "30 days"}


def jobs(visit: Visit) -> Response:
    """Show the team's backfills and measurements, and the form that asks for a backfill."""
    return _shown_jobs(visit)


def _shown_jobs(visit: Visit, *, found: Estimate | None = None, asked: Mapping[str, str] | None = None) -> Response:
    return page(
        visit,
        "jobs.html",
        **_jobs(visit),
        done=visit.notice("done"),
        found=found,
        asked=asked or {"evaluation": "", "days": "1", "rerun": ""},
        windows=_BACKFILL_DAYS,
    )


def jobs_part(visit: Visit) -> Response:
    """Show the table alone, for the refresh."""
    return fragment(visit, "jobs_part.html", **_jobs(visit))


def _jobs(visit: Visit) -> dict[str, Any]:
    found = all_backfills(visit.services, visit.team)
    return {
        "jobs": found,
        "costs": _costs(visit, found),
        "runs": [measured(each, visit.now) for each in measurements_of_team(visit.services, visit.team)],
        "replays": running_replays(visit.services),
        "outlines": visit.outlines,
    }


def _costs(visit: Visit, found: list[Job]) -> Mapping[str, float] | None:
    """Return the USD of each backfill, at most 30 seconds old; None while ClickHouse does not answer.

    Everything else of the page is in the store, so the page does without them.
    """
    key = (
        "backfill costs",
        visit.team,
        int(visit.now.timestamp()) // _COSTS_S,
        tuple(each.backfill.id for each in found),
    )
    try:
        return visit.tables.get(key, lambda: backfill_costs(visit.services, visit.team, found))
    except (Unavailable, Throttled):
        return None


def change_job(visit: Visit) -> Response:
    """Pause, resume or cancel a backfill, cancel a measurement, show the cost of a backfill, or start it."""
    action = visit.field("action")
    if action == "cancel-measurement":
        measured_one = find(visit.services, visit.reader.key, visit.field("evaluation"))
        state = cancel(visit.services, visit.reader.key, measured_one, visit.field("id"))
        return RedirectResponse(visit.link("jobs/", done=f"The measurement is {state}."), 303)
    if action in ACTIONS:
        changed = change_backfill(visit.services, visit.reader.key, visit.field("id"), action)
        return RedirectResponse(visit.link("jobs/", done=f"The backfill is {changed.state}."), 303)
    evaluation = find(visit.services, visit.reader.key, visit.outlines.named(visit.field("evaluation")))
    days = visit.field("days") if visit.field("days") in _BACKFILL_DAYS else "1"
    rerun = visit.field("rerun") == "on"
    start = visit.now - timedelta(days=int(days))
    if action != "start":
        with visit.services.pages.client(visit.reader.session) as client:
            found = estimate(visit.services, client, evaluation, start, visit.now)
        asked = {"evaluation": evaluation.id, "days": days, "rerun": "on" if rerun else ""}
        return _shown_jobs(visit, found=found, asked=asked)
    start_backfill(visit.services, visit.reader.key, evaluation, start, visit.now, rerun=rerun)
    return RedirectResponse(visit.link("jobs/", done="The backfill waits for a matcher."), 303)


def keys(visit: Visit) -> Response:
    """Show the team's provider keys, masked."""
    return page(visit, "keys.html", found=provider_keys(visit.services, visit.team), done=visit.notice("done"))


def change_key(visit: Visit) -> Response:
    """Ask the provider whether a key works, store another secret for it, or delete it."""
    key, caller, action = visit.field("id"), visit.reader.key, visit.field("action")
    if action == "delete":
        delete_key(visit.services, caller, key, visit.field("replacement") or None)
        return RedirectResponse(visit.link("keys/", done="The key is deleted."), 303)
    if action == "replace":
        name = replace_secret(visit.services, caller, key, visit.field("api_key"))
        return RedirectResponse(visit.link("keys/", done=f"{name[:80]} has another secret, which works."), 303)
    tested = check_stored_key(visit.services, caller, key)
    state = "works" if tested.state == "ok" else f"does not work: {tested.error_message}"
    return RedirectResponse(visit.link("keys/", done=f"{tested.name[:80]} {state[:300]}"), 303)


def audit(visit: Visit) -> Response:
    """Show who changed what, newest first: in the team, or, for an operator, in what belongs to no team."""
    cursor = visit.query("cursor")
    before = int(cursor) if cursor.isascii() and cursor.isdigit() and len(cursor) < 19 else None
    with_labels = visit.query("labels") != "no"
    entries = team_audit(visit.services, visit.team, before=before, limit=_AUDITED, with_labels=with_labels)
    return page(
        visit,
        "audit.html",
        entries=entries,
        with_labels=with_labels,
        owner=people(visit.services, entries),
        cursor=str(entries[-1].id) if len(entries) == _AUDITED else None,
    )


PAGES = (
    Page("{team}/jobs/", jobs, "evaluation:read"),
    Page("{team}/jobs/part/", jobs_part, "evaluation:read"),
    post("{team}/jobs/", change_job, "evaluation:write", slow=("dry",)),
    Page("{team}/keys/", keys, "llm_provider_key:read"),
    post("{team}/keys/", change_key, "llm_provider_key:write", slow=()),
    Page("{team}/audit/", audit, "evaluation:read"),
)
