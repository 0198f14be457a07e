"""The editor: a definition as a form, checked while it is written, tried out, estimated, saved and enabled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from starlette.responses import JSONResponse, RedirectResponse, Response

from api.http.concurrency import Expected, read_tag
from api.http.errors import ApiError, Conflict, Invalid
from api.services.definitions import change, create, find, parse, patch
from api.services.drafts import (
    OPERATORS,
    PROVIDER_NAMES,
    DraftProblem,
    Evaluation,
    as_raw,
    as_yaml,
    check_code,
    check_draft,
    check_yaml,
    names_in_use,
    read_yaml,
    values_in_use,
)
from api.services.estimating import DEFAULT_WINDOW, estimate
from api.services.samples import read_conditions
from api.services.trials import BEGINS_FOR_S, MOST, PassRule, SampleResult, Trial, summed_up, try_draft
from console.differences import differences
from console.draft_form import draft_of, fields_of, typed_fields
from console.pages.registry import Page, post
from console.render import page
from console.visit import Visit

_TRIED = 5
_NOTHING: Mapping[str, Any] = {
    "problems": [], "theirs": None, "tried": None, "backtest": None, "estimated": None, "done": "", "saved": False,
    "rule": None,
}  # fmt: skip
_YAML_START = """name: Polite
evaluation_config:
  source: |
    // Return true for a pass and false for a fail.
    let rude := output ilike '%stupid%'
    return not rude
conditions:
  - id: production
    rollout_percentage: 100
    properties:
      - key: environment
        value: production
"""
_CHANGED_MEANWHILE = "Somebody else has changed this evaluation since you opened it."
_NO_SETS = (
    "Nothing matches, because this evaluation runs on no generation without a condition set. Add a set, or choose "
    "every generation below the conditions; in YAML, leave conditions out."
)
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
    return _form(visit, raw, evaluation=None, stored=True)


def show_edit(visit: Visit) -> Response:
    """Show the form of a stored evaluation."""
    evaluation = find(visit.services, visit.reader.key, visit.path["evaluation"])
    done = visit.notice("done")
    return _form(visit, as_raw(evaluation), evaluation=evaluation, stored=True, done=done, saved=bool(done))


def submit_new(visit: Visit) -> Response:
    """Take the form of a new evaluation: save it, try it out, or add a row."""
    return _submit(visit, None)


def submit_edit(visit: Visit) -> Response:
    """Take the form of a stored evaluation."""
    return _submit(visit, find(visit.services, visit.reader.key, visit.path["evaluation"]))


def _submit(visit: Visit, evaluation: Evaluation | None) -> Response:
    raw: dict[str, Any] = {}
    try:
        read = _read(visit, evaluation)
        if isinstance(read, DraftProblem):
            return _form(visit, raw, evaluation=evaluation, problems=[read], status=400)
        raw = read
        return _ACTIONS.get(visit.field("action"), _save)(visit, raw, evaluation)
    except Conflict:
        if evaluation is None:
            raise
        current = find(visit.services, visit.reader.key, evaluation.id)
        return _form(
            visit,
            raw,
            evaluation=current,
            problems=[DraftProblem(_CHANGED_MEANWHILE, "")],
            theirs=differences(as_raw(current), raw),
            status=412,
        )
    except ApiError as error:
        if error.status >= 500:
            raise
        found = check_code(visit.field("code")) if error.attr and "source" in error.attr else None
        problems = found or [DraftProblem(error.detail, error.attr or "")]
        return _form(visit, raw, evaluation=evaluation, problems=problems, status=error.status, typed=not raw)


def _read(visit: Visit, evaluation: Evaluation | None) -> dict[str, Any] | DraftProblem:
    """Return the definition that was sent: as YAML, or as the fields of the form."""
    if _is_yaml(visit):
        return read_yaml(visit.field("code"), evaluation)
    return draft_of(visit.field, {} if evaluation is None else as_raw(evaluation))


def _is_yaml(visit: Visit) -> bool:
    return visit.field("as", visit.query("as")) == "yaml"


def _edit(visit: Visit, evaluation: Evaluation, done: str) -> Response:
    """Lead to the form of an evaluation."""
    link = visit.link(f"evaluations/{evaluation.id}/edit/", done=done, as_="yaml" if _is_yaml(visit) else None)
    return RedirectResponse(link, 303)


def _save(visit: Visit, raw: dict[str, Any], evaluation: Evaluation | None) -> Response:
    if evaluation is None:
        made = create(visit.services, visit.reader.key, parse(raw))
        return _edit(visit, made, "Saved. It is paused until you enable it." if not made.enabled else "Saved.")
    changed = change(
        visit.services,
        visit.reader.key,
        evaluation.id,
        lambda _current: parse(raw),
        expected=expected_of(visit.field("tag")),
    )
    done = f"Saved as version {changed.version}." if changed.version != evaluation.version else "Saved."
    return _edit(visit, evaluation, done)


def _add_set(visit: Visit, raw: dict[str, Any], evaluation: Evaluation | None) -> Response:
    sets = raw.get("conditions") or []
    if not (isinstance(sets, list) and all(isinstance(each, dict) for each in sets)):
        raise Invalid("The conditions must be a list of sets.", attr="conditions")
    taken = {each.get("id") for each in sets}
    name = next(f"set-{number}" for number in range(1, 1000) if f"set-{number}" not in taken)
    added = {"id": name, "rollout_percentage": 100, "properties": []}
    return _form(visit, {**raw, "conditions": [*sets, added]}, evaluation=evaluation)


def _check(visit: Visit, raw: dict[str, Any], evaluation: Evaluation | None) -> Response:
    _, problems = check_draft(raw)
    return _form(visit, raw, evaluation=evaluation, problems=problems, done="" if problems else "It compiles.")


def _try(visit: Visit, raw: dict[str, Any], evaluation: Evaluation | None) -> Response:
    trial, rule = _run(visit, raw, _TRIED)
    return _form(visit, raw, evaluation=evaluation, tried=trial, rule=rule)


def _backtest(visit: Visit, raw: dict[str, Any], evaluation: Evaluation | None) -> Response:
    trial, rule = _run(visit, raw, MOST)
    return _form(visit, raw, evaluation=evaluation, backtest=summed_up(trial, rule))


def _run(visit: Visit, raw: dict[str, Any], count: int) -> tuple[Trial[SampleResult], PassRule]:
    """Run the draft on the newest generations that meet its conditions. Return them with its passing rule."""
    draft = parse(raw)
    rule = PassRule.of(draft.output_config)
    if not draft.conditions:
        return Trial((), _NO_SETS), rule
    conditions = read_conditions(raw.get("conditions") or [], visit.services.database.limits)
    return try_draft(visit.services, visit.team, draft, conditions, count), rule


def _ask_enable(visit: Visit, raw: dict[str, Any], evaluation: Evaluation | None) -> Response:
    """Show what enabling would do and cost, and ask. The form's changes are saved first."""
    if evaluation is None:
        raise Invalid("Save the evaluation before you enable it.")
    saved = change(
        visit.services,
        visit.reader.key,
        evaluation.id,
        lambda _current: parse(raw),
        expected=expected_of(visit.field("tag")),
    )
    now = visit.now
    with visit.services.pages.client(visit.reader.session) as client:
        found = estimate(visit.services, client, saved, now - DEFAULT_WINDOW, now + timedelta(minutes=1))
    return _form(visit, as_raw(saved), evaluation=saved, stored=True, saved=True, estimated=found)


def _enable(visit: Visit, raw: dict[str, Any], evaluation: Evaluation | None) -> Response:
    return _switch(visit, raw, evaluation, enabled=True)


def _pause(visit: Visit, raw: dict[str, Any], evaluation: Evaluation | None) -> Response:
    return _switch(visit, raw, evaluation, enabled=False)


def _switch(visit: Visit, raw: dict[str, Any], evaluation: Evaluation | None, *, enabled: bool) -> Response:
    """Enable or pause the stored definition. A form with changes is refused, because they would be lost."""
    if evaluation is None:
        raise Invalid("Save the evaluation first.")
    expected = expected_of(visit.field("tag"))
    if expected.fits(evaluation) and raw != as_raw(evaluation):
        word = "enabled" if enabled else "paused"
        raise Invalid(f"It was not {word}, because the form has changes that are not saved. Save or undo them first.")
    change(
        visit.services,
        visit.reader.key,
        evaluation.id,
        lambda current: patch(current, {"enabled": enabled}),
        expected=expected,
    )
    done = "It is enabled and judges new events." if enabled else "It is paused."
    return _edit(visit, evaluation, done)


_ACTIONS: Mapping[str, Callable[[Visit, dict[str, Any], Evaluation | None], Response]] = {
    "save": _save,
    "add-set": _add_set,
    "check": _check,
    "test": _try,
    "backtest": _backtest,
    "ask-enable": _ask_enable,
    "enable": _enable,
    "pause": _pause,
}


def expected_of(tag: str) -> Expected:
    """Return the version and revision that a form was made from. Raises `Invalid`."""
    expected = read_tag(tag)
    if expected is None or expected.revision is None:
        raise Invalid("The form lacks the version that it was made from. Reload the page.")
    return expected


def _form(
    visit: Visit,
    raw: Mapping[str, Any],
    *,
    evaluation: Evaluation | None,
    status: int = 200,
    stored: bool = False,
    typed: bool = False,
    **shown: Any,
) -> Response:
    """Return the page.

    Args:
        stored: whether `raw` is the stored definition, or the beginning of a new one. Otherwise a reader wrote it.
        typed: show the fields as they were sent, because no definition could be read from them.
    """
    try:
        names = names_in_use(visit.services, visit.reader.session, visit.team) if visit.may("query:read") else []
    except ApiError:
        names = []  # suggestions only
    tag = "" if evaluation is None else f"{evaluation.version}-{evaluation.revision}"
    if not stored and shown.get("theirs") is None:
        tag = visit.field("tag", tag)  # the form is still made from the version that its reader saw
    return page(
        visit,
        "editor.html",
        status=status,
        evaluation=evaluation,
        yaml=_yaml_text(visit, evaluation, stored=stored) if _is_yaml(visit) else None,
        form=typed_fields(visit.field) if typed else fields_of(raw),
        tag=tag,
        stored=stored,
        operators=OPERATORS,
        providers=PROVIDER_NAMES,
        kinds=_TYPES,
        names=names,
        most=MOST,
        begins_for_s=BEGINS_FOR_S,
        **{**_NOTHING, **shown},
    )


def _yaml_text(visit: Visit, evaluation: Evaluation | None, *, stored: bool) -> str:
    if not stored:
        return visit.field("code")
    return _YAML_START if evaluation is None else as_yaml(evaluation)


def check(visit: Visit) -> Response:
    """Return the errors of code, or of YAML, as JSON, for the script of the editor; null if the text is too long."""
    found = (check_yaml if _is_yaml(visit) else check_code)(visit.field("code"))
    return JSONResponse({"problems": None if found is None else [asdict(each) for each in found]})


def suggest(visit: Visit) -> Response:
    """Return the values of a property as JSON, for the script of the editor."""
    name = visit.query("name")
    found = values_in_use(visit.services, visit.reader.session, visit.team, name) if name else []
    return JSONResponse({"values": found})


_SLOW = ("test", "backtest", "ask-enable")
PAGES = (
    Page("{team}/evaluations/new/", show_new, "evaluation:write"),
    post("{team}/evaluations/new/", submit_new, "evaluation:write", slow=_SLOW),
    post("{team}/evaluations/check/", check, "evaluation:read"),
    Page("{team}/evaluations/suggestions/", suggest, "query:read"),
    Page("{team}/evaluations/{evaluation}/edit/", show_edit, "evaluation:write"),
    post("{team}/evaluations/{evaluation}/edit/", submit_edit, "evaluation:write", slow=_SLOW),
)
