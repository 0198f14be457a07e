"""The editor: a definition as a form, checked while it is written, tried out, estimated, saved and enabled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from starlette.responses import JSONResponse, RedirectResponse, Response

from api.http.concurrency import Expected
from api.http.errors import ApiError, Conflict, Invalid
from api.services.definitions import change, create, find, parse, patch
from api.services.drafts import (
    OPERATORS,
    PROVIDER_NAMES,
    DraftProblem,
    as_raw,
    check_code,
    check_draft,
    names_in_use,
    values_in_use,
)
from api.services.estimating import DEFAULT_WINDOW, estimate
from api.services.samples import read_conditions
from api.services.trials import try_hog, try_judge
from console.draft_form import draft_of, fields_of
from console.pages.registry import Page, post
from console.render import page
from console.visit import Visit

_TRIED, _BACKTESTED_HOG, _BACKTESTED_JUDGE = 5, 500, 25
_NOTHING: dict[str, Any] = {
    "problems": [], "theirs": None, "tried": None, "backtest": None, "estimated": None, "done": "",
}  # fmt: skip
_TYPES = ("event", "person", "event_metadata", "hogql")
_STARTS = {
    "hog": "// Return true for a pass and false for a fail.\nlet rude := output ilike '%stupid%'\nreturn not rude\n",
    "llm_judge": "Pass if the reply answers the user's question completely.\nFail otherwise.\n",
}


def show_new(visit: Visit) -> Response:
    """Show an empty form."""
    kind = visit.choice("type", tuple(_STARTS), "hog")
    config = {"source" if kind == "hog" else "prompt": _STARTS[kind]}
    raw = {"evaluation_type": kind, "output_type": "boolean", "evaluation_config": config, "cache_verdicts": True}
    return _form(visit, raw, evaluation=None)


def show_edit(visit: Visit) -> Response:
    """Show the form of a stored evaluation."""
    evaluation = find(visit.services, visit.reader.key, visit.path["evaluation"])
    return _form(visit, as_raw(evaluation), evaluation=evaluation, done=visit.query("done"))


def submit_new(visit: Visit) -> Response:
    """Take the form of a new evaluation: save it, try it out, or add a row."""
    return _submit(visit, None)


def submit_edit(visit: Visit) -> Response:
    """Take the form of a stored evaluation."""
    return _submit(visit, find(visit.services, visit.reader.key, visit.path["evaluation"]))


def _submit(visit: Visit, evaluation: Any) -> Response:
    raw: dict[str, Any] = {}
    try:
        raw = draft_of(visit.field)
        return _ACTIONS.get(visit.field("action"), _save)(visit, raw, evaluation)
    except Conflict as error:
        current = find(visit.services, visit.reader.key, evaluation.id)
        return _form(
            visit,
            raw,
            evaluation=current,
            problems=[DraftProblem(error.detail, "")],
            theirs=as_raw(current),
            status=412,
        )
    except ApiError as error:
        if error.status >= 500:
            raise
        found = check_code(visit.field("code")) if error.attr and "source" in error.attr else []
        problems = found or [DraftProblem(error.detail, error.attr or "")]
        return _form(visit, raw or _as_typed(visit), evaluation=evaluation, problems=problems, status=error.status)


def _as_typed(visit: Visit) -> dict[str, Any]:
    kind = visit.field("evaluation_type", "hog")
    config = {"source" if kind == "hog" else "prompt": visit.field("code")}
    return {"name": visit.field("name"), "evaluation_type": kind, "output_type": "boolean", "evaluation_config": config}


def _save(visit: Visit, raw: dict[str, Any], evaluation: Any) -> Response:
    if evaluation is None:
        made = create(visit.services, visit.reader.key, parse(raw))
        return RedirectResponse(
            visit.link(f"evaluations/{made.id}/edit/", done="Saved. It is paused until you enable it."), 303
        )
    changed = change(
        visit.services,
        visit.reader.key,
        evaluation.id,
        lambda current: patch(current, raw),
        expected=_expected(visit.field("tag")),
    )
    done = f"Saved as version {changed.version}." if changed.version != evaluation.version else "Saved."
    return RedirectResponse(visit.link(f"evaluations/{evaluation.id}/edit/", done=done), 303)


def _add_set(visit: Visit, raw: dict[str, Any], evaluation: Any) -> Response:
    sets = list(raw.get("conditions") or ())
    taken = {each["id"] for each in sets}
    name = next(f"set-{number}" for number in range(1, 1000) if f"set-{number}" not in taken)
    sets.append({"id": name, "rollout_percentage": 100, "properties": []})
    return _form(visit, {**raw, "conditions": sets}, evaluation=evaluation)


def _check(visit: Visit, raw: dict[str, Any], evaluation: Any) -> Response:
    _, problems = check_draft(raw)
    return _form(visit, raw, evaluation=evaluation, problems=problems, done="" if problems else "It compiles.")


def _try(visit: Visit, raw: dict[str, Any], evaluation: Any) -> Response:
    return _form(visit, raw, evaluation=evaluation, tried=_run(visit, raw, _TRIED))


def _backtest(visit: Visit, raw: dict[str, Any], evaluation: Any) -> Response:
    count = _BACKTESTED_HOG if raw["evaluation_type"] == "hog" else _BACKTESTED_JUDGE
    tried = _run(visit, raw, count)
    polarity = bool(raw["output_config"].get("true_is_failure"))
    decided = [each.result != polarity for each in tried["results"] if each.result is not None]
    costs = [each.cost_usd for each in tried["results"] if getattr(each, "cost_usd", None) is not None]
    summary = {
        "count": len(tried["results"]),
        "passed": sum(decided),
        "failed": len(decided) - sum(decided),
        "errors": sum(each.error is not None for each in tried["results"]),
        "cost_usd": sum(costs) if costs else None,
    }
    return _form(visit, raw, evaluation=evaluation, backtest=summary)


def _run(visit: Visit, raw: dict[str, Any], count: int) -> dict[str, Any]:
    """Run the draft on the newest generations that meet its conditions."""
    draft = parse(raw)
    conditions = read_conditions(raw.get("conditions") or [], visit.services.database.limits)
    if draft.source is not None:
        allows_na = bool(raw["output_config"].get("allows_na"))
        found: Any = try_hog(visit.services, visit.team, draft.source, conditions, count, allows_na=allows_na)
    else:
        found = try_judge(visit.services, visit.team, draft, conditions, count)
    return {
        "results": found.results,
        "message": found.message,
        "failure": bool(raw["output_config"].get("true_is_failure")),
    }


def _ask_enable(visit: Visit, raw: dict[str, Any], evaluation: Any) -> Response:
    """Show what enabling would do and cost, and ask. The form's changes are saved first."""
    if evaluation is None:
        raise Invalid("Save the evaluation before you enable it.")
    saved = change(
        visit.services,
        visit.reader.key,
        evaluation.id,
        lambda current: patch(current, raw),
        expected=_expected(visit.field("tag")),
    )
    now = visit.now
    with visit.services.pages.client(visit.reader.session) as client:
        found = estimate(visit.services, client, saved, now - DEFAULT_WINDOW, now + timedelta(minutes=1))
    return _form(visit, as_raw(saved), evaluation=saved, estimated=found)


def _enable(visit: Visit, _raw: dict[str, Any], evaluation: Any) -> Response:
    return _switch(visit, evaluation, enabled=True)


def _pause(visit: Visit, _raw: dict[str, Any], evaluation: Any) -> Response:
    return _switch(visit, evaluation, enabled=False)


def _switch(visit: Visit, evaluation: Any, *, enabled: bool) -> Response:
    if evaluation is None:
        raise Invalid("Save the evaluation first.")
    change(
        visit.services,
        visit.reader.key,
        evaluation.id,
        lambda current: patch(current, {"enabled": enabled}),
        expected=_expected(visit.field("tag")),
    )
    done = "It is enabled and judges new events." if enabled else "It is paused."
    return RedirectResponse(visit.link(f"evaluations/{evaluation.id}/edit/", done=done), 303)


_ACTIONS: Mapping[str, Callable[[Visit, dict[str, Any], Any], Response]] = {
    "save": _save,
    "add-set": _add_set,
    "check": _check,
    "test": _try,
    "backtest": _backtest,
    "ask-enable": _ask_enable,
    "enable": _enable,
    "pause": _pause,
}


def _expected(tag: str) -> Expected:
    version, _, revision = tag.partition("-")
    if not (version.isdigit() and revision.isdigit()):
        raise Invalid("The form lacks the version that it was made from. Reload the page.")
    return Expected(int(version), int(revision))


def _form(visit: Visit, raw: Mapping[str, Any], *, evaluation: Any, status: int = 200, **shown: Any) -> Response:
    try:
        names = names_in_use(visit.services, visit.reader.session, visit.team)
    except ApiError:
        names = []  # suggestions only
    values: dict[str, Any] = {
        "problems": [],
        "theirs": None,
        "tried": None,
        "backtest": None,
        "estimated": None,
        "done": "",
    }
    tag = visit.field("tag") if shown.get("theirs") else ""
    return page(
        visit,
        "editor.html",
        status=status,
        evaluation=evaluation,
        form=fields_of(raw),
        tag=tag or ("" if evaluation is None else f"{evaluation.version}-{evaluation.revision}"),
        now_tag="" if evaluation is None else f"{evaluation.version}-{evaluation.revision}",
        operators=OPERATORS,
        providers=PROVIDER_NAMES,
        kinds=_TYPES,
        names=names,
        theirs_form=fields_of(shown["theirs"]) if shown.get("theirs") else None,
        **(values | shown),
    )


def check(visit: Visit) -> Response:
    """Return the compile errors of code as JSON, for the script of the editor."""
    return JSONResponse({"problems": [asdict(each) for each in check_code(visit.field("code"))]})


def suggest(visit: Visit) -> Response:
    """Return the values of a property as JSON, for the script of the editor."""
    name = visit.query("name")
    found = values_in_use(visit.services, visit.reader.session, visit.team, name) if name else []
    return JSONResponse({"values": found})


PAGES = (
    Page("{team}/evaluations/new/", show_new, "evaluation:write"),
    post("{team}/evaluations/new/", submit_new, "evaluation:write"),
    post("{team}/evaluations/check/", check, "evaluation:read"),
    Page("{team}/evaluations/suggestions/", suggest, "query:read"),
    Page("{team}/evaluations/{evaluation}/edit/", show_edit, "evaluation:write"),
    post("{team}/evaluations/{evaluation}/edit/", submit_edit, "evaluation:write"),
)
