"""Types of expressions, as far as they are certain: they let the compiler leave out checks.

A type is `string`, `small` (an integer of at most 53 bits), `number`, `boolean`, `array`, `strings` (an array
of strings), or `any`. The type of a variable holds for all its assignments, wherever they are.
"""

from __future__ import annotations

from collections.abc import Collection

from evaluators.hog.checker import Checked
from evaluators.hog.syntax import (
    Array,
    Between,
    Binary,
    Call,
    Choice,
    Const,
    Expr,
    IsNull,
    Logic,
    Name,
    Template,
    Unary,
)

_TEXT_OF_TEXT = frozenset({"lower", "upper", "reverse", "replaceAll", "replaceOne", "trim", "trimLeft", "trimRight"})
"""Functions that give a string when their first argument is one."""

_BOOLEANS = frozenset({"isNull", "isNotNull", "empty", "notEmpty", "not", "equals", "notEquals"})
_ELEMENTS: dict[str | None, str | None] = {None: None, "strings": "string"}
_ROUNDS = 8
NUMBERS = frozenset({"small", "number"})


class Types:
    """Gives the type of any expression of a checked program."""

    def __init__(self, found: Checked, string_globals: Collection[str]) -> None:
        self.string_globals = string_globals
        for symbol in found.symbols:
            symbol.type = None
        for _ in range(_ROUNDS):
            if not self._round(found):
                break
        else:
            for symbol in found.symbols:
                symbol.type = "any"

    def _round(self, found: Checked) -> bool:
        changed = False
        pairs = [(s, "any" if e is None else self._of(e)) for s, e in found.assignments]
        pairs += [(s, _ELEMENTS.get(self._of(e), "any")) for s, e in found.iterations]
        for symbol, kind in pairs:
            joined = _join(symbol.type, kind)
            if joined != symbol.type:
                symbol.type, changed = joined, True
        return changed

    def of(self, node: Expr) -> str:
        """Return the type of an expression."""
        return self._of(node) or "any"

    def _of(self, node: Expr) -> str | None:  # None: not known yet in this round
        if isinstance(node, Const):
            return _of_constant(node.value)
        if isinstance(node, Name):
            if node.symbol is not None:
                return node.symbol.type
            return "string" if node.name in self.string_globals else "any"
        if isinstance(node, Template):
            return "string"
        if isinstance(node, (Logic, IsNull, Between)):
            return "boolean"
        if isinstance(node, Call):
            return self._of_call(node)
        if isinstance(node, Binary):
            return self._of_binary(node)
        if isinstance(node, Unary):
            return "boolean" if node.op == "not" else "number" if self._of(node.operand) in NUMBERS else "any"
        if isinstance(node, Array) and not node.fixed:
            return "strings" if node.items and all(self._of(i) == "string" for i in node.items) else "array"
        if isinstance(node, Choice):
            kind = self._of(node.otherwise)
            for _, result in node.arms:
                kind = _join(kind, self._of(result))
            return kind
        return "any"

    def _of_binary(self, node: Binary) -> str | None:
        left, right = self._of(node.left), self._of(node.right)
        if node.op == "??":
            return left if left not in (None, "any") else _join(left, right)
        if node.op in ("+", "-", "*", "/", "%"):
            if left is None or right is None:
                return None
            if left in NUMBERS and right in NUMBERS:
                return "number"
            return "string" if left == right == "string" and node.op == "+" else "any"
        return "boolean"

    def _of_call(self, node: Call) -> str | None:
        if not isinstance(node.callee, Name) or node.callee.symbol is not None or not node.args:
            return "any"
        name, first = node.callee.name, self._of(node.args[0])
        if first is None:
            return None
        if name == "length":
            return "small" if first in ("string", "array", "strings") else "any"
        if name in _TEXT_OF_TEXT:
            return "string" if first == "string" else "any"
        if name == "concat":
            return "string"
        if name in _BOOLEANS:
            return "boolean"
        if name == "ifNull":
            return first if first != "any" else "any"
        if name == "if":
            return _join(self._of(node.args[1]), self._of(node.args[2]))
        return "any"


def _of_constant(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "small" if abs(value) < 1 << 53 else "number"
    if isinstance(value, float):
        return "number"
    return "string" if isinstance(value, str) else "any"


def _join(first: str | None, second: str | None) -> str | None:
    if first is None or first == second:
        return second
    if second is None:
        return first
    if first in NUMBERS and second in NUMBERS:
        return "number"
    if {first, second} == {"array", "strings"}:
        return "array"
    return "any"
