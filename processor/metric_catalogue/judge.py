"""LLM judges: calls, tokens, cost, parked tasks, breakers and budgets."""

from __future__ import annotations

from typing import Literal

from processor.metric_catalogue.definition import SECONDS, MetricDefinition

CounterName = Literal[
    "gavel_judge_calls",
    "gavel_judge_tokens",
    "gavel_judge_cost_usd",
    "gavel_judge_parked",
    "gavel_judge_probes",
    "gavel_judge_steps",
    "gavel_suspected_injections",
    "gavel_judge_status_changes",
    "gavel_judge_output_modes",
]
GaugeName = Literal[
    "gavel_judge_breakers_open",
    "gavel_judge_in_flight",
    "gavel_judge_waiting",
    "gavel_budget_left_ratio",
]
HistogramName = Literal["gavel_judge_call_seconds",]

METRICS: dict[CounterName | GaugeName | HistogramName, MetricDefinition] = {
    "gavel_judge_calls": MetricDefinition(
        "counter",
        "Calls to models, probes included, by how they ended (answered, cached, cancelled, or the kind of failure). If "
        "a failure grows, mend the key or look at the provider's status page",
        ("provider", "model", "outcome"),
    ),
    "gavel_judge_call_seconds": MetricDefinition(
        "histogram",
        "Seconds of one call to a model. If it grows, the provider is slow: look at its status page",
        ("provider",),
        SECONDS,
    ),
    "gavel_judge_tokens": MetricDefinition(
        "counter",
        "Tokens that judges used, by direction (input, output). If it grows, look at rollouts and prompts",
        ("provider", "model", "direction"),
    ),
    "gavel_judge_cost_usd": MetricDefinition(
        "counter",
        "US dollars that judges cost by the price table. If it grows too fast, set budgets or lower rollouts",
        ("provider", "model"),
    ),
    "gavel_judge_parked": MetricDefinition(
        "counter",
        "Judge runs parked, by cause; `overflow` waits for its evaluation's turn. If another cause grows, "
        "mend the key or the provider; if overflow grows, start more judges",
        ("cause",),
    ),
    "gavel_judge_probes": MetricDefinition(
        "counter",
        "Probes of keys and models that failed, by outcome. If anything but answered grows, the provider still fails",
        ("outcome",),
    ),
    "gavel_judge_steps": MetricDefinition(
        "counter",
        "Answers of the steps of juries and cascades, by step and outcome (judged, cached, skipped). If a late step of "
        "a cascade grows, its first model is too unsure: see `trust/cascade/` for a better threshold",
        ("step", "outcome"),
    ),
    "gavel_suspected_injections": MetricDefinition(
        "counter",
        "Judged texts that seem to speak to the judge. If it grows, look at these results; the verdicts are unchanged",
    ),
    "gavel_judge_status_changes": MetricDefinition(
        "counter",
        "Evaluations that Gavel switched off (error) and on again (active). If error grows, mend its reason",
        ("status", "reason"),
    ),
    "gavel_judge_output_modes": MetricDefinition(
        "counter",
        "Descents of the structured-output ladder, by the mode arrived at. If it grows, the model does not support "
        "structured output as configured",
        ("model", "mode"),
    ),
    "gavel_judge_breakers_open": MetricDefinition(
        "gauge",
        "Keys and models whose breaker is not closed. If it stays above 0, `gavel status` names the key and the cause",
        merge="sum",
    ),
    "gavel_judge_in_flight": MetricDefinition(
        "gauge", "Calls to models in flight. If it stays at judge.concurrency, start more judges", merge="sum"
    ),
    "gavel_judge_waiting": MetricDefinition(
        "gauge",
        "Judge runs that wait for a slot. If it grows, start more judges or raise judge.concurrency",
        merge="sum",
    ),
    "gavel_budget_left_ratio": MetricDefinition(
        "gauge",
        "Share of a budget that is left in its period, of the ten budgets that are nearest to their limit. If it nears "
        "0, raise the budget: at 0 judge runs are not made",
        ("team", "owner"),
        merge="least",
    ),
}
