"""Warns somebody who enables or reads a judge that nobody has measured, or that does not agree with people."""

from __future__ import annotations

from api.http.errors import ApiError
from api.schemas.trust import Agreement, EnablingWarning
from api.services.resources import Services
from api.services.trust import report
from api.services.trust.canaries import warnings_of
from api.services.trust.measurements import newest_run
from api.services.trust.outcomes import agreement_with_golden
from api.services.versions import Version, version_of
from config.definitions import Evaluation
from quality.minimums import PAIRS
from storage.clickhouse.measurements import results_of_run

TEXTS: dict[EnablingWarning, str] = {
    "labels_missing": "fewer than 20 labels say whether this version is right; label results, or measure it with a "
    "golden set",
    "agreement_low": "this version agrees with people only poorly or fairly; improve the criteria or the model before "
    "you rely on it",
    "criteria_unclear": "more than a fifth of the items are unsure or tied; the criteria are unclear",
    "canaries_missing": "nobody has tried attacks on this version; run gavel trust canaries",
    "spoofed": "an attack made this version pass a text that must fail; see gavel trust canaries",
}
"""Each warning in words, for people."""
_LOW = ("poor", "fair")


def warnings_on_enabling(services: Services, before: Evaluation | None, after: Evaluation) -> list[EnablingWarning]:
    """Return the reasons not to rely yet on a judge that begins to judge. None of them is a reason to refuse.

    Code is not warned of, and neither is a change that leaves an enabled judge as it was. A figure that cannot be had,
    because ClickHouse or the extra `quality` is away, costs its warning and not the change.

    Args:
        before: the evaluation before the change; None for a new one.
    """
    if not after.enabled or after.prompt is None:
        return []
    if before is not None and before.enabled and before.fingerprint == after.fingerprint:
        return []
    version = version_of(services, after, None)
    if before is None:  # nobody can have measured it
        return ["labels_missing", *warnings_of(version, None)]
    try:
        shown = report.trust(services, after)
        agreement = _measured(services, after, version, shown.agreement)
    except ApiError:
        return []
    if agreement is None:
        return ["labels_missing", *shown.warnings]
    table = agreement.pass_fail or agreement.classes
    low = table is not None and table.word in _LOW
    return ["agreement_low", *shown.warnings] if low else [*shown.warnings]


def _measured(services: Services, evaluation: Evaluation, version: Version, live: Agreement) -> Agreement | None:
    """Return the agreement on live results, or that with a golden set, or None: there are too few labels."""
    if live.pairs >= PAIRS:
        return live
    run = newest_run(services, evaluation, "measure", version.number)
    if run is None:
        return None
    with services.archive.client() as client:
        results = results_of_run(client, run.team_id, evaluation.id, run.id)
    golden = agreement_with_golden(services, run, version, results)
    return golden if golden.pairs >= PAIRS else None
