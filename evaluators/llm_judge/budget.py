"""Budgets and the trial: limits of spending, reserved before a call and settled after it.

The store decides; a run asks it before it calls a model and tells it afterwards what was used. Sums are exact
whatever the number of processes, because every reservation is one conditional update in the store.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal, Protocol

Period = Literal["day", "week", "month"]
MICROS = 1_000_000
"""US dollars are counted in millionths, as whole numbers: sums of floats drift."""


@dataclass(frozen=True, slots=True)
class Amount:
    """Tokens and money of one run."""

    tokens: int
    micro_usd: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetScope:
    """One limit.

    Attributes:
        owner: `evaluation:<id>` or `team:<id>`.
        tokens, micro_usd: the limits; None for none.
    """

    owner: str
    period: Period
    tokens: int | None = None
    micro_usd: int | None = None


@dataclass(frozen=True, slots=True)
class BudgetReservation:
    """An amount that is set aside for one run until `settle` replaces it."""

    id: str
    scopes: tuple[tuple[str, str], ...]
    amount: Amount


class OverBudget(Exception):
    """A limit is used up until its period ends or it is raised.

    Attributes:
        scope: the limit.
        resumes_at: the end of its period.
    """

    def __init__(self, scope: BudgetScope, resumes_at: datetime) -> None:
        super().__init__(f"the budget of {scope.owner} for this {scope.period} is used up")
        self.scope = scope
        self.resumes_at = resumes_at


class BudgetBusy(Exception):
    """Runs in flight have reserved the rest of a limit. Ask again when they have settled."""


class BudgetStore(Protocol):
    """Keeps the used and the reserved amounts."""

    async def reserve(self, scopes: Sequence[BudgetScope], amount: Amount) -> BudgetReservation:
        """Set `amount` aside in every scope, or in none.

        Raises:
            OverBudget: a limit does not hold it.
            BudgetBusy: it may, once others have settled.
        """

    async def settle(self, reservation: BudgetReservation, used: Amount) -> None:
        """Replace the reservation by the amount that was used; zero gives all of it back."""


class TrialStore(Protocol):
    """Counts the runs of teams on the operator's key."""

    async def take(self, team_id: int) -> bool:
        """Count one run; False if the team's trial is used up."""

    async def give_back(self, team_id: int) -> None:
        """Take one back: no model was called after all."""


def period_start(period: Period, now: datetime) -> datetime:
    """Return the start of the day, the week (Monday) or the month of `now`, in UTC."""
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "day":
        return midnight
    if period == "week":
        return midnight - timedelta(days=midnight.weekday())
    return midnight.replace(day=1)


def period_end(period: Period, now: datetime) -> datetime:
    """Return the start of the next period."""
    start = period_start(period, now)
    if period == "day":
        return start + timedelta(days=1)
    if period == "week":
        return start + timedelta(days=7)
    return (start + timedelta(days=32)).replace(day=1)


@dataclass(slots=True)
class Usage:
    """The used and the reserved amounts of a scope in one period."""

    tokens: int = 0
    micro_usd: int = 0
    reserved_tokens: int = 0
    reserved_micro_usd: int = 0


def check(scope: BudgetScope, usage: Usage, amount: Amount, now: datetime) -> None:
    """Say whether `scope` holds `amount` on top of `usage`.

    Raises:
        OverBudget, BudgetBusy: as `BudgetStore.reserve`.
    """
    limits = (
        (scope.tokens, usage.tokens, usage.reserved_tokens, amount.tokens),
        (scope.micro_usd, usage.micro_usd, usage.reserved_micro_usd, amount.micro_usd),
    )
    busy = False
    for limit, used, reserved, wanted in limits:
        if limit is None:
            continue
        if used + wanted > limit:
            raise OverBudget(scope, period_end(scope.period, now))
        busy = busy or used + reserved + wanted > limit
    if busy:
        raise BudgetBusy


class MemoryBudgets:
    """A store in memory: for `gavel judge try` and tests. The store's has the same semantics.

    Args:
        now: aware UTC time.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._usage: dict[tuple[str, str], Usage] = {}
        self._ids = itertools.count(1)

    def usage(self, scope: BudgetScope) -> Usage:
        """Return what the scope has used in the current period."""
        return self._usage.setdefault((scope.owner, period_start(scope.period, self._now()).isoformat()), Usage())

    async def reserve(self, scopes: Sequence[BudgetScope], amount: Amount) -> BudgetReservation:
        """See `BudgetStore.reserve`."""
        now = self._now()
        keys = [(scope.owner, period_start(scope.period, now).isoformat()) for scope in scopes]
        for scope in scopes:
            check(scope, self.usage(scope), amount, now)
        for key in keys:
            usage = self._usage[key]
            usage.reserved_tokens += amount.tokens
            usage.reserved_micro_usd += amount.micro_usd
        return BudgetReservation(str(next(self._ids)), tuple(keys), amount)

    async def settle(self, reservation: BudgetReservation, used: Amount) -> None:
        """See `BudgetStore.settle`."""
        for key in reservation.scopes:
            usage = self._usage[key]
            usage.reserved_tokens -= reservation.amount.tokens
            usage.reserved_micro_usd -= reservation.amount.micro_usd
            usage.tokens += used.tokens
            usage.micro_usd += used.micro_usd


@dataclass(slots=True)
class MemoryTrial:
    """A trial in memory."""

    limit: int
    used: dict[int, int] = field(default_factory=dict)

    async def take(self, team_id: int) -> bool:
        """See `TrialStore.take`."""
        if self.used.get(team_id, 0) >= self.limit:
            return False
        self.used[team_id] = self.used.get(team_id, 0) + 1
        return True

    async def give_back(self, team_id: int) -> None:
        """See `TrialStore.give_back`."""
        self.used[team_id] -= 1


async def reserve_patiently(
    store: BudgetStore,
    scopes: Sequence[BudgetScope],
    amount: Amount,
    *,
    patience_s: float,
    random: Callable[[], float],
) -> BudgetReservation:
    """Reserve, waiting for others to settle while the limit itself is not used up.

    Raises:
        OverBudget: a limit does not hold it.
        BudgetBusy: others did not settle within `patience_s`.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + patience_s
    wait_s = 0.05
    while True:
        try:
            return await store.reserve(scopes, amount)
        except BudgetBusy:
            if loop.time() + wait_s > end:
                raise
        await asyncio.sleep(wait_s * (0.5 + random()))
        wait_s = min(wait_s * 2, 2.0)
