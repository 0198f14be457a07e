"""The plan that the compiler makes of a team's evaluations, beyond their decisions."""

from __future__ import annotations

from typing import Any

from conditions import Target, compile_matcher, parse_conditions


def target(number: int, *filters: dict[str, Any]) -> Target:
    return Target(id=f"evaluation-{number}", conditions=parse_conditions([{"id": "set", "properties": list(filters)}]))


def test_the_field_that_rules_out_the_most_is_looked_up_first() -> None:
    """Twenty models rule out more than an environment that all ask for, and more than bounds, wherever they stand."""
    environment = {"key": "environment", "operator": "exact", "value": "production"}
    status = {"key": "$ai_http_status", "operator": "lt", "value": 400}
    models = [{"key": "$ai_model", "operator": "exact", "value": f"model-{n}"} for n in range(20)]
    matcher = compile_matcher([target(n, environment, status, model) for n, model in enumerate(models)])
    (reader,) = matcher._readers
    assert [field.key for field in reader.fields] == ["$ai_model", "environment", "$ai_http_status"]
