"""A queue that serves teams in turn, and within a team its evaluations in turn, each by its weight.

Stride scheduling (Waldspurger and Weihl, 1995) on two levels: every flow has a pass value that grows by
1/weight when it is served; the flow with the least is next. A flow that was idle starts at the current
value, so that it neither is owed for its absence nor waits for those that came before.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Hashable
from itertools import count
from typing import Generic, TypeVar

T = TypeVar("T")
_REMEMBERED = 64
"""Idle flows whose passes are kept without looking whether they are over."""


class _Level(Generic[T]):
    """Flows by pass value; a flow is in the heap exactly while it has something to serve."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Hashable]] = []
        self._passes: dict[Hashable, float] = {}
        self._order = count()
        self._now = 0.0
        self.flows: dict[Hashable, T] = {}

    def activate(self, name: Hashable, flow: T) -> None:
        self.flows[name] = flow
        start = max(self._now, self._passes.pop(name, 0.0))
        heapq.heappush(self._heap, (start, next(self._order), name))

    def next(self) -> tuple[Hashable, T]:
        name = self._heap[0][2]
        return name, self.flows[name]

    def served(self, *, weight: float, idle: bool) -> None:
        """Charge the flow that `next` named; `idle` if it has nothing more."""
        start, _, name = heapq.heappop(self._heap)
        self._now = start
        due = start + 1.0 / weight
        if not idle:
            heapq.heappush(self._heap, (due, next(self._order), name))
            return
        del self.flows[name]
        self._passes[name] = due
        if len(self._passes) > 2 * len(self.flows) + _REMEMBERED:
            # A pass that is over changes nothing: whoever comes back starts now.
            self._passes = {name: due for name, due in self._passes.items() if due > start}
        if not self._heap:
            # Nothing waits: the next to come starts afresh, and nobody's past needs to be remembered.
            self._passes.clear()
            self._now = 0.0

    def __bool__(self) -> bool:
        return bool(self._heap)


class FairQueue(Generic[T]):
    """Items of many evaluations of many teams. Not thread-safe."""

    def __init__(self) -> None:
        self._teams: _Level[_Level[deque[tuple[float, float, T]]]] = _Level()
        self._length = 0

    def push(
        self, team: Hashable, evaluation: Hashable, item: T, *, weight: float = 1.0, team_weight: float = 1.0
    ) -> None:
        """Append `item` to its evaluation's flow. `weight` counts among the team's evaluations only."""
        evaluations = self._teams.flows.get(team)
        if evaluations is None:
            evaluations = _Level()
            self._teams.activate(team, evaluations)
        items = evaluations.flows.get(evaluation)
        if items is None:
            items = deque()
            evaluations.activate(evaluation, items)
        items.append((weight, team_weight, item))
        self._length += 1

    def pop(self) -> T:
        """Take the next item; an IndexError if there is none."""
        _, evaluations = self._teams.next()
        _, items = evaluations.next()
        weight, team_weight, item = items.popleft()
        evaluations.served(weight=weight, idle=not items)
        self._teams.served(weight=team_weight, idle=not evaluations)
        self._length -= 1
        return item

    def __len__(self) -> int:
        return self._length
