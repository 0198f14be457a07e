"""Works out expressions whose operands are all known, as a run would, within narrow limits.

The run evaluates an expression that fails here, that passes a limit, or whose value is large, so that it fails at the
same place as ever.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from evaluators.hog.compiler.operators import BINARY, WITHOUT_CONTEXT
from evaluators.hog.parser.syntax import (
    Array,
    Between,
    Binary,
    Call,
    Const,
    Get,
    IsNull,
    Known,
    Logic,
    Name,
    Object,
    Template,
    Unary,
    parts_of,
)
from evaluators.hog.runtime import access, operations
from evaluators.hog.runtime.context import Limits, new_context
from evaluators.hog.runtime.errors import HogRuntimeError, HogThrow
from evaluators.hog.runtime.functions import Function
from evaluators.hog.runtime.values import HogDate, HogDateTime, HogInterval, Value

LIMITS = Limits(steps=20_000, time_s=0.1, memory_bytes=256 * 1024, depth=20, print_bytes=0)
"""The limits of all that is worked out of one program."""

MOST_BYTES = 16 * 1024
"""Bytes that one value may take, about."""

ALL_BYTES = 256 * 1024
"""Bytes that all values of one program may take, about."""

LITERAL_CHARS = 1024
"""Characters of the longest text that becomes a literal."""

MOST_LEVELS = 20
MOST_BITS = 1024
UNKNOWN: Any = object()
"""Stands for a value that is not known."""

FAILURES = (
    HogRuntimeError, HogThrow, RecursionError, OverflowError, MemoryError,
    TypeError, ValueError, LookupError, ArithmeticError, AttributeError, AssertionError,
)  # fmt: skip
"""Errors that end a run. The compiler catches them, because the run itself has to report them."""


def value_of(node: Any) -> Value:
    """Return the value of a constant, or `UNKNOWN`."""
    return node.value if isinstance(node, (Const, Known)) else UNKNOWN


class ConstantEvaluation:
    """Works out the expressions of one program.

    Args:
        functions: the library.
    """

    def __init__(self, functions: Mapping[str, Function]) -> None:
        self.context = new_context(LIMITS, datetime(1970, 1, 1, tzinfo=UTC), "", LIMITS.time_s, monotonic)
        self._functions = functions
        self._bytes_left = ALL_BYTES

    def node(self, at: int, value: Value) -> Const | Known | None:
        """Return the node that stands for a value; None for a value that is too large or that must not be shared."""
        size = _size(value, 0)
        if size > min(MOST_BYTES, self._bytes_left):
            return None
        self._bytes_left -= size
        kind = type(value)
        if value is None or kind in (bool, int, float) or (kind is str and len(value) <= LITERAL_CHARS):
            return Const(at, value)
        return Known(at, value)

    def expression(self, node: Any) -> Const | Known | None:
        """Return the value of an expression whose operands are known, as a node; None to leave it to the run."""
        work = _WORK.get(type(node))
        if work is None:
            return None
        try:
            value = work(self, node)
        except FAILURES:
            return None
        return None if value is UNKNOWN else self.node(node.at, value)

    def template(self, node: Template) -> Value:
        """Join texts."""
        values = _values(node.parts)
        return UNKNOWN if values is None else operations.join(self.context, *values)

    def get(self, node: Get) -> Value:
        """Read an element or a property."""
        values = _values([node.object, node.key])
        return UNKNOWN if values is None else access.get(*values)

    def unary(self, node: Unary) -> Value:
        """Apply `-` or `not`."""
        value = value_of(node.operand)
        if value is UNKNOWN:
            return UNKNOWN
        return not value if node.op == "not" else operations.negate(value)

    def binary(self, node: Binary) -> Value:
        """Apply an operator."""
        left, right = value_of(node.left), value_of(node.right)
        if node.op == "??":
            return right if left is None else left
        if left is UNKNOWN or right is UNKNOWN:
            return UNKNOWN
        if node.op == "+":
            return operations.add(self.context, right, left)
        found = BINARY.get((node.op, node.negated))
        function = (found or BINARY[node.op, False])[1]
        value = function(right, left) if node.op in WITHOUT_CONTEXT else function(self.context, right, left)
        return value if found else not value

    def logic(self, node: Logic) -> Value:
        """Apply `and` or `or`."""
        values = _values(node.operands)
        if values is None:
            return UNKNOWN
        return all(values) if node.op == "and" else any(values)

    def is_null(self, node: IsNull) -> Value:
        """Compare with null."""
        value = value_of(node.operand)
        return UNKNOWN if value is UNKNOWN else (value is None) is not node.negated

    def between(self, node: Between) -> Value:
        """Apply `between`."""
        values = _values([node.high, node.low, node.operand])
        return UNKNOWN if values is None else operations.between(self.context, *values) is not node.negated

    def array(self, node: Array) -> Value:
        """Make an array or a tuple."""
        values = _values(node.items)
        return UNKNOWN if values is None else tuple(values) if node.fixed else values

    def object(self, node: Object) -> Value:
        """Make an object."""
        values = _values(parts_of(node))
        return UNKNOWN if values is None else access.object_of(*values)

    def call(self, node: Call) -> Value:
        """Call a library function that gives the same on every event."""
        if not isinstance(node.callee, Name) or node.callee.symbol is not None:
            return UNKNOWN
        if node.callee.name == "ifNull":
            left, right = map(value_of, node.args)
            return right if left is None else left
        function = self._functions.get(node.callee.name)
        values = _values(node.args)
        if function is None or values is None or not function.constant:
            return UNKNOWN
        return function.impl(self.context, *values) if function.needs_context else function.impl(*values)


def _values(nodes: list[Any]) -> list[Value] | None:
    values: list[Value] = []
    for node in nodes:
        value = value_of(node)
        if value is UNKNOWN:
            return None
        values.append(value)
    return values


def _size(value: Value, level: int) -> int:
    """Return about how many bytes a value takes; more than `MOST_BYTES` for one that must not be kept."""
    kind = type(value)
    if kind is str:
        return 64 + (len(value) if value.isascii() else 4 * len(value))
    if value is None or kind is bool or kind is float or kind in (HogDate, HogDateTime, HogInterval):
        return 64
    if kind is int:
        return 64 if value.bit_length() <= MOST_BITS else MOST_BYTES + 1
    if kind not in (list, tuple, dict) or level > MOST_LEVELS or len(value) > MOST_BYTES // 64:
        return MOST_BYTES + 1
    total = 64
    for part in [*value.keys(), *value.values()] if kind is dict else value:
        total += 16 + _size(part, level + 1)
        if total > MOST_BYTES:
            break
    return total


_WORK: dict[type, Callable[[ConstantEvaluation, Any], Value]] = {
    Template: ConstantEvaluation.template,
    Get: ConstantEvaluation.get,
    Unary: ConstantEvaluation.unary,
    Binary: ConstantEvaluation.binary,
    Logic: ConstantEvaluation.logic,
    IsNull: ConstantEvaluation.is_null,
    Between: ConstantEvaluation.between,
    Array: ConstantEvaluation.array,
    Object: ConstantEvaluation.object,
    Call: ConstantEvaluation.call,
}
