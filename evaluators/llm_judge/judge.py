"""The judge: makes one run, whatever its provider does, and says what came of it.

A run asks the cache, reserves its budget, waits for a slot of its gate, calls, adapts to refusals, tries again
what may pass, and settles. It never raises for what a provider does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from evaluators.llm_judge.budget import (
    MICROS,
    Amount,
    BudgetBusy,
    BudgetLedger,
    OverBudget,
    Reservation,
    TrialLedger,
    reserve_patiently,
)
from evaluators.llm_judge.cache import InFlight, VerdictCache, cache_key
from evaluators.llm_judge.client import Caller, Completion
from evaluators.llm_judge.conversation import Conversation, Meter
from evaluators.llm_judge.failures import TRANSIENT, ProviderFailure
from evaluators.llm_judge.gates import Congested, Gate, GateClosed, Gates
from evaluators.llm_judge.ladder import Ladder
from evaluators.llm_judge.outcome import Judged, JudgeRequest, NotRun, Parked, Price, RunOutcome
from evaluators.llm_judge.providers import PROVIDERS, Endpoint
from evaluators.verdict import JudgeUsage, Skip, Verdict

_ANSWERED = frozenset({"context_too_long", "content_filtered", "unsupported_format", "unsupported_temperature"})
"""Refusals that show that key, model and provider work."""
_CHARS_PER_TOKEN = 3.0
_EXPECTED_OUTPUT_TOKENS = 1_000
_PROBE = "Reply with the word ok."


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long one run tries.

    Attributes:
        run_s: from its first call to its end, retries and waits between them included.
        attempts: calls that may fail in passing before the run is parked.
        retry_initial_s, retry_max_s: bounds of the random wait before a retry; doubles from one to the other.
        queue_s: in line for a slot before the run is set aside.
        budget_s: for other runs' reservations to be settled.
    """

    run_s: float = 180.0
    attempts: int = 4
    retry_initial_s: float = 0.5
    retry_max_s: float = 30.0
    queue_s: float = 120.0
    budget_s: float = 30.0


class _Stop(Exception):
    """Ends a run that cannot be made now."""

    def __init__(self, parked: Parked) -> None:
        super().__init__(parked.detail)
        self.parked = parked


class Judge:
    """Makes runs. Belongs to one event loop.

    Args:
        random: uniform in [0, 1), for jitter.
        nonce: unpredictable text of at least 64 bits, new with every call.
    """

    def __init__(
        self,
        caller: Caller,
        gates: Gates,
        ladder: Ladder,
        *,
        budgets: BudgetLedger,
        trial: TrialLedger,
        cache: VerdictCache,
        price: Price,
        patience: Patience,
        random: Callable[[], float],
        nonce: Callable[[], str],
        observe: Callable[[JudgeRequest, str, float, Completion | None], None] = lambda _r, _o, _s, _c: None,
    ) -> None:
        self._caller = caller
        self.gates = gates
        self.ladder = ladder
        self._budgets = budgets
        self._trial = trial
        self._cache = cache
        self._price = price
        self._patience = patience
        self._random = random
        self._nonce = nonce
        self._observe = observe
        self._in_flight: InFlight[RunOutcome] = InFlight()

    def gate_of(self, endpoint: Endpoint, model: str) -> Gate:
        """Return the gate that calls with this key to this model pass."""
        return self.gates.gate((endpoint.identity(), model))

    async def run(self, request: JudgeRequest) -> RunOutcome:
        """Make one run."""
        if request.errored:
            return Judged(
                Skip("trace_errored", "the generation failed ($ai_is_error); there is no output to judge"), None
            )
        if not request.cache:
            return await self._make(request)
        key = cache_key(
            request.team_id,
            request.fingerprint,
            request.transcript,
            model=request.model,
            address=request.endpoint.address,
        )
        verdict = await self._cache.get(key)
        if verdict is not None:
            return self._reused(request, verdict)
        outcome, shared = await self._in_flight.share(key, lambda: self._make_and_keep(request, key))
        if shared and isinstance(outcome, Judged) and isinstance(outcome.outcome, Verdict):
            return self._reused(request, outcome.outcome)
        if shared and isinstance(outcome, Judged):
            return await self._make(request)  # a skip may be of the moment and is nobody else's
        return outcome

    def _reused(self, request: JudgeRequest, verdict: Verdict) -> Judged:
        self._observe(request, "cached", 0.0, None)
        endpoint = request.endpoint
        usage = JudgeUsage(
            model=request.model,
            provider=endpoint.provider,
            cost_usd=0.0,
            key_type=endpoint.key_type,
            key_id=endpoint.key_id,
            cached=True,
        )
        return Judged(verdict, usage)

    async def _make_and_keep(self, request: JudgeRequest, key: str) -> RunOutcome:
        outcome = await self._make(request)
        if isinstance(outcome, Judged) and isinstance(outcome.outcome, Verdict):
            await self._cache.put(key, outcome.outcome)
        return outcome

    # -- money ----------------------------------------------------------------------------------------

    async def _make(self, request: JudgeRequest) -> RunOutcome:
        gate = self.gate_of(request.endpoint, request.model)
        breaker = gate.breaker
        if not breaker.may_allow():  # before anything is reserved: most runs of an outage end here
            return Parked(breaker.cause, breaker.detail, breaker.wait_s())
        meter = Meter()
        estimate = self.estimate(request)
        reservation: Reservation | None = None
        if request.scopes:
            try:
                reservation = await reserve_patiently(
                    self._budgets, request.scopes, estimate, patience_s=self._patience.budget_s, random=self._random
                )
            except OverBudget as error:
                return NotRun(
                    error.scope, f"{error}; it resumes at {error.resumes_at:%Y-%m-%d %H:%M} UTC or when raised"
                )
            except BudgetBusy:
                return Parked("budget_busy", "runs in flight hold what is left of the budget", counts=False)
        try:
            return await self._on_trial(request, gate, meter)
        finally:
            if reservation is not None:
                used = self._used(request, meter)
                if meter.pending:  # cancelled in mid-call: what it cost is not known, so what it may have
                    used = Amount(used.tokens + estimate.tokens, used.micro_usd + estimate.micro_usd)
                await asyncio.shield(self._budgets.settle(reservation, used))

    async def _on_trial(self, request: JudgeRequest, gate: Gate, meter: Meter) -> RunOutcome:
        on_trial = request.endpoint.key_type == "trial"
        if on_trial and not await self._trial.take(request.team_id):
            return Parked("trial_limit_reached", "the team's trial runs are used up; add a provider key")
        try:
            outcome = await self._converse(request, gate, meter)
        except _Stop as stop:
            return stop.parked
        finally:
            if on_trial and not meter.answers:
                await asyncio.shield(self._trial.give_back(request.team_id))
        return Judged(outcome, self._usage(request, meter))

    def estimate(self, request: JudgeRequest) -> Amount:
        """Return what a run may use, on the high side."""
        transcript = request.transcript
        chars = sum(map(len, (*transcript.messages, transcript.output, *transcript.tools)))
        chars = min(chars, request.max_chars) + len(request.criteria) + 2_000
        tokens = int(chars / _CHARS_PER_TOKEN) + 1
        return Amount(tokens + _EXPECTED_OUTPUT_TOKENS, self._micros(request, tokens, _EXPECTED_OUTPUT_TOKENS))

    def _used(self, request: JudgeRequest, meter: Meter) -> Amount:
        return Amount(meter.tokens, self._micros(request, meter.input_tokens, meter.output_tokens))

    def _micros(self, request: JudgeRequest, input_tokens: int, output_tokens: int) -> int:
        cost = self._price(request.endpoint.provider, request.model, input_tokens, output_tokens)
        return 0 if cost is None else round(cost * MICROS)

    def _usage(self, request: JudgeRequest, meter: Meter) -> JudgeUsage | None:
        if not meter.answers:
            return None
        endpoint = request.endpoint
        cost = self._price(endpoint.provider, request.model, meter.input_tokens, meter.output_tokens)
        if cost is None and PROVIDERS[endpoint.provider].free:
            cost = 0.0
        return JudgeUsage(
            model=request.model,
            provider=endpoint.provider,
            input_tokens=meter.input_tokens,
            output_tokens=meter.output_tokens,
            cost_usd=cost,
            latency_s=round(meter.latency_s, 6),
            key_type=endpoint.key_type,
            key_id=endpoint.key_id,
            truncated=meter.truncated,
        )

    # -- calls ----------------------------------------------------------------------------------------

    async def _converse(self, request: JudgeRequest, gate: Gate, meter: Meter) -> Verdict | Skip:
        talk = Conversation(request, self.ladder)
        patience = self._patience
        loop = asyncio.get_running_loop()
        deadline: float | None = None
        failures = 0
        while True:
            prompt = talk.prompt(self._nonce())
            meter.truncated = meter.truncated or prompt.truncated
            tokens = int(prompt.chars / _CHARS_PER_TOKEN)
            try:
                async with self.gates.slot(
                    gate,
                    team=request.team_id,
                    evaluation=request.evaluation_id,
                    tokens=tokens,
                    weight=request.weight,
                    team_weight=request.team_weight,
                    patience_s=patience.queue_s,
                ):
                    # The wait for a slot is no fault of the provider: the deadline begins with the first call.
                    deadline = deadline or loop.time() + patience.run_s
                    completion = await self._call(talk, gate, talk.payload(prompt), meter, deadline, tokens)
            except GateClosed as closed:
                raise _Stop(Parked(closed.cause, closed.detail, closed.wait_s)) from closed
            except Congested as congested:
                raise _Stop(Parked("congested", str(congested), counts=False)) from congested
            except ProviderFailure as failure:
                if talk.adapt(failure):
                    continue
                skip = talk.final(failure)
                if skip is not None:
                    return skip
                failures += 1
                await self._back_off(failure, failures, deadline or 0.0)
                continue
            outcome = talk.read(completion)
            if outcome is not None:
                return outcome

    async def _call(
        self,
        talk: Conversation,
        gate: Gate,
        payload: dict[str, Any],
        meter: Meter,
        deadline: float,
        estimated_tokens: int,
    ) -> Completion:
        loop = asyncio.get_running_loop()
        request = talk.request
        started = loop.time()
        outcome = "cancelled"
        completion: Completion | None = None
        meter.pending = True
        try:
            async with asyncio.timeout_at(deadline):
                completion = await self._caller.complete(request.endpoint, payload, marker=request.evaluation_id)
            meter.pending = False
            outcome = "answered"
        except TimeoutError as error:
            meter.pending, outcome = False, "unavailable"
            raise self._too_late(gate, started) from error
        except ProviderFailure as failure:
            meter.pending, outcome = False, failure.kind
            self._note_failure(talk, gate, failure, started)
            raise
        finally:
            took = loop.time() - started
            meter.latency_s += took
            self._observe(request, outcome, took, completion)
        meter.answers += 1
        meter.input_tokens += completion.input_tokens
        meter.output_tokens += completion.output_tokens
        self.gates.spent(gate, estimated=estimated_tokens, actual=completion.input_tokens + completion.output_tokens)
        self.gates.succeeded(gate)
        return completion

    def _too_late(self, gate: Gate, started_s: float) -> ProviderFailure:
        """Note that a run's deadline passed in mid-call.

        The failure must not be a local of `_call`: its traceback would lead back to it, and the run's text would stay
        in memory until the cyclic collector comes by.
        """
        failure = ProviderFailure("unavailable", f"the run's deadline of {self._patience.run_s:g} s passed")
        self.gates.failed(gate, failure, started_s=started_s)
        return failure

    def _note_failure(self, talk: Conversation, gate: Gate, failure: ProviderFailure, started_s: float) -> None:
        if failure.kind in _ANSWERED:
            self.gates.succeeded(gate)
        elif failure.kind != "bad_request" or not talk.can_descend():
            self.gates.failed(gate, failure, started_s=started_s)

    async def _back_off(self, failure: ProviderFailure, failures: int, deadline: float) -> None:
        """Wait before the next attempt, with full jitter and as long as the provider asks.

        Raises:
            _Stop: another attempt would be too many, too late, or pointless.
        """
        parked = Parked(failure.kind, failure.detail, failure.retry_after_s)
        if failure.kind not in TRANSIENT or failures >= self._patience.attempts:
            raise _Stop(parked)
        bound = min(self._patience.retry_max_s, self._patience.retry_initial_s * 2.0 ** (failures - 1))
        # The jitter comes on top of what the provider asks for: else all that it turned away return together.
        wait = (failure.retry_after_s or 0.0) + self._random() * bound
        if asyncio.get_running_loop().time() + wait >= deadline:
            raise _Stop(parked)
        await asyncio.sleep(wait)

    async def probe(self, endpoint: Endpoint, model: str) -> ProviderFailure | None:
        """Ask the model for one word, to learn whether key and model work. Returns what went wrong, if anything."""
        gate = self.gate_of(endpoint, model)
        loop = asyncio.get_running_loop()
        started = loop.time()
        payload = {"model": model, "messages": [{"role": "user", "content": _PROBE}]}
        try:
            async with self.gates.slot(gate, team="probe", evaluation=model):
                started = loop.time()
                try:
                    async with asyncio.timeout(self._patience.run_s):
                        await self._caller.complete(endpoint, payload, marker="probe")
                except TimeoutError:
                    failure = ProviderFailure("unavailable", "no answer to the probe")
                except ProviderFailure as error:
                    failure = error.with_traceback(None)  # which would lead back to it, by this very name
                else:
                    self.gates.succeeded(gate)
                    return None
                if failure.kind in _ANSWERED:
                    self.gates.succeeded(gate)
                    return None
                self.gates.failed(gate, failure, started_s=started)
                return failure
        except GateClosed as closed:
            return ProviderFailure(closed.cause, closed.detail)
        except Congested as congested:
            return ProviderFailure("unavailable", str(congested))
