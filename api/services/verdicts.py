"""How verdicts read under a definition, and why an evaluation ran on an event or did not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clickhouse_connect.driver.client import Client

from api.http.errors import Invalid, NotFound
from api.schemas.actions import ResultShown, Why
from api.services.results import shown
from conditions import RowError, Target, explain
from conditions.interpreter import FilterTrace, GroupTrace
from conditions.row import EventRow
from config.definitions import Evaluation
from config.outputs import OUTPUT_CONFIGS, BooleanOutput, OutputConfig
from evaluators.hog import compile_expression
from storage.clickhouse.query import PassRule
from storage.clickhouse.results import ResultSelection, find_results
from storage.clickhouse.rows import GENERATION, find_row


def why(client: Client, evaluation: Evaluation, event: str, *, readable: bool) -> Why:
    """Explain for one event: each set, each filter, its rollout number, and the results.

    Args:
        readable: as of `explained`.

    Raises:
        NotFound: the archive has no such generation of the team.
        Invalid: the event cannot be matched.
    """
    row = find_row(client, evaluation.team_id, event, event=GENERATION)
    if row is None:
        raise NotFound("There is no $ai_generation event with this uuid in the archive.")
    selection = ResultSelection(evaluation.team_id, evaluation_id=evaluation.id, target_event_id=event)
    results = [shown(each) for each in find_results(client, selection, pass_rule(evaluation))]
    return explained(evaluation, row, results, readable=readable)


def explained(evaluation: Evaluation, row: EventRow, results: list[ResultShown], *, readable: bool) -> Why:
    """Return the explanation for one event that was read, with its results. Raises `Invalid`.

    Args:
        readable: whether the caller may read events (`event_access`). Otherwise he learns which filters hold, and
            neither the event's values nor the texts of errors, which can quote them.
    """
    try:
        explanation = explain(target(evaluation), row, compile_expression=compile_expression)
    except RowError as error:
        raise Invalid(f"The event cannot be matched: {error}", attr="event") from error
    return Why(
        event_uuid=row.uuid,
        evaluation_id=evaluation.id,
        outcome=explanation.outcome,
        condition_id=explanation.condition_id,
        rollout=explanation.rollout,
        values_shown=readable,
        sets=[
            {
                "id": each.id,
                "rollout_percentage": each.rollout_percentage,
                "sampled_in": each.sampled_in,
                "filters": each.filters,
                "members": [_member(member, readable=readable) for member in each.members],
            }
            for each in explanation.sets
        ],
        results=results,
    )


def target(evaluation: Evaluation) -> Target:
    """Return what the matcher decides about, as it runs live."""
    return Target(
        id=evaluation.id,
        conditions=evaluation.conditions,
        enabled=evaluation.enabled and not evaluation.deleted,
        cohort=evaluation.sampling_cohort,
    )


def pass_rule(evaluation: Evaluation) -> PassRule:
    """Return how results of `evaluation` are read: its polarity, or its passing rule."""
    return PassRule.of(evaluation.output_config)


def stored_rule(output_type: str, output_config: Mapping[str, Any]) -> PassRule:
    """Return how results are read of an evaluation whose output is as it was stored."""
    if output_type == "boolean":  # most are, and nothing has to be validated for them
        return PassRule(true_is_failure=bool(output_config.get("true_is_failure")))
    return PassRule.of(OUTPUT_CONFIGS[output_type].model_validate(output_config))


def passing_means(output: OutputConfig) -> str:
    """Return in words which verdicts pass, for the text beside every rate."""
    rule = PassRule.of(output)
    if isinstance(output, BooleanOutput):
        return "false passes, because true means a failure" if output.true_is_failure else "true passes"
    if rule.operator is not None:
        return f"a score of {rule.threshold:g} or {'more' if rule.operator == 'gte' else 'less'} passes"
    if rule.categories is not None:
        return f"{', '.join(rule.categories)} pass" if len(rule.categories) > 1 else f"{rule.categories[0]} passes"
    return "there is no passing rule, so nothing passes or fails"


def _member(trace: FilterTrace | GroupTrace, *, readable: bool) -> dict[str, Any]:
    if isinstance(trace, GroupTrace):
        return {
            "type": trace.type,
            "members": [_member(member, readable=readable) for member in trace.members],
            "outcome": trace.outcome,
        }
    return {
        "filter": trace.filter.model_dump(mode="json"),
        "value": trace.value if readable else None,
        "outcome": trace.outcome,
        "error": trace.error if readable else None,
    }
