"""A compiled program, and a run of it."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from functools import cached_property
from time import monotonic
from typing import Any, Protocol

from evaluators.hog.compiler.checker import Checked, check
from evaluators.hog.compiler.folding import fold
from evaluators.hog.compiler.statements import FILENAME, Main, compile_module, load
from evaluators.hog.parser.lexer import SourceText
from evaluators.hog.parser.statements import parse, parse_expression
from evaluators.hog.parser.syntax import Block
from evaluators.hog.runtime.context import DEFAULT_LIMITS, Context, Limits
from evaluators.hog.runtime.errors import (
    HogDepthExceeded,
    HogInternalError,
    HogMemoryExceeded,
    HogRuntimeError,
    HogThrow,
    HogTypeError,
    HogUncaught,
)
from evaluators.hog.runtime.text_forms import brief
from evaluators.hog.runtime.values import Value
from evaluators.hog.stdlib import FUNCTIONS

STRING_GLOBALS = ("input", "output")
"""Globals that an evaluator always gets as strings. A program runs as well, but slower, when they are not."""

HOST_RECURSION = 12_000
"""Frames of the host that 1000 calls within calls of Hog may take, callbacks of the library included."""

MAX_UNCAUGHT = 500
"""Characters of an error that nothing caught which its message shows."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

EXPRESSION_LIMITS = Limits(steps=100_000, time_s=0.005, memory_bytes=8 * 1024 * 1024, depth=100, print_bytes=1024)
"""The limits of one expression of a condition."""

_DEFECTS = (TypeError, ValueError, LookupError, ArithmeticError, AttributeError, AssertionError, NameError)
"""Errors that only a gap in the runtime or the library raises. Such an error ends one run, not the process."""


class Run(Protocol):
    """The result of a run: the program's value and the lines that it printed."""

    value: Value
    prints: list[str]


class Program:
    """A compiled program. It may be run any number of times, from several threads."""

    def __init__(self, block: Block, source: SourceText, found: Checked) -> None:
        self.source = source.text
        self.globals: frozenset[str] = frozenset(found.globals)
        fold(block, source, found, FUNCTIONS)
        self._block, self._source, self._found = block, source, found
        self.code, names = self._compile(STRING_GLOBALS)
        self._main = load(self.code, names, self._run_generic)

    def _compile(self, string_globals: tuple[str, ...]) -> tuple[ast.Module, dict[str, Any]]:
        return compile_module(self._block, self._source, self._found, FUNCTIONS, string_globals)

    @cached_property
    def _generic(self) -> Main:
        return load(*self._compile(()))

    def _run_generic(self, table: Mapping[str, Any], context: Context, peek: Callable[[str], Any]) -> Value:
        return self._generic(table, context, peek)

    def run(
        self,
        table: Mapping[str, Any],
        *,
        now: datetime = EPOCH,
        uuid_seed: str = "",
        limits: Limits = DEFAULT_LIMITS,
        time_limit_s: float | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> Run:
        """Run the program on some globals, which it does not change.

        `now` and `uuid_seed` are the event's. Raises a HogRuntimeError with its place in the source; its
        `prints` are the lines printed until then.
        """
        context = Context()
        context.limits = limits
        context.now = now
        context.uuid_seed = uuid_seed
        context.prints = []
        context.time_limit_s = limits.time_s if time_limit_s is None else time_limit_s
        context.clock = clock
        if limits is not DEFAULT_LIMITS:
            context.census_at = limits.memory_bytes
        try:
            context.value = self._main(table, context, table.get)
            return context
        except HogRuntimeError as error:
            raise self._placed(error, error, context) from None
        except HogThrow as thrown:
            uncaught = HogUncaught(f"Uncaught {brief(thrown.error, MAX_UNCAUGHT)}", thrown.error)
            raise self._placed(uncaught, thrown, context) from None
        except RecursionError as error:
            raise self._placed(HogDepthExceeded("Calls or values are nested too deeply"), error, context) from None
        except OverflowError as error:
            raise self._placed(HogTypeError("Number is too large"), error, context) from None
        except MemoryError as error:
            raise self._placed(HogMemoryExceeded(limits.memory_bytes), error, context) from None
        except _DEFECTS as error:
            defect = HogInternalError(f"{type(error).__name__} within the runtime")
            raise self._placed(defect, error, context) from error

    def _placed(self, failure: HogRuntimeError, raised: BaseException, context: Context) -> HogRuntimeError:
        """Set line, column and prints of a failure, by the innermost frame of emitted code."""
        failure.prints = tuple(context.prints)
        trace, place = raised.__traceback__, None
        while trace is not None:
            code = trace.tb_frame.f_code
            if code.co_filename == FILENAME:
                place = code, trace.tb_lasti
            trace = trace.tb_next
        if place is not None:
            code, instruction = place
            for index, (line, _, column, _) in enumerate(code.co_positions()):
                if index == instruction // 2:
                    failure.locate(self.source, line or 1, (column or 0) + 1)
                    break
        failure.__traceback__ = None
        return failure

    def emitted(self) -> str:
        """Return the emitted code as text, for people."""
        return ast.unparse(self.code)


Context.root = Program.run.__code__


def make_room() -> None:
    """Raise the host's recursion limit, never lower it: Hog's own limits come first."""
    if sys.getrecursionlimit() < HOST_RECURSION:
        sys.setrecursionlimit(HOST_RECURSION)


make_room()  # here as well, so that the limit stands before any caller looks at it


def compile_program(source: str, *, known_globals: Collection[str] | None = None) -> Program:
    """Compile a program. HogCompileError with line, column and excerpt.

    With `known_globals`, the name of any other global is refused now rather than when a run comes to it.
    """
    make_room()
    block, text = parse(source)
    return Program(block, text, check(block, text, FUNCTIONS, known_globals))


def compile_value(source: str, *, known_globals: Collection[str] | None = None) -> Program:
    """Compile a single expression as a program that returns its value."""
    make_room()
    block, text = parse_expression(source)
    return Program(block, text, check(block, text, FUNCTIONS, known_globals))


def compile_expression(
    source: str, *, known_globals: Collection[str] | None = None
) -> Callable[[Mapping[str, object]], object]:
    """Compile an expression, for conditions: returns a function from globals to the value.

    A condition is evaluated for every event of its team, in line with all others, so that its limits
    (`EXPRESSION_LIMITS`) are narrow: 5 ms, 100 000 steps, 8 MiB of values, 100 calls within calls. An
    expression that passes one raises a HogLimitExceeded, as any run does.
    """
    program = compile_value(source, known_globals=known_globals)

    def evaluate(table: Mapping[str, object]) -> object:
        return program.run(table, limits=EXPRESSION_LIMITS).value

    return evaluate
