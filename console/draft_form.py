"""Turns a definition into the fields of the editor's form, and a form into a definition.

A form is read over the stored definition that it was made from: what the form does not show, or shows and nobody
changed, stays exactly as it is stored.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from api.http.errors import Invalid
from api.services.drafts import LISTS, VALUELESS

MAX_SETS, MAX_FILTERS = 50, 40
MAX_ROWS = 200
"""Filters of all sets together that are shown as rows, because a form has at most 2000 fields."""
Field = Callable[[str, str], str]
Raw = Mapping[str, Any]
_MODEL = ("provider", "model", "provider_key_id", "strategy")
_BUDGET = ("budget_usd", "budget_tokens", "budget_period")
_CONFIG = {"hog": "source", "llm_judge": "prompt"}


def draft_of(field: Field, stored: Raw) -> dict[str, Any]:
    """Return the definition that a form describes, as JSON values. Raises `Invalid` for text that cannot be read.

    Args:
        stored: the definition that the form was made from; it may lack fields.
    """
    form = _Form(field, fields_of(stored))
    kind = form.text("evaluation_type")
    same_kind = kind == stored.get("evaluation_type")
    raw = {name: form.kept(name, stored.get(name)) for name in ("name", "description")}
    config = stored.get("evaluation_config")
    if not (same_kind and form.same("code")):
        config = {_CONFIG.get(kind, "prompt"): form.text("code")}
    output_type = "boolean" if kind == "hog" else form.text("output_type")
    output_of_type = stored.get("output_config") or {} if output_type == stored.get("output_type") else {}
    model, budget = stored.get("model_configuration"), stored.get("budget")
    if not (same_kind and form.same(*_MODEL)):
        model = _model(form, model) if kind == "llm_judge" or same_kind else None
    if not (same_kind and form.same(*_BUDGET)):
        budget = _budget(form) if kind == "llm_judge" or same_kind else None
    return {
        **stored,
        **raw,
        "evaluation_type": kind,
        "evaluation_config": config,
        "output_type": output_type,
        "output_config": {"allows_na": form.ticked("allows_na"), **_output(output_type, form, output_of_type)},
        "model_configuration": model,
        "budget": budget,
        "sampling_cohort": form.text("sampling_cohort"),
        "cache_verdicts": form.ticked("cache_verdicts"),
        "conditions": _json_conditions(field) if form.ticked("use_json") else _conditions(field),
    }


def fields_of(raw: Raw) -> dict[str, Any]:
    """Return what the form shows of a definition."""
    config, output = raw.get("evaluation_config") or {}, raw.get("output_config") or {}
    model, budget = raw.get("model_configuration") or {}, raw.get("budget") or {}
    rule, conditions = output.get("passing_rule") or {}, raw.get("conditions")
    as_json = not _fit_rows(() if conditions is None else conditions)
    return {
        **{name: raw.get(name) or "" for name in ("name", "description")},
        "evaluation_type": raw.get("evaluation_type") or "hog",
        "output_type": raw.get("output_type") or "boolean",
        "code": config.get("source") or config.get("prompt") or "",
        "allows_na": bool(output.get("allows_na")),
        "true_is_failure": bool(output.get("true_is_failure")),
        **{name: _number_text(output.get(name)) for name in ("min", "max", "step")},
        "rule_operator": rule.get("operator") or "",
        "rule_threshold": _number_text(rule.get("threshold")),
        "options": _options_text(output.get("options") or ()),
        "passing": _passing_text(rule.get("categories") or ()),
        "selection_mode": output.get("selection_mode") or "single",
        **{name: model.get(name) or "" for name in ("provider", "model", "provider_key_id")},
        "strategy": _json_text(model["strategy"]) if model.get("strategy") else "",
        "budget_usd": _number_text(budget.get("usd")),
        "budget_tokens": _number_text(budget.get("tokens")),
        "budget_period": budget.get("period") or "day",
        "sampling_cohort": raw.get("sampling_cohort") or "shared",
        "cache_verdicts": raw.get("cache_verdicts", True),
        "sets": [] if as_json else [_set_fields(each) for each in conditions or ()],
        "without_sets": "nothing" if conditions == [] else "everything",
        "json": _json_text(conditions),
        "as_json": as_json,
    }


def typed_fields(field: Field) -> dict[str, Any]:
    """Return what the form shows of fields as they were sent, from which no definition can be read."""
    shown = {
        name: field(name, "") == "on" if isinstance(empty, bool) else field(name, empty)
        for name, empty in fields_of({}).items()
        if name != "sets"
    }
    as_json = field("use_json", "") == "on"
    sets = [] if as_json else [each for place in range(MAX_SETS) if (each := _typed_set(field, place))["id"]]
    return {**shown, "json": field("conditions_json", ""), "as_json": as_json, "sets": sets}


def _typed_set(field: Field, place: int) -> dict[str, Any]:
    names = ("key", "operator", "type", "value", "was")
    rows = [{name: field(f"filter-{place}-{at}-{name}", "") for name in names} for at in range(MAX_FILTERS)]
    return {
        "id": field(f"set-{place}-id", ""),
        "rollout": field(f"set-{place}-rollout", ""),
        "filters": [row for row in rows if row["key"]],
    }


class _Form:
    """The fields of a form beside those that it was made with."""

    def __init__(self, field: Field, made_with: Raw) -> None:
        self._field = field
        self._made_with = made_with

    def text(self, name: str) -> str:
        """Return a field with the line ends that it has in definitions."""
        return _plain(self._field(name, self._made_with.get(name, "")))

    def ticked(self, name: str) -> bool:
        """Return whether a box is ticked."""
        return self._field(name, "") == "on"

    def same(self, *names: str) -> bool:
        """Return whether nobody changed these fields. A browser changes the ends of lines by itself."""
        return all(_line(self.text(name)) == _line(self._made_with[name]) for name in names)

    def kept(self, name: str, value: Any) -> Any:
        """Return `value` if nobody changed the field that shows it, otherwise the field."""
        return value if value is not None and self.same(name) else self.text(name)


def _plain(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _line(text: str) -> str:
    return _plain(text).replace("\n", "")


def _json_text(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _json(text: str, what: str, attr: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"{what} must be JSON: {error}", attr=attr) from error


def _set_fields(raw: Raw) -> dict[str, Any]:
    filters = [
        {
            "key": each.get("key", ""),
            "operator": each.get("operator", "exact"),
            "type": each.get("type", "event"),
            "value": _value_text(each.get("value")),
            "was": json.dumps([each.get("operator", "exact"), each.get("value")]),
        }
        for each in raw.get("properties") or ()
    ]
    return {"id": raw.get("id", ""), "rollout": _number_text(raw.get("rollout_percentage", 100)), "filters": filters}


def _fit_rows(sets: Any) -> bool:
    """Return whether condition sets can be shown as rows of fields without a loss."""
    return (
        _all_objects(sets)
        and len(sets) <= MAX_SETS
        and all(map(_fits_rows, sets))
        and sum(len(each.get("properties") or ()) for each in sets) <= MAX_ROWS
    )


def _all_objects(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(each, Mapping) for each in value)


def _fits_rows(raw: Raw) -> bool:
    filters = raw.get("properties") or ()
    if not _all_objects(filters) or len(filters) >= MAX_FILTERS or not raw.get("id"):
        return False
    if any("values" in each or each.get("group_type_index") is not None for each in filters):
        return False
    keys = [each.get("key") for each in filters]
    texts = [raw["id"], *keys, *(_value_text(each.get("value")) for each in filters)]
    # A field of one line takes no other.
    return all(isinstance(text, str) and text == _line(text) for text in texts) and keys == [
        key.strip() for key in keys
    ]


def _conditions(field: Field) -> list[dict[str, Any]] | None:
    """Return the condition sets of the rows. Without a set, None means every generation and an empty list none."""
    sets = []
    for place in range(MAX_SETS):
        name = field(f"set-{place}-id", "")
        if not name or field(f"set-{place}-remove", "") == "on":
            continue
        rollout = _number(field(f"set-{place}-rollout", "100"), f"Rollout of the set {name}")
        filters = [found for at in range(MAX_FILTERS) if (found := _filter(field, f"filter-{place}-{at}"))]
        sets.append({"id": name, "rollout_percentage": 100.0 if rollout is None else rollout, "properties": filters})
    if sets:
        return sets
    return [] if field("without_sets", "") == "nothing" else None


def _filter(field: Field, prefix: str) -> dict[str, Any] | None:
    key = field(f"{prefix}-key", "").strip()
    if not key or field(f"{prefix}-remove", "") == "on":
        return None
    operator, kind = field(f"{prefix}-operator", "exact"), field(f"{prefix}-type", "event")
    value = _value(field(f"{prefix}-value", ""), operator, field(f"{prefix}-was", ""))
    value = None if kind == "hogql" and value == "" else value
    return {"key": key, "operator": operator, "value": value, "type": kind, "group_type_index": None}


def _value(text: str, operator: str, was: str) -> Any:
    """Return the value of a filter.

    A value that nobody changed keeps its type. A text stays a text, also if digits are typed in its place. Otherwise
    lists, numbers and booleans are read as JSON, and anything else is a text.

    Args:
        was: the JSON of the operator and the value that the form was made with; empty for a new filter.
    """
    before = _json(was, "The former value of a filter", "conditions") if was else None
    former, value = before if isinstance(before, list) and len(before) == 2 else (None, None)
    if operator == former and text == _value_text(value):
        return value
    if operator in VALUELESS:
        return None
    found = _typed(text, keeps_text=isinstance(value, str) and bool(value))
    if operator in LISTS and not isinstance(found, list):
        return [part.strip() for part in text.split(",")]
    return found


def _typed(text: str, *, keeps_text: bool) -> Any:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if isinstance(found, list) or (isinstance(found, bool | int | float) and not keeps_text):
        return found
    return text


def _value_text(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _json_conditions(field: Field) -> Any:
    return _json(field("conditions_json", "null"), "The conditions", "conditions")


def _output(kind: str, form: _Form, stored: Raw) -> dict[str, Any]:
    """Return the options of an output type. `stored`: those that the form was made with, if they are of this type."""
    if kind == "boolean":
        return {"true_is_failure": form.ticked("true_is_failure")}
    if kind == "numeric":
        numbers = {name: _number(form.text(name), name) for name in ("min", "max", "step")}
        return {**numbers, "passing_rule": _passing_score(form)}
    options = stored.get("options")
    categories = _read_passing(form.text("passing"))
    return {
        "options": options if options and form.same("options") else _read_options(form.text("options")),
        "selection_mode": form.text("selection_mode"),
        "passing_rule": {"categories": categories} if categories else None,
    }


def _passing_score(form: _Form) -> dict[str, Any] | None:
    operator = form.text("rule_operator")
    if not operator:
        return None
    threshold = _number(form.text("rule_threshold"), "The passing score")
    if threshold is None:
        raise Invalid("Give the passing score, or choose no rule.", attr="output_config__passing_rule")
    return {"operator": operator, "threshold": threshold}


def _options_text(options: Any) -> str:
    """Return options as lines of key = label; as JSON if lines cannot hold them."""
    if _all_objects(options):
        lines = "\n".join(f"{each.get('key')} = {each.get('label')}" for each in options)
        if not lines.startswith("[") and _read_options(lines) == [dict(each) for each in options]:
            return lines
    return json.dumps(options, ensure_ascii=False)


def _read_options(text: str) -> Any:
    if text.lstrip().startswith("["):
        return _json(text, "Categories that begin with [", "output_config__options")
    lines = [line.partition("=") for line in text.splitlines() if line.strip()]
    return [{"key": key.strip(), "label": (label or key).strip()} for key, _, label in lines]


def _passing_text(categories: Sequence[str]) -> str:
    """Return keys with commas between; as JSON if that cannot hold them."""
    text = ", ".join(map(str, categories))
    plain = not text.startswith("[") and text == _line(text) and _read_passing(text) == list(categories)
    return text if plain else json.dumps(categories, ensure_ascii=False)


def _read_passing(text: str) -> Any:
    if text.lstrip().startswith("["):
        return _json(text, "Passing categories that begin with [", "output_config__passing_rule")
    return [part.strip() for part in text.split(",") if part.strip()]


def _model(form: _Form, stored: Raw | None) -> dict[str, Any] | None:
    """Return the model configuration. The first model of a strategy gives provider, model and key if nobody does."""
    given = {name: form.text(name) for name in ("provider", "model", "provider_key_id") if form.text(name)}
    if form.text("strategy").strip():
        if stored is not None:
            given = {name: text for name, text in given.items() if not form.same(name)}
        strategy = _json(form.text("strategy"), "The strategy", "model_configuration__strategy")
        return {"strategy": strategy, **given}
    return {"model": "", **given} if "provider" in given else None


def _budget(form: _Form) -> dict[str, Any] | None:
    usd = _number(form.text("budget_usd"), "The budget in USD")
    tokens = _number(form.text("budget_tokens"), "The budget in tokens")
    if usd is None and tokens is None:
        return None
    whole = int(tokens) if tokens is not None and tokens.is_integer() else tokens
    return {"usd": usd, "tokens": whole, "period": form.text("budget_period")}


def _number(text: str, what: str) -> float | None:
    if not text.strip():
        return None
    try:
        return float(text)
    except ValueError as error:
        raise Invalid(f"{what} must be a number, and {text[:40]!r} is not one.") from error


def _number_text(value: Any) -> str:
    """Return a number so that `_number` reads the same one."""
    if value is None:
        return ""
    return repr(value).removesuffix(".0")
