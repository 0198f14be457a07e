"""Between the editor's form and a definition: form rows become condition sets, and a definition becomes form fields."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from api.http.errors import Invalid

MAX_SETS, MAX_FILTERS = 50, 40
_NO_VALUE = ("is_set", "is_not_set")
_LISTED = ("in", "not_in", "icontains_multi", "not_icontains_multi")
Field = Callable[[str, str], str]


def draft_of(field: Field) -> dict[str, Any]:
    """Return the definition that a form describes, as JSON values. Raises `Invalid` for JSON that is none."""
    kind = field("evaluation_type", "hog")
    raw: dict[str, Any] = {
        "name": field("name", ""),
        "description": field("description", ""),
        "evaluation_type": kind,
        "evaluation_config": {"source" if kind == "hog" else "prompt": field("code", "").replace("\r\n", "\n")},
        "output_type": "boolean" if kind == "hog" else field("output_type", "boolean"),
        "sampling_cohort": field("sampling_cohort", "shared"),
        "cache_verdicts": field("cache_verdicts", "") == "on",
    }
    raw["output_config"] = _output(raw["output_type"], field)
    if kind == "llm_judge" and field("provider", ""):
        key = field("provider_key_id", "")
        raw["model_configuration"] = {"provider": field("provider", ""), "model": field("model", "")}
        raw["model_configuration"] |= {"provider_key_id": key} if key else {}
    else:
        raw["model_configuration"] = None
    raw["budget"] = _budget(field) if kind == "llm_judge" else None
    raw["conditions"] = _json_conditions(field) if field("use_json", "") == "on" else _conditions(field)
    return raw


def fields_of(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the form shows of a definition."""
    config, output = raw.get("evaluation_config") or {}, raw.get("output_config") or {}
    rule, model, budget = (
        output.get("passing_rule") or {},
        raw.get("model_configuration") or {},
        raw.get("budget") or {},
    )
    conditions = raw.get("conditions")
    return {
        **{name: raw.get(name, "") for name in ("name", "description", "evaluation_type", "output_type")},
        "code": config.get("source") or config.get("prompt") or "",
        "allows_na": bool(output.get("allows_na")),
        "true_is_failure": bool(output.get("true_is_failure")),
        **{name: _number_text(output.get(name)) for name in ("min", "max", "step")},
        "rule_operator": rule.get("operator") or "",
        "rule_threshold": _number_text(rule.get("threshold")),
        "options": "\n".join(f"{each['key']} = {each['label']}" for each in output.get("options") or ()),
        "passing": ", ".join(rule.get("categories") or ()),
        "selection_mode": output.get("selection_mode") or "single",
        **{name: model.get(name) or "" for name in ("provider", "model", "provider_key_id")},
        "budget_usd": _number_text(budget.get("usd")),
        "budget_period": budget.get("period") or "day",
        "sampling_cohort": raw.get("sampling_cohort") or "shared",
        "cache_verdicts": raw.get("cache_verdicts", True),
        "sets": [_set_fields(each) for each in conditions or ()],
        "json": json.dumps(conditions, indent=2, ensure_ascii=False),
        "as_json": not all(map(_has_rows, conditions or ())),
    }


def _set_fields(raw: Mapping[str, Any]) -> dict[str, Any]:
    filters = [
        {
            "key": each.get("key", ""),
            "operator": each.get("operator", "exact"),
            "type": each.get("type", "event"),
            "value": _value_text(each.get("value")),
        }
        for each in raw.get("properties") or ()
    ]
    return {"id": raw.get("id", ""), "rollout": _number_text(raw.get("rollout_percentage", 100)), "filters": filters}


def _has_rows(raw: Mapping[str, Any]) -> bool:
    """Return whether a condition set can be shown as rows: no groups in it."""
    return all("values" not in each and each.get("group_type_index") is None for each in raw.get("properties") or ())


def _conditions(field: Field) -> list[dict[str, Any]] | None:
    """Return the condition sets of the rows; None, which means every generation, if there is no set."""
    sets = []
    for place in range(MAX_SETS):
        name = field(f"set-{place}-id", "")
        if not name or field(f"set-{place}-remove", "") == "on":
            continue
        rollout = _number(field(f"set-{place}-rollout", "100"), f"Rollout of the set {name}")
        filters = [found for at in range(MAX_FILTERS) if (found := _filter(field, f"filter-{place}-{at}"))]
        sets.append({"id": name, "rollout_percentage": 100.0 if rollout is None else rollout, "properties": filters})
    return sets or None


def _filter(field: Field, prefix: str) -> dict[str, Any] | None:
    key = field(f"{prefix}-key", "").strip()
    if not key or field(f"{prefix}-remove", "") == "on":
        return None
    operator, kind = field(f"{prefix}-operator", "exact"), field(f"{prefix}-type", "event")
    if kind == "hogql":
        return {"key": key, "type": kind}
    value = None if operator in _NO_VALUE else _value(field(f"{prefix}-value", ""), operator)
    return {"key": key, "operator": operator, "type": kind, "value": value}


def _value(text: str, operator: str) -> Any:
    """Return a value as it is meant: JSON lists, numbers and booleans are read as such, anything else is a text."""
    try:
        found = json.loads(text)
    except ValueError:
        found = text
    if operator in _LISTED and not isinstance(found, list):
        return [part.strip() for part in text.split(",")]
    return found if isinstance(found, list | int | float | bool) else text


def _value_text(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _json_conditions(field: Field) -> Any:
    try:
        return json.loads(field("conditions_json", "null"))
    except (ValueError, RecursionError) as error:
        raise Invalid(f"The conditions are not JSON: {error}", attr="conditions") from error


def _output(kind: str, field: Field) -> dict[str, Any]:
    found: dict[str, Any] = {"allows_na": field("allows_na", "") == "on"}
    if kind == "boolean":
        found["true_is_failure"] = field("true_is_failure", "") == "on"
    elif kind == "numeric":
        found |= {name: _number(field(name, ""), name) for name in ("min", "max", "step")}
        threshold = _number(field("rule_threshold", ""), "The passing score")
        if field("rule_operator", "") and threshold is not None:
            found["passing_rule"] = {"operator": field("rule_operator", ""), "threshold": threshold}
    else:
        lines = [line.partition("=") for line in field("options", "").splitlines() if line.strip()]
        found["options"] = [{"key": key.strip(), "label": (label or key).strip()} for key, _, label in lines]
        found["selection_mode"] = field("selection_mode", "single")
        passing = [part.strip() for part in field("passing", "").split(",") if part.strip()]
        if passing:
            found["passing_rule"] = {"categories": passing}
    return found


def _budget(field: Field) -> dict[str, Any] | None:
    usd = _number(field("budget_usd", ""), "The budget")
    return None if usd is None else {"usd": usd, "period": field("budget_period", "day")}


def _number(text: str, what: str) -> float | None:
    if not text.strip():
        return None
    try:
        return float(text)
    except ValueError as error:
        raise Invalid(f"{what} must be a number, and {text[:40]!r} is not one.") from error


def _number_text(value: Any) -> str:
    return "" if value is None else f"{value:g}"
