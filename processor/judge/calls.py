"""The metrics and traces of calls to providers."""

from __future__ import annotations

from collections.abc import Callable

from evaluators.llm_judge.caller import Completion
from evaluators.llm_judge.outcome import JudgeRequest, Price, TracedRun
from evaluators.llm_judge.surroundings import Observe
from processor.metrics import Metrics
from processor.tracing.ids import hex_trace_id
from processor.tracing.queue import CallTrace, TraceQueue


def call_observer(
    metrics: Metrics,
    price: Price,
    traces: TraceQueue | None,
    now_s: Callable[[], float],
    answered: Callable[[JudgeRequest, Completion], None],
) -> Observe:
    """Return what a judge tells each call.

    Args:
        traces: take calls of runs with an origin; None if nothing is traced.
        now_s: epoch seconds.
        answered: called for every call that a model answered.
    """

    def observe(request: JudgeRequest, outcome: str, took_s: float, completion: Completion | None) -> None:
        provider, model = request.endpoint.provider, request.model
        metrics.count("gavel_judge_calls", provider=provider, model=model, outcome=outcome)
        if outcome != "cached":
            origin = request.origin
            if traces is None or origin is None or not traces.traces(origin.result_id):
                metrics.observe("gavel_judge_call_seconds", took_s, provider=provider)
            else:
                trace_id = hex_trace_id(origin.result_id, origin.trace_id)
                metrics.observe_traced("gavel_judge_call_seconds", took_s, trace_id, provider=provider)
                traces.call(_trace(request, origin, outcome, took_s, completion, int(now_s() * 1e9)))
        if completion is None:
            return
        answered(request, completion)
        used = (completion.input_tokens, completion.output_tokens)
        for direction, tokens in zip(("input", "output"), used, strict=True):
            metrics.count("gavel_judge_tokens", tokens, provider=provider, model=model, direction=direction)
        metrics.count("gavel_judge_cost_usd", price(provider, model, *used) or 0.0, provider=provider, model=model)

    return observe


def _trace(
    request: JudgeRequest,
    origin: TracedRun,
    outcome: str,
    took_s: float,
    completion: Completion | None,
    ended_ns: int,
) -> CallTrace:
    return CallTrace(
        result_id=origin.result_id,
        trace_id=origin.trace_id,
        team_id=request.team_id,
        evaluation_id=request.evaluation_id,
        provider=request.endpoint.provider,
        model=request.model,
        address=request.endpoint.address,
        outcome=outcome,
        took_s=took_s,
        ended_ns=ended_ns,
        response_model="" if completion is None else completion.model,
        input_tokens=None if completion is None else completion.input_tokens,
        output_tokens=None if completion is None else completion.output_tokens,
    )
