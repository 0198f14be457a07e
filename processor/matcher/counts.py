"""The counts of the matcher, as metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from processor.events.result import verdict_label
from processor.metrics import Metrics


def write_counts(counts: Mapping[tuple[str, str], int], metrics: Metrics, role: str, trigger: str) -> None:
    """Add counts to the metrics.

    Args:
        counts: by kind and label, such as `("task", "llm_judge")`; a kind that is none of the others is an outcome.
        trigger: of the runs that were counted.
    """
    for (kind, label), amount in counts.items():
        match kind:
            case "task":
                metrics.count("gavel_tasks", amount, runtime=label, trigger=trigger)
            case "moved":
                metrics.count("gavel_team_budget_exceeded", amount, work=label)
            case "out_of_time":
                metrics.count("gavel_events_out_of_time", amount, role=role, kind=label)
            case "not_made":
                metrics.count("gavel_runs_not_made", amount, role=role, reason=label)
            case "dead_letter":
                metrics.count("gavel_dead_letters", amount, role=role, reason=label)
            case "skipped":
                metrics.count("gavel_records_skipped", amount, role=role, reason=label)
            case _:
                metrics.count("gavel_evaluation_outcomes", amount, outcome=label)


def write_results(results: Mapping[tuple[int, str, str], int], metrics: Metrics, role: str) -> None:
    """Add the numbers of results to the metrics.

    Args:
        results: by team, evaluation and outcome (`processor.events.result.outcome_label`).
    """
    outcomes: Counter[str] = Counter()
    for (team_id, evaluation_id, outcome), amount in results.items():
        outcomes[outcome] += amount
        metrics.count_results(team_id, evaluation_id, verdict_label(outcome), amount)
    for outcome, amount in outcomes.items():
        metrics.count("gavel_results", amount, role=role, runtime="hog", outcome=outcome)
