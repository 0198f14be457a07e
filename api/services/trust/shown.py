"""Measurements with their figures, as the API, the console and the command line show them."""

from __future__ import annotations

from api.schemas import measurements as bodies
from api.services.resources import Services
from api.services.trust import canaries, measurements, outcomes
from api.services.versions import version_of
from config.definitions import Evaluation
from storage.clickhouse.measurements import results_of_run
from storage.clickhouse.query import PassRule
from storage.sql.measurements import MeasurementRun


def comparison_shown(services: Services, evaluation: Evaluation, run: MeasurementRun) -> bodies.Comparison:
    """Return a comparison with its outcome so far."""
    items, rule = compared_items(services, evaluation, run)
    outcome = outcomes.outcome_of(services, evaluation, run, rule, items)
    return bodies.Comparison(**dict(comparison_row(services, run)), outcome=outcome)


def measurement_shown(services: Services, evaluation: Evaluation, run: MeasurementRun) -> bodies.Measurement:
    """Return a measurement with its figures so far."""
    with services.archive.client() as client:
        results = results_of_run(client, run.team_id, evaluation.id, run.id)
    version = version_of(services, evaluation, run.versions[0])
    measured = run.kind in ("measure", "anchors")
    return bodies.Measurement(
        **dict(standing_shown(services, run)),
        agreement=outcomes.agreement_with_golden(services, run, version, results) if measured else None,
        consistency=outcomes.consistency_of(results) if run.kind == "consistency" else None,
        canaries=canaries.canaries_of(results, PassRule.of(version.output)) if run.kind == "canaries" else None,
    )


def compared_items(
    services: Services, evaluation: Evaluation, run: MeasurementRun
) -> tuple[list[outcomes.ComparedItem], PassRule]:
    """Return the items of a comparison with the verdicts of both versions, and the rule by which they pass."""
    a, b = (version_of(services, evaluation, number) for number in run.versions)
    return outcomes.compared_items(services, evaluation, run, a, b), PassRule.of(b.output)


def standing_shown(services: Services, run: MeasurementRun) -> bodies.MeasurementStanding:
    """Return a measurement and how far it is."""
    return bodies.MeasurementStanding(**measurements.standing(run, services.owners.of([run.created_by])))


def comparison_row(services: Services, run: MeasurementRun) -> bodies.ComparisonShown:
    """Return a comparison and how far it is, without its outcome."""
    return bodies.ComparisonShown(
        **measurements.standing(run, services.owners.of([run.created_by])),
        version_a=run.versions[0],
        version_b=run.versions[1],
        margin=float(run.params["margin"]),
    )
