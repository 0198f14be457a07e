"""Which fields of a body are read: those that are known here, whatever else PostHog's clients and exports hold.

A field that changes nothing here is ignored. A field that would change which events are judged is refused with the
reason, because ignoring it would judge something else than its author meant. Any other unknown field is refused with
`?strict=1` and ignored without.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from api.http.bodies import MAX_DEPTH
from api.http.errors import Invalid
from api.http.strictness import is_strict
from conditions import ConditionSet
from conditions.model import Filter, FilterGroup
from config.definitions import Budget, ModelConfiguration, PromptConfig, SourceConfig
from config.outputs import BooleanOutput, CategoricalOutput, NumericOutput

_MEANS_NOTHING_HERE = frozenset(
    {
        "bytecode", "bytecode_error", "label", "negation", "provider_key_name", "target_config", "team", "team_id",
        "user_access_level",
    }
)  # fmt: skip
"""Fields of PostHog's exports that change nothing here."""

_GENERATION = (None, "generation", "$ai_generation")


def known_fields(raw: Mapping[str, Any], known: Collection[str], path: str = "") -> dict[str, Any]:
    """Return the fields of `raw` that are `known`.

    Args:
        path: of `raw` within the body, as `attr` names it; empty for the body itself.

    Raises:
        Invalid: strictness is asked for, and a field is neither known nor one that means nothing here.
    """
    if is_strict():
        for name in raw:
            if name not in known and name not in _MEANS_NOTHING_HERE:
                attr = f"{path}__{name}" if path else name
                detail = "This field is not known here; see /api/docs for what is, or leave out strict=1."
                raise Invalid(detail, code="unknown_field", attr=attr)
    return {name: value for name, value in raw.items() if name in known}


def definition_parts(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of an evaluation with the known fields of each part.

    Raises:
        Invalid: see `known_fields`, or a part would change which events are judged in a way that is not supported.
    """
    found = dict(raw)
    for name, known in _PARTS.items():
        if isinstance(found.get(name), Mapping):
            found[name] = known_fields(found[name], known, name)
    if "conditions" in found:
        found["conditions"] = condition_sets(found["conditions"])
    return found


def check_target(raw: Mapping[str, Any]) -> None:
    """Refuse a definition that judges something else than generations. Raises `Invalid` on `target`."""
    if raw.get("target") not in _GENERATION:
        detail = "Gavel judges single generations, and nothing else; set target to generation, or leave it out."
        raise Invalid(detail, code="not_supported", attr="target")


def condition_sets(raw: Any) -> Any:
    """Return condition sets with the known fields of each set and filter. Other values are unchanged."""
    if not isinstance(raw, list):
        return raw
    return [_set(each) if isinstance(each, Mapping) else each for each in raw]


def filters(raw: Any, attr: str) -> Any:
    """Return filters, which are in the field `attr`, with their known fields. Other values are unchanged."""
    if not isinstance(raw, list):
        return raw
    return [_filter(each, attr, 0) if isinstance(each, Mapping) else each for each in raw]


def _set(raw: Mapping[str, Any]) -> dict[str, Any]:
    found = known_fields(raw, ConditionSet.model_fields, "conditions")
    if "properties" in found:
        found["properties"] = filters(found["properties"], "conditions")
    return found


def _filter(raw: Mapping[str, Any], attr: str, depth: int) -> Mapping[str, Any]:
    if depth >= MAX_DEPTH:
        return raw
    if raw.get("negation"):
        detail = "A negated filter would select other events here; use the operator that says the opposite."
        raise Invalid(detail, code="not_supported", attr=attr)
    if "values" in raw or raw.get("type") in ("AND", "OR"):
        found = known_fields(raw, FilterGroup.model_fields, attr)
        if isinstance(found.get("values"), list):
            found["values"] = [_filter(v, attr, depth + 1) if isinstance(v, Mapping) else v for v in found["values"]]
        return found
    return known_fields(raw, Filter.model_fields, attr)


_PARTS: Mapping[str, frozenset[str]] = {
    "evaluation_config": frozenset({*PromptConfig.model_fields, *SourceConfig.model_fields}),
    "output_config": frozenset(
        {*BooleanOutput.model_fields, *NumericOutput.model_fields, *CategoricalOutput.model_fields}
    ),
    "model_configuration": frozenset(ModelConfiguration.model_fields),
    "budget": frozenset(Budget.model_fields),
}
"""Parts of a definition → the fields of all their kinds. A field of another kind is refused with the definition."""
