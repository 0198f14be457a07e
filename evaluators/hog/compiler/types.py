"""Types of expressions, as far as they are certain: they let the compiler leave out checks.

A type is `string`, `small` (an integer of at most 53 bits), `integer`, `number`, `boolean`, `array`, `strings` (an
array of strings), `object`, or `any`. The type of a variable holds for all its assignments, wherever they are.
"""

from __future__ import annotations

from collections.abc import Collection

from evaluators.hog.compiler.checker import Checked
from evaluators.hog.parser.syntax import (
    Array,
    Between,
    Binary,
    Block,
    Call,
    Choice,
    Const,
    Expr,
    Found,
    Get,
    IsNull,
    Known,
    Let,
    Logic,
    Name,
    Object,
    Symbol,
    Template,
    Unary,
)

_TEXT_OF_TEXT = frozenset(
    {"lower", "upper", "reverse", "replaceAll", "replaceOne", "substring", "trim", "trimLeft", "trimRight"}
)
"""Functions that give a string when their first argument is one."""

_RESULTS = {
    **dict.fromkeys(
        (
            "isNull", "isNotNull", "empty", "notEmpty", "has", "in", "startsWith", "isValidJSON", "JSONHas", "match",
            "like", "ilike", "notLike", "notILike", "arrayExists", "isIPAddressInRange",
        ),
        "boolean",
    ),
    **dict.fromkeys(
        ("position", "positionCaseInsensitive", "indexOf", "arrayCount", "JSONLength", "multiSearchAnyCaseInsensitive"),
        "small",
    ),
    **dict.fromkeys(("concat", "toString", "extractRegex", "arrayStringConcat", "typeof", "jsonStringify"), "string"),
    **dict.fromkeys(
        (
            "keys", "values", "arrayPushBack", "arrayPushFront", "arrayPopBack", "arrayPopFront", "arraySort",
            "arrayReverseSort", "arrayReverse", "arrayMap", "arrayFilter", "range",
        ),
        "array",
    ),
}  # fmt: skip
"""Types that library functions give whatever their arguments are."""

TEXT_MEMBERS = frozenset({"input", "output", "input_text", "output_text", "reply_text", "reasoning_text"})
"""Members of an event that are texts."""

_ROUNDS = 8
INTEGERS = frozenset({"small", "integer"})
NUMBERS = INTEGERS | {"number"}


class Types:
    """Gives the type of any expression of a checked program."""

    def __init__(self, found: Checked, string_globals: Collection[str], texts: Collection[Symbol] = ()) -> None:
        self.string_globals = string_globals
        self._texts = texts
        self.elements_change = not all(_is_of_an_object(target, found) for target in found.mutations)
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
        pairs = [(s, self._of_value(s, e)) for s, e in found.assignments]
        elements = {None: None, "strings": "any" if self.elements_change else "string"}
        pairs += [(s, elements.get(self._of(e), "any")) for s, e in found.iterations]
        keys = {None: None, "array": "small", "strings": "small"}
        pairs += [(s, keys.get(self._of(e), "any")) for s, e in found.positions]
        for symbol, kind in pairs:
            joined = _join(symbol.type, kind)
            if joined != symbol.type:
                symbol.type, changed = joined, True
        return changed

    def _of_value(self, symbol: Symbol, value: Expr | None) -> str | None:
        if symbol in self._texts:
            return "string"
        return "any" if value is None else self._of(value)

    def of(self, node: Expr) -> str:
        """Return the type of an expression."""
        return self._of(node) or "any"

    def _of(self, node: Expr) -> str | None:  # None: not known yet in this round
        if isinstance(node, (Const, Known)):
            return _of_constant(node.value)
        if isinstance(node, Name):
            if node.symbol is not None:
                return node.symbol.type
            return "string" if node.name in self.string_globals else "any"
        if isinstance(node, Template):
            return "string"
        if isinstance(node, (Logic, IsNull, Between, Found)):
            return "boolean"
        if isinstance(node, Call):
            return self._of_call(node)
        if isinstance(node, Binary):
            return self._of_binary(node)
        if isinstance(node, Unary):
            if node.op == "not":
                return "boolean"
            operand = self._of(node.operand)
            return "integer" if operand in INTEGERS else "number" if operand in NUMBERS else "any"
        if isinstance(node, Object):
            return "object"
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
                return "integer" if node.op != "/" and left in INTEGERS and right in INTEGERS else "number"
            return "string" if left == right == "string" and node.op == "+" else "any"
        return "boolean"

    def _of_call(self, node: Call) -> str | None:
        if not isinstance(node.callee, Name) or node.callee.symbol is not None or not node.args:
            return "any"
        name, first = node.callee.name, self._of(node.args[0])
        if name in _RESULTS:
            return _RESULTS[name]
        if first is None:
            return None
        if name == "length":
            return "small" if first in ("string", "array", "strings") else "any"
        if name in _TEXT_OF_TEXT:
            return "string" if first == "string" else "any"
        if name == "splitByString":
            text = self._of(node.args[1])
            return None if text is None else "strings" if text == "string" else "any"
        if name in ("min2", "max2"):
            joined = _join(first, self._of(node.args[1]))
            return joined if joined is None or joined in INTEGERS else "any"
        if name == "ifNull":
            return first if first != "any" else "any"
        if name == "if":
            return _join(self._of(node.args[1]), self._of(node.args[2]))
        return "any"


def first_texts(program: Block) -> frozenset[Symbol]:
    """Return the variables that a program sets once, at its beginning, to a text of the event.

    They can be taken to be strings: where one is not, the program can begin anew, because nothing has happened yet.
    """
    found = set()
    for statement in program.statements:
        if not isinstance(statement, Let):
            break
        value = statement.value
        while (
            isinstance(value, Call)
            and isinstance(value.callee, Name)
            and value.callee.symbol is None
            and value.callee.name in _TEXT_OF_TEXT
            and len(value.args) == 1
        ):
            value = value.args[0]
        if isinstance(value, Get) and isinstance(value.key, Const) and value.key.value in TEXT_MEMBERS:
            while isinstance(value, Get) and isinstance(value.key, Const):
                value = value.object
            if not (isinstance(value, Name) and value.symbol is None):
                break
            if not statement.symbol.assigned and not statement.symbol.boxed:
                found.add(statement.symbol)
        elif not isinstance(value, (Const, Known)):
            break
    return frozenset(found)


def _is_of_an_object(target: Get, found: Checked) -> bool:
    """Whether `target` is a property of a variable that only ever gets literals of objects."""
    owner = target.object
    if not isinstance(owner, Name) or owner.symbol is None:
        return False
    values = [value for symbol, value in found.assignments if symbol is owner.symbol]
    return all(isinstance(value, Object) for value in values) and owner.symbol not in {
        s for s, _ in (*found.iterations, *found.positions)
    }


def _of_constant(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "small" if abs(value) < 1 << 53 else "integer"
    if isinstance(value, float):
        return "number"
    if isinstance(value, list):
        return "strings" if value and all(type(item) is str for item in value) else "array"
    if isinstance(value, dict):
        return "object"
    return "string" if isinstance(value, str) else "any"


def _join(first: str | None, second: str | None) -> str | None:
    if first is None or first == second:
        return second
    if second is None:
        return first
    if first in INTEGERS and second in INTEGERS:
        return "integer"
    if first in NUMBERS and second in NUMBERS:
        return "number"
    if {first, second} == {"array", "strings"}:
        return "array"
    return "any"
