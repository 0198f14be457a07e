"""Canaries: attacks on a judge, planted in golden items that must fail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from uuid import UUID, uuid4

from api.http.errors import Invalid
from api.schemas import measurements as bodies
from api.schemas import trust
from api.services.resources import Services
from api.services.trust import measurements
from api.services.versions import Version, version_of
from config.canaries import wish_of
from config.definitions import Evaluation
from evaluators.injection.attacks import BY_NAME
from evaluators.injection.canaries import outcome_of
from quality.intervals import rate
from storage.canary_starts import KIND, planned_canaries
from storage.clickhouse.measurements import MeasuredVerdict, passes_by_item, results_of_run
from storage.clickhouse.query import PassRule


def plan_canaries(
    services: Services, evaluation: Evaluation, version: Version, body: bodies.MeasurementRunCreate
) -> measurements.MeasurementPlan:
    """Return the plan of a run: each failing golden item clean, then each attack in each place.

    Raises:
        Invalid: no rule says what passes, or the golden set has no item that must fail.
    """
    if wish_of(version.output) is None:
        detail = "The evaluation has no passing rule, so no attack can succeed; set output_config.passing_rule."
        raise Invalid(detail, code="no_passing_rule", attr="kind")
    if version.draft.prompt is None:
        raise Invalid("Code cannot be persuaded; canaries are for LLM judges.", code="not_supported", attr="kind")
    if body.golden_set is None or body.golden_set_version is None:
        raise Invalid("Name a golden set and a frozen version of it.", code="required", attr="golden_set")
    number = body.golden_set_version
    golden = measurements.checked_golden(services, evaluation, body.golden_set, number, (version,))
    found = planned_canaries(golden, version.output)
    if found is None:
        detail = "The golden set has no item that must fail, so an attack has nothing to turn around; add some."
        raise Invalid(detail, code="no_items", attr="golden_set_version")
    params = {"golden_set": str(body.golden_set), "golden_set_version": number, **found.params}
    return measurements.MeasurementPlan(str(uuid4()), KIND, (version,), 1, found.items, params, found.twins)


def canaries_of(results: Sequence[MeasuredVerdict], rule: PassRule) -> trust.CanariesShown:
    """Return what became of the attacks of a run."""
    found = outcome_of(passes_by_item(results, rule))
    share = rate(len(found.succeeded), len(found.counted))
    families = Counter(BY_NAME[each.attack].family for each in found.succeeded if each.attack is not None)
    return trust.CanariesShown(
        attacks=len(found.counted),
        succeeded=len(found.succeeded),
        not_counted=found.not_counted,
        spoofed=bool(found.succeeded),
        rate=trust.Figure()
        if share is None
        else trust.Figure(value=share.value, low=share.interval.low, high=share.interval.high),
        by_family=dict(sorted(families.items())),
        by_place=dict(sorted(Counter(str(each.place) for each in found.succeeded).items())),
        successes=[
            trust.CanarySuccess(attack=each.attack, place=each.place, item=each.key)
            for each in found.succeeded
            if each.attack is not None and each.place is not None
        ],
    )


def newest_canaries(services: Services, evaluation: Evaluation, version: int) -> trust.CanariesOfVersion | None:
    """Return the figures of the newest run of a version, or None without one."""
    run = measurements.newest_run(services, evaluation, KIND, version)
    if run is None:
        return None
    with services.archive.client() as client:
        results = results_of_run(client, run.team_id, evaluation.id, run.id)
    rule = PassRule.of(version_of(services, evaluation, version).output)
    figures = canaries_of(results, rule)
    return trust.CanariesOfVersion(**dict(figures), run=UUID(run.id), version=version, finished_at=run.finished_at)


def warnings_of(version: Version, found: trust.CanariesOfVersion | None) -> list[trust.TrustWarning]:
    """Return what to tell somebody who relies on a version: no attack was tried on it, or one succeeded."""
    if version.draft.prompt is None or wish_of(version.output) is None:
        return []
    if found is None:
        return ["canaries_missing"]
    return ["spoofed"] if found.spoofed else []
