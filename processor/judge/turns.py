"""Turns in the backlog: how many runs of one evaluation are in flight at a time, and where the others wait.

Without this, one evaluation that floods the task topic blocks every task behind it, because results are committed in
offset order. So a run whose evaluation already has as many runs in hand as it has slots is written to a lane of the
parked topic at once, and the tasks behind it are read. Lanes are read as slots come free, first come, first served. A
run is written to a lane once, which is neither a failure nor an attempt.

Shares are max-min fair by weight, per key and model: a team's share of the slots, and of that an evaluation's; what
others leave unused may be used.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from math import ceil, inf

from processor.events.message import Message
from processor.events.output import Output, TopicAndPartition
from processor.events.task import Task
from processor.judge.parked import Parking, task_of
from processor.stream.worker import Control

Capacity = Callable[[Task], tuple[Hashable, float]]
"""Returns what a run queues for and how many of those can run at a time; infinite if it would not be run at all."""

_DIRECT = 1.25
"""Runs in hand per slot up to which the task topic is taken from: those beyond would only wait, and with them the
results behind them on the topic."""
_FULL, _LOW = 4.0, 2.0
"""Runs in hand per slot up to which a lane is read, and at which it is read again."""
_LOOK_AGAIN_S = 1.0


@dataclass(slots=True)
class _InHand:
    """An evaluation's runs in hand."""

    team_id: int
    queue: Hashable
    count: int = 0


class Turns:
    """See `processor.judge.worker.Admission`. Belongs to the polling thread.

    Args:
        weights: of teams (by id as text) and evaluations; 1 where there is none.
        max_in_hand: over all evaluations; lanes fill half of it at the most.
        overflowed: called for each run that is put in line.
    """

    def __init__(
        self,
        parking: Parking,
        capacity: Capacity,
        *,
        weights: Mapping[str, float],
        max_in_hand: int,
        overflowed: Callable[[], None],
    ) -> None:
        self._parking = parking
        self._capacity = capacity
        self._weights = weights
        self._max = max_in_hand
        self._overflowed = overflowed
        self._in_hand: dict[str, _InHand] = {}
        self._total = 0
        self._held: dict[int, str] = {}
        self._lined_up: set[str] = set()
        self._shares: dict[str, float] = {}
        self._blocked: dict[TopicAndPartition, Task] = {}

    def in_hand(self, evaluation_id: str) -> int:
        """Return how many runs of an evaluation are in hand."""
        found = self._in_hand.get(evaluation_id)
        return 0 if found is None else found.count

    # -- reading --------------------------------------------------------------------------------------

    def admit(self, source: TopicAndPartition, messages: list[Message], control: Control) -> list[Message]:
        """Return the leading messages that may be judged now; the rest is read again in time."""
        self._shares.clear()
        if not self._parking.is_lane(source):
            return self._parking.admit(source, messages, control)
        new: dict[str, int] = {}
        for position, message in enumerate(messages):
            task = task_of(message)
            if task is None:
                continue
            count = new.get(task.evaluation_id, 0)
            if not self._has_room(task, count, position):
                self._blocked[source] = task
                control.defer(source, message.offset(), wait_s=_LOOK_AGAIN_S)
                return messages[:position]
            new[task.evaluation_id] = count + 1
        return messages

    def due_ms(self, source: TopicAndPartition, message: Message) -> int:
        """See `processor.stream.worker.Worker.due_ms`."""
        return self._parking.due_ms(source, message)

    def _has_room(self, task: Task, more: int, more_in_all: int, fill: float = _FULL) -> bool:
        share = self._share(task)
        if self._total + more_in_all >= self._max // 2:
            return self._total == 0 and more_in_all == 0
        return self.in_hand(task.evaluation_id) + more < fill * share

    def wake(self, control: Control) -> None:
        """See `processor.judge.worker.Admission`."""
        if not self._blocked:
            return
        self._shares.clear()
        for source, task in list(self._blocked.items()):
            if self._has_room(task, 0, 0, _LOW):
                del self._blocked[source]
                control.wake(source)

    # -- taking ---------------------------------------------------------------------------------------

    def take(self, source: TopicAndPartition, message: Message) -> Output | None:
        """See `processor.judge.worker.Admission`."""
        task = task_of(message)
        if task is None:
            return None  # it becomes a dead letter where it is run
        if self._parking.has_lanes and not self._parking.is_lane(source) and not self._is_next(task):
            self._overflowed()
            return self._parking.stand_in_line(task, message)
        self._hold(task, message)
        return None

    def _is_next(self, task: Task) -> bool:
        """Whether a run from elsewhere than a lane may be made without waiting in a lane.

        An evaluation that has runs in line goes on lining up, until those in hand become few: then the line is
        empty, or another process has it. Runs taken past the line would hold up the results behind them.
        """
        if task.trigger == "measurement":
            return self._total == 0  # after everything that is live; its lane is read as slots come free
        share = self._share(task)
        if share == inf:
            return self._total < self._max
        count = self.in_hand(task.evaluation_id)
        lined_up = task.evaluation_id in self._lined_up
        if lined_up and count < share / 2:
            self._lined_up.discard(task.evaluation_id)
            lined_up = False
        if lined_up or count >= ceil(share * _DIRECT) or self._total >= self._max:
            self._lined_up.add(task.evaluation_id)
            return False
        return True

    def _hold(self, task: Task, message: Message) -> None:
        found = self._in_hand.get(task.evaluation_id)
        queue, _ = self._capacity(task)
        if found is None:
            found = self._in_hand[task.evaluation_id] = _InHand(task.team_id, queue)
        found.queue = queue
        found.count += 1
        self._total += 1
        self._held[id(message)] = task.evaluation_id

    def give_back(self, messages: Iterable[Message]) -> None:
        """See `processor.judge.worker.Admission`."""
        for message in messages:
            evaluation_id = self._held.pop(id(message), None)
            if evaluation_id is None:
                continue
            found = self._in_hand[evaluation_id]
            found.count -= 1
            self._total -= 1
            if not found.count:
                del self._in_hand[evaluation_id]

    # -- shares ---------------------------------------------------------------------------------------

    def _share(self, task: Task) -> float:
        """Return the slots of a run's evaluation; looked up once per batch."""
        share = self._shares.get(task.evaluation_id)
        if share is None:
            share = self._shares[task.evaluation_id] = self._compute_share(task)
        return share

    def _compute_share(self, task: Task) -> float:
        queue, slots = self._capacity(task)
        if slots == inf:
            return inf
        own_team = str(task.team_id)
        teams = {own_team: self._weight(own_team)}
        evaluations = own = self._weight(task.evaluation_id)
        others = 0
        for evaluation_id, found in self._in_hand.items():
            if found.queue != queue or evaluation_id == task.evaluation_id:
                continue
            others += found.count
            team = str(found.team_id)
            teams[team] = self._weight(team)
            if team == own_team:
                evaluations += self._weight(evaluation_id)
        fair = slots * teams[own_team] / sum(teams.values()) * own / evaluations
        return max(fair, slots - others, 1.0)

    def _weight(self, name: str) -> float:
        return self._weights.get(name, 1.0)
