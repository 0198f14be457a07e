"""The state of one run: its limits and their use, the printed lines, and the event's own time.

Nothing here is reachable from Hog code. A program that only runs straight ahead is never counted: its length
bounds it. Loops and calls charge steps, values that can grow charge bytes, and the clock is looked at every
`LOOK_EVERY` steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import CodeType
from typing import ClassVar

from evaluators.hog.runtime.errors import (
    HogArgumentsExceeded,
    HogDepthExceeded,
    HogMemoryExceeded,
    HogPrintExceeded,
    HogStepsExceeded,
    HogTimeExceeded,
    HogTypeError,
)
from evaluators.hog.runtime.functions import arity_error
from evaluators.hog.runtime.memory import live_bytes, quick_size
from evaluators.hog.runtime.values import HogFunction, Value, type_name

LOOK_EVERY = 512
"""Steps between two looks at the clock."""

BYTES_PER_STEP = 64
"""The bytes that one step may allocate without charging them."""

FREE_CHARS = 256
"""Characters of a function's result that are not charged: the steps cover them."""

SECONDS_PER_STEP = 0.5e-6
"""About half of what one step takes at most: work that is charged before it is done does not begin when, by this
measure, the time would be up before its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of one run.

    Attributes:
        steps: about one for each expression that is evaluated in a loop or a function.
        time_s: wall-clock seconds.
        memory_bytes: of values that are alive at one time.
        depth: calls within calls.
        arguments: of one call.
        print_bytes: of all that is printed, in UTF-8.
    """

    steps: int = 20_000_000
    time_s: float = 10.0
    memory_bytes: int = 64 * 1024 * 1024
    depth: int = 1000
    arguments: int = 300
    print_bytes: int = 64 * 1024


DEFAULT_LIMITS = Limits()


class Context:
    """The state of one run.

    Attributes:
        now: the event's time, aware; what `now()` gives.
        uuid_seed: what generated ids follow from: the event's uuid.
        prints: the printed lines so far.
        limits: what the run may use.
        value: what the program returned, once it has.
        time_limit_s: wall-clock seconds of this run.
        clock: gives seconds that never go back.
        census_at: the bytes of allocations after which live values are measured.

    It has no constructor, whose call takes a tenth of the time of a small program: `Program.run` sets what differs.
    """

    # Kept as class attributes so that making a context, which every run does, sets only what differs.
    steps = 0
    _next_look = LOOK_EVERY
    _counted_steps = 0
    _allocated = 0
    _charged = 0
    _pinned = 0
    _printed = 0
    _serial = 0
    census_at = DEFAULT_LIMITS.memory_bytes
    depth = 0
    value: Value = None
    _deadline: float | None = None
    root: ClassVar[CodeType | None] = None
    """The code below which a census does not look: the entry of a run. Set once, by the module that runs."""

    limits: Limits
    now: datetime
    uuid_seed: str
    prints: list[str]
    time_limit_s: float
    clock: Callable[[], float]

    def step(self, count: int) -> None:
        """Charge steps: one for about every 64 bytes or 20 elements that a function works through.

        Charged before a library function works through its arguments, so that no single call takes much longer
        than the time that is left. HogStepsExceeded, HogTimeExceeded, HogMemoryExceeded.
        """
        self.steps += count
        if self.steps >= self._next_look:
            self._look(count)

    def settle(self, count: int) -> int:
        """Charge the steps that a loop has counted, as `step` does; return 0."""
        self.steps += count
        if self.steps >= self._next_look:
            self._look(count)
        return 0

    def _look(self, count: int) -> None:
        if self.steps > self.limits.steps:
            raise HogStepsExceeded(self.limits.steps)
        self.foresee(count * SECONDS_PER_STEP)
        self._next_look = self.steps + LOOK_EVERY
        # Steps that were charged in one go are of a library function, which charges its memory by itself.
        fresh = min(self.steps - self._counted_steps, 2 * LOOK_EVERY) * BYTES_PER_STEP
        self._counted_steps = self.steps
        self._charged += fresh
        self._allocated += fresh
        if self._allocated > self.census_at:
            self._census(0)

    def foresee(self, seconds: float) -> None:
        """HogTimeExceeded if work that takes so long would not end within the wall-clock limit.

        The time begins with the first look at it: a program that only runs straight ahead needs no clock.
        """
        now = self.clock()
        if self._deadline is None:
            self._deadline = now + self.time_limit_s
        if now + seconds > self._deadline:
            raise HogTimeExceeded(self.time_limit_s, self.steps)

    def check_time(self) -> None:
        """HogTimeExceeded if the wall-clock limit has passed."""
        self.foresee(0.0)

    def charge(self, n_bytes: int) -> None:
        """Charge memory that is about to be allocated. HogMemoryExceeded if it is too much.

        Freed memory is found when the sum passes the limit: then all live values are measured.
        """
        self._charged += n_bytes
        self._allocated += n_bytes
        if self._allocated > self.census_at:
            self._census(n_bytes)

    def _census(self, coming_bytes: int) -> None:
        limit = self.limits.memory_bytes
        if coming_bytes > limit:
            raise HogMemoryExceeded(limit)
        live = live_bytes(self.root, limit, self.check_time) + self._pinned + coming_bytes
        if live > limit:
            raise HogMemoryExceeded(limit)
        self._allocated = live
        self.census_at = max(limit, live + limit // 4)

    def print_line(self, text: str) -> None:
        """Add one printed line. HogPrintExceeded when the total passes its limit."""
        size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
        self._printed += size + 1
        if self._printed > self.limits.print_bytes:
            raise HogPrintExceeded(self.limits.print_bytes)
        self.prints.append(text)

    def serial(self) -> int:
        """Return 1, then 2, and so on within a run: what makes the generated ids of one event differ."""
        self._serial += 1
        return self._serial

    def call(self, function: Value, args: Sequence[Value]) -> Value:
        """Call a function value from within the library. HogTypeError if it is none.

        A closure gets null for arguments that are missing; too many are an error.
        """
        if type(function) is not HogFunction:
            raise HogTypeError(f"Can not call a value of type {type_name(function)}")
        depth, charged = self.depth, self._charged
        if function.closure:
            result = self.call_closure(function, depth, args)
        else:
            result = self.call_library(function, depth, args)
        self.depth = depth
        self.step(2)
        size = quick_size(result)
        self._pinned += self._charged - charged + BYTES_PER_STEP if size is None else size
        return result

    def call_closure(self, function: HogFunction, depth: int, args: Sequence[Value]) -> Value:
        """Call a closure from a frame at `depth`."""
        if function.arity is not None and len(args) > function.arity:
            raise HogArgumentsExceeded(f"Too many arguments. Passed {len(args)}, expected {function.arity}")
        return function.code(depth + 1, *args)

    def call_library(self, function: HogFunction, depth: int, args: Sequence[Value]) -> Value:
        """Call a library function, which may call functions itself, from a frame at `depth`."""
        problem = arity_error(function.name, len(args), function.min_args, function.arity)
        if problem:
            raise HogArgumentsExceeded(problem)
        if depth >= self.limits.depth:
            raise HogDepthExceeded(f"Call depth of {self.limits.depth} exceeded")
        self.depth, pinned = depth + 1, self._pinned
        result = function.code(self, *args)
        self._pinned = pinned
        return result


def new_context(
    limits: Limits, now: datetime, uuid_seed: str, time_limit_s: float, clock: Callable[[], float]
) -> Context:
    """Return the state of a run that no `Program.run` makes."""
    context = Context()
    context.limits, context.now, context.uuid_seed, context.prints = limits, now, uuid_seed, []
    context.time_limit_s, context.clock, context.census_at = time_limit_s, clock, limits.memory_bytes
    return context
