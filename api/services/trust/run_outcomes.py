"""The passes and fails of each version of a measurement, as lists of runs show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from api.schemas.measurements import MeasurementStanding
from api.services.resources import Services
from api.services.team_outlines import PLAIN_RULE
from quality.intervals import wilson
from storage.clickhouse.measurements import count_outcomes
from storage.clickhouse.query import PassRule


@dataclass(slots=True)
class VersionOutcome:
    """The counts of the verdicts of one version of a run, under the present rule of the evaluation.

    Attributes:
        scored: verdicts that no passing rule decides.
    """

    version: int
    passed: int = 0
    failed: int = 0
    scored: int = 0
    not_applicable: int = 0
    skipped: int = 0

    @property
    def pass_rate(self) -> float | None:
        """The share of passes among passes and fails; None without any."""
        return self.passed / (self.passed + self.failed) if self.passed + self.failed else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The Wilson interval (95 %) of the pass rate."""
        return wilson(self.passed, self.passed + self.failed)


def outcomes_of(
    services: Services, team_id: int, runs: Sequence[MeasurementStanding], rules: Mapping[str, PassRule]
) -> dict[str, list[VersionOutcome]]:
    """Return the outcomes of runs by their ids, one for each version that has results.

    Args:
        rules: of evaluations whose results read otherwise than "true passes", by id.

    Raises:
        ArchiveAway: ClickHouse does not answer.
    """
    evaluations = {str(each.id): str(each.evaluation) for each in runs}
    if not evaluations:
        return {}
    with services.archive.client() as client:
        counted = count_outcomes(client, team_id, sorted(set(evaluations.values())), list(evaluations))
    found: dict[tuple[str, int], VersionOutcome] = {}
    for each in counted:
        sums = found.setdefault((each.run_id, each.version), VersionOutcome(each.version))
        rule = rules.get(evaluations[each.run_id], PLAIN_RULE)
        passes = rule.reads(each.outcome, each.result_type, each.score, each.categories)
        if passes is None:
            name = each.outcome if each.outcome in ("skipped", "not_applicable") else "scored"
        else:
            name = "passed" if passes else "failed"
        setattr(sums, name, getattr(sums, name) + each.results)
    by_run: dict[str, list[VersionOutcome]] = {}
    for (run_id, _), sums in sorted(found.items()):
        by_run.setdefault(run_id, []).append(sums)
    return by_run
