"""Everything that `evaluations/{id}/trust/` says of one version of a judge."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID

from api.http.errors import Invalid
from api.schemas import trust as bodies
from api.schemas.anchors import DriftShown
from api.schemas.labellers import Between
from api.services.resources import Services
from api.services.trust import canaries, pairs
from api.services.trust.agreement import OUTPUT_LENGTH, agreement_of
from api.services.trust.anchors import drift_shown
from api.services.trust.correction import corrected_mean, corrected_rate, has_mean
from api.services.trust.extra import extra_needed
from api.services.trust.measurements import newest_run
from api.services.trust.outcomes import consistency_of
from api.services.versions import Version, version_of
from config.definitions import Evaluation
from quality.consensus import BetweenLabellers, criteria_unclear
from quality.extra import ExtraMissing
from storage.clickhouse.measurements import results_of_run
from storage.clickhouse.query import PassRule
from storage.clickhouse.verdicts import SLICES, Text, WindowOf, count_window, sample_scores, texts_of
from storage.sql.evaluations import Evaluations

DEFAULT_WINDOW = timedelta(days=30)
FREE_SLICES = (*SLICES, OUTPUT_LENGTH)
"""Slices that show no property of events."""
_SCORES = 20_000
"""Scores of a window that enter a corrected mean; more make its interval no shorter."""


def trust(
    services: Services, evaluation: Evaluation, *, version: int | None = None, start: datetime | None = None,
    end: datetime | None = None, sliced_by: str | None = None,
) -> bodies.Trust:  # fmt: skip
    """Return how far one version of the judge can be believed over a window.

    Args:
        version: the present one if None.
        start, end: of the window; the last 30 days if None.

    Raises:
        Invalid: the evaluation lacks that version, or the window does not start before its end.
        Unavailable: ClickHouse does not answer, or a package of the extra `quality` is not installed.
    """
    now = services.now()
    before = end or now
    after = start or before - DEFAULT_WINDOW
    if after >= before:
        raise Invalid("window_start must be before window_end.", attr="window_start")
    chosen = version_of(services, evaluation, version)
    rule = PassRule.of(chosen.output)
    with services.archive.client() as client, extra_needed():
        column = sliced_by if sliced_by in SLICES else ""
        labelled = pairs.load(services, client, evaluation, chosen, (after, before), sliced_by=column)
        window = WindowOf(evaluation.team_id, evaluation.id, chosen.fingerprint, after, before)
        counts = count_window(client, window, rule)
        texts: Mapping[str, Text] = {}
        if sliced_by is not None and not column:
            # The archive is read only when it is asked for, because labelled events lie all over it.
            targets = [pair.target_event_id for pair in labelled.pairs]
            texts = texts_of(client, evaluation.team_id, targets, sliced_by)
        if has_mean(chosen.output):
            corrected = corrected_mean(labelled, sample_scores(client, window, _SCORES))
        else:
            corrected = corrected_rate(labelled, counts)
        agreement = agreement_of(labelled, chosen.output, counts, texts, sliced_by)
    attacks = canaries.newest_canaries(services, evaluation, chosen.number)
    unclear: list[bodies.TrustWarning] = ["criteria_unclear"] if criteria_unclear(labelled.consensuses) else []
    return bodies.Trust(
        evaluation=UUID(evaluation.id),
        version=chosen.number,
        fingerprint=chosen.fingerprint,
        question=chosen.question,
        window_start=after,
        window_end=before,
        computed_at=now,
        labels=labelled.labels,
        between_labellers=_between(labelled.between),
        warnings=[*unclear, *canaries.warnings_of(chosen, attacks)],
        agreement=agreement,
        corrected=corrected,
        canaries=attacks,
        drift=_drift(services, evaluation, chosen),
        consistency=_consistency(services, evaluation, chosen),
    )


def corrected_of(
    services: Services, evaluation: Evaluation, *, fingerprint: str | None, after: datetime | None,
    before: datetime | None,
) -> bodies.CorrectedRate | None:  # fmt: skip
    """Return the corrected figure beside a summary of results, or None: nobody labelled, or several versions are mixed.

    A package that is not installed costs the figure and not the summary.
    """
    version = _version_by(services, evaluation, fingerprint)
    if version is None or not pairs.has_labels(services, evaluation, version.question):
        return None
    end = before or services.now()
    start = after or datetime.fromtimestamp(0, tz=end.tzinfo)
    window = WindowOf(evaluation.team_id, evaluation.id, version.fingerprint, start, end)
    with services.archive.client() as client:
        labelled = pairs.load(services, client, evaluation, version, (start, end))
        try:
            if has_mean(version.output):
                return corrected_mean(labelled, sample_scores(client, window, _SCORES))
            return corrected_rate(labelled, count_window(client, window, PassRule.of(version.output)))
        except ExtraMissing:
            return None


def _version_by(services: Services, evaluation: Evaluation, fingerprint: str | None) -> Version | None:
    if fingerprint is None or fingerprint == evaluation.fingerprint:
        return version_of(services, evaluation, None)
    known = Evaluations(services.database).versions(evaluation.team_id, evaluation.id)
    number = next((each.version for each in known if each.fingerprint == fingerprint), None)
    return None if number is None else version_of(services, evaluation, number)


def _drift(services: Services, evaluation: Evaluation, version: Version) -> DriftShown | None:
    """Return who moved, or None: the version has no anchors."""
    shown = drift_shown(services, evaluation)
    return shown if shown.version == version.number else None


def _consistency(services: Services, evaluation: Evaluation, version: Version) -> bodies.LatestConsistency | None:
    """Return the newest consistency run of the version, or None."""
    run = newest_run(services, evaluation, "consistency", version.number)
    if run is None or run.finished_at is None:
        return None
    with services.archive.client() as client:
        found = consistency_of(results_of_run(client, run.team_id, evaluation.id, run.id))
    return bodies.LatestConsistency(
        **dict(found), run=UUID(run.id), version=version.number, repeats=run.repeats, finished_at=run.finished_at
    )


def _between(found: BetweenLabellers) -> bodies.BetweenLabellersShown:
    return bodies.BetweenLabellersShown(
        items=found.items,
        alpha=found.alpha,
        labellers=Between.of(found),
    )
