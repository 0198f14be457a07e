"""How far a judge can be believed, for evaluation reports: the figures of `evaluations/{id}/trust/`, cut down."""

from __future__ import annotations

from typing import Any

from api.http.errors import Invalid, Unavailable
from api.schemas import trust as bodies
from api.services.resources import Services, open_services
from api.services.trust.correction import has_mean
from api.services.trust.pairs import has_labels
from api.services.trust.report import trust
from api.services.versions import version_of
from config.definitions import Evaluation
from config.settings import Settings
from reports.evaluation_reports.cells import ReportPeriod
from reports.evaluation_reports.generate import FiguresUnavailable
from reports.evaluation_reports.trust import TrustFigures, TrustOf
from storage.sql.engine import Database


def trust_for_reports(settings: Settings, database: Database) -> TrustOf:
    """Return the function that reports ask. It connects to ClickHouse when labels are there, and stays connected."""
    services = open_services(settings, database)

    def of_version(evaluation: Evaluation, number: int, fingerprint: str, period: ReportPeriod) -> TrustFigures | None:
        return _of_version(services, evaluation, number, fingerprint, period)

    return of_version


def _of_version(
    services: Services, evaluation: Evaluation, number: int, fingerprint: str, period: ReportPeriod
) -> TrustFigures | None:
    try:
        version = version_of(services, evaluation, number)
    except Invalid:
        return None  # results from before versions were counted
    if version.fingerprint != fingerprint or not has_labels(services, evaluation, version.question):
        return None
    try:
        found = trust(services, evaluation, version=number, start=period.start, end=period.end)
    except Unavailable as error:
        if error.code == "extra_missing":
            return {"problem": str(error.detail)}
        raise FiguresUnavailable(str(error.detail)) from error
    return _shown(found, is_mean=has_mean(version.output))


def _shown(found: bodies.Trust, *, is_mean: bool) -> TrustFigures:
    agreement = found.agreement
    table = agreement.pass_fail or agreement.classes
    passes = agreement.pass_fail
    corrected = found.corrected
    return {
        "labels": found.labels,
        "pairs": agreement.pairs,
        "agreement": _figure(None if table is None else table.accuracy),
        "passes_found": _figure(None if passes is None else passes.sensitivity),
        "fails_found": _figure(None if passes is None else passes.specificity),
        "chance_corrected": _chance_corrected(table),
        "warnings": list(found.warnings),
        "corrected": None
        if not corrected.judged
        else {
            "kind": "mean" if is_mean else "rate",
            "value": corrected.value,
            "low": corrected.low,
            "high": corrected.high,
            "labels": corrected.labels,
            "refused": corrected.refused,
            "missing": corrected.missing,
        },
    }


def _figure(found: bodies.Figure | None) -> dict[str, Any]:
    return (found or bodies.Figure()).model_dump()


def _chance_corrected(table: bodies.PassFailAgreement | bodies.ClassAgreement | None) -> dict[str, Any] | None:
    """Return the coefficient that the trust page shows first; None with too few labels."""
    if table is None or table.headline is None:
        return None
    figure = table.kappa if table.headline == "kappa" else table.ac1
    return {"name": table.headline, "word": table.word, **_figure(figure)}
