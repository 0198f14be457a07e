"""Gates: how many calls may be made at a time with one key to one model, by whom next, and whether at all.

Concurrency adapts as TCP's does: it doubles until the first sign of overload, then grows by one per round
of answers and is cut on every sign (additive increase, multiplicative decrease; Chiu and Jain, 1989).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple

from evaluators.llm_judge.breaker import Breaker
from evaluators.llm_judge.failures import FailureKind, ProviderFailure
from evaluators.llm_judge.fair_queue import FairQueue

GateKey = tuple[str, str]
"""Key (`Endpoint.key_name` and its revision) and model."""

INITIAL_LIMIT = 10.0
_DECREASE = 0.7
_ACTIVE_S = 60.0
_SHARED = 0.75
"""The part of all slots that one gate may hold while others are in use, so that a hung provider leaves room."""


class GateClosed(Exception):
    """The breaker is open: no call may be made with this key to this model now.

    Attributes:
        cause: what opened it.
        wait_s: until the next probe.
    """

    def __init__(self, cause: FailureKind, detail: str, wait_s: float) -> None:
        super().__init__(detail)
        self.cause: FailureKind = cause
        self.detail = detail
        self.wait_s = wait_s


class Congested(Exception):
    """No slot came free within the time given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateLimits:
    """Limits of one process.

    Attributes:
        concurrency: calls at a time, over all gates.
        requests_per_minute, tokens_per_minute: per gate; None for no ceiling.
        breaker_failures, breaker_probe_s: see `Breaker`.
    """

    concurrency: int = 64
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    breaker_failures: int = 5
    breaker_probe_s: float = 15.0


class Bucket:
    """A token bucket that holds `per_minute` and fills evenly; spending beyond that is owed."""

    def __init__(self, per_minute: int, clock: Callable[[], float]) -> None:
        self._rate = per_minute / 60.0
        # A burst of a few seconds' worth: a full minute's worth at once would be refused by most providers.
        self._capacity = max(1.0, per_minute / 12.0)
        self._clock = clock
        self._level = self._capacity
        self._at = clock()

    def _fill(self) -> None:
        now = self._clock()
        self._level = min(self._capacity, self._level + (now - self._at) * self._rate)
        self._at = now

    def wait_s(self, amount: float) -> float:
        """Seconds until `amount` may be spent; more than the capacity waits for a full bucket."""
        self._fill()
        short = min(amount, self._capacity) - self._level
        return 0.0 if short <= 1e-9 else short / self._rate

    def spend(self, amount: float) -> None:
        """Take `amount`, or give it back if negative."""
        self._fill()
        self._level = min(self._capacity, self._level - amount)


class _Turn(NamedTuple):
    team: Hashable
    evaluation: Hashable
    weight: float
    team_weight: float


@dataclass(slots=True, eq=False)
class _Waiter:
    """One that waits for a slot.

    Attributes:
        future: whether it has one; False if it is turned away. Not an exception: the traceback of one that is kept in
            a future leads back to the future, and what the run holds, its judged text above all, would stay in
            memory until the cyclic collector comes by.
    """

    future: asyncio.Future[bool]
    tokens: int


@dataclass(slots=True, eq=False)
class Gate:
    """State of one key and model."""

    key: GateKey
    breaker: Breaker
    requests: Bucket | None
    tokens: Bucket | None
    limit: float = INITIAL_LIMIT
    slow_start: bool = True
    in_flight: int = 0
    used_s: float = 0.0
    answered_s: float = float("-inf")
    decreased_s: float = float("-inf")
    waiting: FairQueue[_Waiter] = field(default_factory=FairQueue)
    head: _Waiter | None = None

    def next_waiter(self) -> _Waiter | None:
        """Return who is next, without those that gave up."""
        while self.head is None or self.head.future.done():
            if not self.waiting:
                self.head = None
                return None
            self.head = self.waiting.pop()
        return self.head

    def wait_s(self, tokens: int) -> float:
        """Seconds that the ceilings ask to wait before a call of about `tokens`."""
        first = self.requests.wait_s(1.0) if self.requests else 0.0
        return max(first, self.tokens.wait_s(tokens) if self.tokens else 0.0)


class Gates:
    """All gates of one process. Belongs to one event loop.

    Args:
        clock: monotonic seconds of that loop.
        random: uniform in [0, 1).
        opened, closed: called with a gate when its breaker opens for a lasting reason or closes again.
    """

    def __init__(
        self,
        limits: GateLimits,
        *,
        clock: Callable[[], float],
        random: Callable[[], float],
        opened: Callable[[Gate], None] = lambda _gate: None,
        closed: Callable[[Gate], None] = lambda _gate: None,
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._random = random
        self.opened = opened
        self.closed = closed
        self._gates: dict[GateKey, Gate] = {}
        self._turn: list[Gate] = []
        self._in_flight = 0
        self._timer: asyncio.TimerHandle | None = None

    def gate(self, key: GateKey) -> Gate:
        """Return the gate of `key`, made on first use."""
        found = self._gates.get(key)
        if found is None:
            limits = self._limits
            found = Gate(
                key,
                Breaker(
                    failures=limits.breaker_failures,
                    probe_s=limits.breaker_probe_s,
                    clock=self._clock,
                    random=self._random,
                ),
                Bucket(limits.requests_per_minute, self._clock) if limits.requests_per_minute else None,
                Bucket(limits.tokens_per_minute, self._clock) if limits.tokens_per_minute else None,
                limit=min(INITIAL_LIMIT, limits.concurrency),
            )
            self._gates[key] = found
            self._turn.append(found)
        return found

    def slots(self, key: GateKey) -> float:
        """Return how many calls can be in flight through a gate now; infinite if all end at its breaker.

        Changes nothing, so it may be asked from any thread.
        """
        gate = self._gates.get(key)
        if gate is None:
            return min(INITIAL_LIMIT, self._limits.concurrency)
        return float(int(gate.limit)) if gate.breaker.state == "closed" else inf

    def answered_ago_s(self, key: GateKey) -> float:
        """Return the seconds since the provider last answered at a gate; infinite if it never did. Any thread."""
        gate = self._gates.get(key)
        return inf if gate is None else self._clock() - gate.answered_s

    def __iter__(self) -> Iterator[Gate]:
        return iter(list(self._gates.values()))

    @property
    def in_flight(self) -> int:
        """Calls in flight now, over all gates."""
        return self._in_flight

    def waiting(self) -> int:
        """How many wait for a slot, those that gave up included until their turn."""
        return sum(len(gate.waiting) + (gate.head is not None) for gate in self._gates.values())

    @asynccontextmanager
    async def slot(
        self,
        gate: Gate,
        *,
        team: Hashable,
        evaluation: Hashable,
        tokens: int = 0,
        weight: float = 1.0,
        team_weight: float = 1.0,
        patience_s: float = 120.0,
    ) -> AsyncIterator[None]:
        """Hold one slot of `gate` for a call of about `tokens`.

        Inside, the caller notes the call's end by `succeeded` or `failed`.

        Args:
            weight: of the evaluation within its team.
            team_weight: of the team.

        Raises:
            GateClosed: at once if the breaker is not closed, or when it opens while waiting.
            Congested: no slot within `patience_s`.
        """
        if gate.breaker.state != "closed":
            raise self._refusal(gate)
        await self._enter(gate, _Turn(team, evaluation, weight, team_weight), tokens, patience_s)
        try:
            yield
        finally:
            self._leave(gate)

    @contextmanager
    def probing(self, gate: Gate) -> Iterator[None]:
        """Make the neutral probe, which waits for no slot. No run is ever the probe: its text could be at fault.

        Raises:
            GateClosed: the breaker is open and its probe is not due, or another probe is under way.
        """
        if not gate.breaker.allows():
            raise self._refusal(gate)
        self._take(gate, 0)
        try:
            yield
        finally:
            gate.breaker.abandon_probe()
            self._leave(gate)

    def _leave(self, gate: Gate) -> None:
        gate.in_flight -= 1
        self._in_flight -= 1
        self._admit()

    def _refusal(self, gate: Gate) -> GateClosed:
        return GateClosed(gate.breaker.cause, gate.breaker.detail, gate.breaker.wait_s())

    async def _enter(self, gate: Gate, turn: _Turn, tokens: int, patience_s: float) -> None:
        waiter = _Waiter(asyncio.get_running_loop().create_future(), tokens)
        gate.waiting.push(turn.team, turn.evaluation, waiter, weight=turn.weight, team_weight=turn.team_weight)
        self._admit()
        try:
            async with asyncio.timeout(patience_s):
                admitted = await waiter.future
        except BaseException as error:
            if waiter.future.done() and not waiter.future.cancelled() and waiter.future.result():
                # The slot was given at the moment of giving up: it goes to the next.
                gate.in_flight -= 1
                self._in_flight -= 1
            else:
                waiter.future.cancel()
            self._admit()
            if isinstance(error, TimeoutError):
                raise Congested(f"no slot within {patience_s:g} s") from error
            raise
        if not admitted:
            raise self._refusal(gate)

    def _take(self, gate: Gate, tokens: int) -> None:
        gate.in_flight += 1
        self._in_flight += 1
        gate.used_s = self._clock()
        if gate.requests:
            gate.requests.spend(1.0)
        if gate.tokens:
            gate.tokens.spend(tokens)

    def _admit(self) -> None:
        """Give free slots to those who wait, gates in turn."""
        now = self._clock()
        active = sum(1 for gate in self._turn if gate.in_flight or now - gate.used_s < _ACTIVE_S)
        total = self._limits.concurrency
        share = total if active <= 1 else max(1, int(total * _SHARED))
        soonest: float | None = None
        served = True
        while served and self._in_flight < total:
            served = False
            for _ in range(len(self._turn)):
                gate = self._turn.pop(0)
                self._turn.append(gate)
                if self._in_flight >= total:
                    break
                waiter = gate.next_waiter()
                if waiter is None or gate.in_flight >= min(int(gate.limit), share):
                    continue
                wait = gate.wait_s(waiter.tokens)
                if wait > 0:
                    soonest = wait if soonest is None else min(soonest, wait)
                    continue
                gate.head = None
                self._take(gate, waiter.tokens)
                waiter.future.set_result(True)
                served = True
        if soonest is not None:
            self._wake_in(soonest)

    def _wake_in(self, wait_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._admit()

    # -- how calls ended ------------------------------------------------------------------------------

    def succeeded(self, gate: Gate) -> None:
        """Note that the provider answered, whatever it said."""
        gate.answered_s = self._clock()
        if gate.in_flight >= int(gate.limit) - 1:  # only a limit that is felt may grow
            gate.limit += 1.0 if gate.slow_start else 1.0 / gate.limit
            gate.limit = min(gate.limit, float(self._limits.concurrency))
        if gate.breaker.succeeded():
            self.closed(gate)

    def failed(self, gate: Gate, failure: ProviderFailure, *, started_s: float) -> None:
        """Note a failure of provider, key or model; `started_s` is when the call began."""
        if failure.kind in ("rate_limited", "unavailable") and started_s > gate.decreased_s:
            # Calls of one round fail together: their limit is cut once.
            gate.limit = max(1.0, gate.limit * _DECREASE)
            gate.slow_start = False
            gate.decreased_s = self._clock()
        if gate.breaker.failed(failure):
            self._turn_away(gate)
            self.opened(gate)

    def confirmed(self, gate: Gate, failure: ProviderFailure) -> None:
        """Note that the neutral probe failed for a reason of key, quota or model, as calls had before."""
        if gate.breaker.confirm(failure):
            self._turn_away(gate)
            self.opened(gate)

    def _turn_away(self, gate: Gate) -> None:
        while (waiter := gate.next_waiter()) is not None:
            gate.head = None
            waiter.future.set_result(False)

    def spent(self, gate: Gate, *, estimated: int, actual: int) -> None:
        """Correct the tokens ceiling by what a call really used."""
        if gate.tokens:
            gate.tokens.spend(actual - estimated)
