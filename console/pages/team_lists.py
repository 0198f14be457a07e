"""Lists of a team: jobs, datasets, provider keys, and the audit trail."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from starlette.responses import RedirectResponse, Response

from api.services.definitions import find
from api.services.jobs import ACTIONS, all_backfills, change_backfill, start_backfill
from api.services.operations import (
    dataset_items,
    datasets,
    people,
    provider_keys,
    replays,
    team_audit,
    validate_key,
)
from api.services.provider_key_changes import delete_key, replace_secret
from api.services.trust_desk import measurements_of_team
from console.pages.registry import Page, post
from console.render import fragment, page
from console.visit import Visit

_AUDITED = 50
_BACKFILL_DAYS = {"1": 1, "7": 7, "30": 30}


def jobs(visit: Visit) -> Response:
    """Show the team's backfills and measurements, and the form that starts a backfill."""
    return page(visit, "jobs.html", **_jobs(visit), done=visit.query("done"))


def jobs_part(visit: Visit) -> Response:
    """Show the table alone, for the refresh."""
    return fragment(visit, "jobs_part.html", **_jobs(visit))


def _jobs(visit: Visit) -> dict[str, Any]:
    return {
        "jobs": all_backfills(visit.services, visit.team),
        "runs": measurements_of_team(visit.services, visit.team),
        "replays": [each for each in replays(visit.services) if each.beat.vitals.state == "running"],
        "outlines": visit.outlines,
    }


def change_job(visit: Visit) -> Response:
    """Pause, resume or cancel a backfill, or start one."""
    action = visit.field("action")
    if action in ACTIONS:
        changed = change_backfill(visit.services, visit.reader.key, visit.field("id"), action)
        return RedirectResponse(visit.link("jobs/", done=f"The backfill is {changed.state}."), 303)
    evaluation = find(visit.services, visit.reader.key, visit.field("evaluation"))
    days = _BACKFILL_DAYS.get(visit.field("days"), 1)
    rerun = visit.field("rerun") == "on"
    start = visit.now - timedelta(days=days)
    start_backfill(visit.services, visit.reader.key, evaluation, start, visit.now, rerun=rerun)
    return RedirectResponse(visit.link("jobs/", done="The backfill waits for a matcher."), 303)


def show_datasets(visit: Visit) -> Response:
    """Show the team's datasets."""
    return page(visit, "datasets.html", found=datasets(visit.services, visit.team))


def show_dataset(visit: Visit) -> Response:
    """Show one dataset with its newest items."""
    dataset, items = dataset_items(visit.services, visit.team, visit.path["dataset"])
    return page(visit, "dataset.html", dataset=dataset, items=items)


def keys(visit: Visit) -> Response:
    """Show the team's provider keys, masked."""
    return page(visit, "keys.html", found=provider_keys(visit.services, visit.team), done=visit.query("done"))


def change_key(visit: Visit) -> Response:
    """Ask the provider whether a key works, store another secret for it, or delete it."""
    key, caller, action = visit.field("id"), visit.reader.key, visit.field("action")
    if action == "delete":
        delete_key(visit.services, caller, key, visit.field("replacement") or None)
        return RedirectResponse(visit.link("keys/", done="The key is deleted."), 303)
    if action == "replace":
        name = replace_secret(visit.services, caller, key, visit.field("api_key"))
        return RedirectResponse(visit.link("keys/", done=f"{name[:80]} has another secret, which works."), 303)
    name, state = validate_key(visit.services, caller, key)
    return RedirectResponse(visit.link("keys/", done=f"{name[:80]} {state[:300]}"), 303)


def audit(visit: Visit) -> Response:
    """Show who changed what, newest first."""
    cursor = visit.query("cursor")
    before = int(cursor) if cursor.isascii() and cursor.isdigit() and len(cursor) < 19 else None
    entries = team_audit(visit.services, visit.team, before=before, limit=_AUDITED)
    return page(
        visit,
        "audit.html",
        entries=entries,
        owner=people(visit.services, entries),
        cursor=str(entries[-1].id) if len(entries) == _AUDITED else None,
    )


PAGES = (
    Page("{team}/jobs/", jobs, "evaluation:read"),
    Page("{team}/jobs/part/", jobs_part, "evaluation:read"),
    post("{team}/jobs/", change_job, "evaluation:write"),
    Page("{team}/datasets/", show_datasets, "dataset:read"),
    Page("{team}/datasets/{dataset}/", show_dataset, "dataset:read"),
    Page("{team}/keys/", keys, "llm_provider_key:read"),
    post("{team}/keys/", change_key, "llm_provider_key:write"),
    Page("{team}/audit/", audit, "evaluation:read"),
)
