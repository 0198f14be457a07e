"""Starts measurements and comparisons, for routes, console and command line alike."""

from __future__ import annotations

from api.schemas import measurements as bodies
from api.services.resources import Services
from api.services.trust import anchors, canaries, measurements
from api.services.versions import version_of
from config.definitions import Evaluation
from storage.sql.api_keys import ApiKey
from storage.sql.measurements import MeasurementKind, MeasurementRun

COMPARISONS: tuple[MeasurementKind, ...] = ("comparison",)
RUNS: tuple[MeasurementKind, ...] = ("measure", "consistency", "canaries", "anchors")
"""Kinds of measurements of one version."""


def start_run(
    services: Services, caller: ApiKey, evaluation: Evaluation, body: bodies.MeasurementRunCreate
) -> MeasurementRun | bodies.Cost:
    """Start a measurement of one version, or return its cost if `body` has `dry_run`.

    Raises:
        Invalid: there is nothing to judge.
        Conflict: a run of the anchors is under way.
    """
    if body.kind == "anchors":
        if not body.dry_run:
            return anchors.run_now(services, caller, evaluation)
        plan = anchors.plan_of(services, evaluation, anchors.schedule_to_run(services, evaluation), 1)
    elif body.kind == "canaries":
        plan = canaries.plan_canaries(services, evaluation, version_of(services, evaluation, body.version), body)
    else:
        plan = measurements.plan_run(services, evaluation, version_of(services, evaluation, body.version), body)
    if body.dry_run:
        return measurements.cost_of(services, evaluation, plan)
    return measurements.start(services, caller, evaluation, plan)


def start_comparison(
    services: Services, caller: ApiKey, evaluation: Evaluation, body: bodies.ComparisonCreate
) -> MeasurementRun | bodies.Cost:
    """Start a comparison of two versions, or return its cost if `body` has `dry_run`.

    Raises:
        Invalid: the versions cannot be compared, or there is nothing to judge.
    """
    a = version_of(services, evaluation, body.version_a, attr="version_a")
    b = version_of(services, evaluation, body.version_b, attr="version_b")
    plan = measurements.plan_comparison(services, evaluation, a, b, body)
    if body.dry_run:
        return measurements.cost_of(services, evaluation, plan)
    return measurements.start(services, caller, evaluation, plan)
