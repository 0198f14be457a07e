"""Operators as the host's own: where the types of the operands are certain, and behind a test of their types."""

from __future__ import annotations

import ast
from collections.abc import Callable

from evaluators.hog.compiler.environment import Environment
from evaluators.hog.compiler.operators import BINARY, INLINE, MIRRORED
from evaluators.hog.compiler.types import INTEGERS, NUMBERS
from evaluators.hog.compiler.values import UNKNOWN, value_of
from evaluators.hog.parser.syntax import Binary, Call, Const, Expr, Get, Known, Name
from evaluators.hog.runtime import access, operations
from evaluators.hog.runtime.context import FREE_CHARS, Context
from evaluators.hog.runtime.errors import HogRegexError
from evaluators.hog.runtime.regex import MAX_PATTERN, compiled, extractor, liker, searcher

SAFE_INTEGER = 1 << 62
"""Integers below this one are added and subtracted without a look at the size of the result."""


class Guards(Environment):
    """Emits operators without a call of the runtime, as far as that is the same."""

    def expression(self, node: Expr) -> ast.expr:
        """Emit an expression."""
        raise NotImplementedError

    def keep(self, at: int, value: ast.expr) -> ast.expr:
        """Keep a value in a variable until the statement ends."""
        self.kept += 1
        return self.emit.walrus(at, f"s_{self.kept}", value)

    def quiet(self, node: Expr) -> bool:
        """Whether evaluating has no effect, cannot fail and is cheap, so that order and repetition do not matter."""
        if isinstance(node, (Const, Known)):
            return True
        return isinstance(node, Name) and (node.symbol is not None or node.name in self.string_globals)

    def is_event_text(self, node: Expr) -> bool:
        """Whether it is a string that no program made: it is no longer than an event."""
        return isinstance(node, Name) and node.symbol is None and node.name in self.string_globals

    def twice(self, node: Expr) -> tuple[ast.expr, ast.expr]:
        """Emit an operand, and the reading of its value once more."""
        if isinstance(node, (Const, Known)) or (isinstance(node, Name) and self.is_plain_variable(node)):
            return self.expression(node), self.again(node)
        first = self.keep(node.at, self.expression(node))
        return first, self.emit.name(node.at, f"s_{self.kept}")

    def again(self, node: Expr) -> ast.expr:
        """Emit an operand once more, of which at most one runs: it costs no more steps."""
        before = self.weight
        emitted = self.expression(node)
        self.weight = before
        return emitted

    def is_plain_variable(self, node: Name) -> bool:
        """Whether reading it is reading a variable of the host."""
        if node.symbol is None:
            return node.name in self.string_globals
        return not node.symbol.boxed and node.symbol.function is None

    def is_of(self, at: int, value: ast.expr, kind: type) -> ast.expr:
        """Emit the question whether a value is of a type of the host."""
        found = self.emit.call(at, self.helper("h_type", type), value)
        return self.emit.compare(at, found, ast.Is(), self.type_name(at, kind))

    def type_name(self, at: int, kind: type) -> ast.expr:
        """Read a type of the host."""
        return self.emit.name(at, self.helper(f"h_{kind.__name__}", kind))

    # ------------------------------------------------------------------------------------------ certain types

    def inline(self, node: Binary) -> ast.expr | None:
        """Emit the host's own operator if the types of the operands make it the same; else None."""
        e, at, op = self.emit, node.at, node.op
        left, right = self.types.of(node.left), self.types.of(node.right)
        numbers = left in NUMBERS and right in NUMBERS
        # Two long texts take long to compare, which nothing here would charge; a constant is not long.
        texts = left == right == "string" and (isinstance(node.left, Const) or isinstance(node.right, Const))
        if op in ("==", *INLINE) and (numbers or texts):
            second, first = self.expression(node.right), self.expression(node.left)
            if op == "==":
                return e.compare(at, second, ast.NotEq() if node.negated else ast.Eq(), first)
            return e.compare(at, second, MIRRORED[op], first)
        if op in ("+", "-") and numbers and self.quiet(node.left) and self.quiet(node.right):
            first, second = self.expression(node.left), self.expression(node.right)
            return e.binary(at, first, ast.Add() if op == "+" else ast.Sub(), second)
        if op == "in" and left == "string" and self.is_event_text(node.right):
            second, first = self.expression(node.right), self.expression(node.left)
            if self.quiet(node.left) and self.quiet(node.right):
                return e.compare(at, first, ast.NotIn() if node.negated else ast.In(), second)
        return None

    # ------------------------------------------------------------------------------------ types that are tested

    def guarded(self, node: Binary) -> ast.expr | None:
        """Emit an operator with a test of the operands' types before it; None if that does not pay."""
        if node.op in ("=~", "=~*", "like", "ilike"):
            return self.constant_pattern(node)
        if node.op in ("==", *INLINE):
            return self.guarded_comparison(node)
        return self.guarded_sum(node) if node.op in ("+", "-") else None

    def guarded_comparison(self, node: Binary) -> ast.expr | None:
        """Compare integers, or a value with a short text, directly."""
        e, at, op = self.emit, node.at, node.op
        left, right = value_of(node.left), value_of(node.right)
        name, function = BINARY.get((op, node.negated)) or BINARY[op, False]
        constant = left if left is not UNKNOWN else right
        if constant is not UNKNOWN:
            kind = type(constant)
            if kind not in (int, str) or (kind is str and len(constant) > operations.SMALL_TEXT):
                return None
            read, again = self.twice(node.right if constant is left else node.left)
            test = self.is_of(at, read, kind)
            fixed = self.expression(node.left if constant is left else node.right)
            sides = (again, fixed) if constant is left else (fixed, again)
        else:
            (second, sides_right), (first, sides_left) = self.twice(node.right), self.twice(node.left)
            kinds = [e.call(at, self.helper("h_type", type), value) for value in (second, first)]
            whole = self.type_name(at, int)
            test = ast.Compare(kinds[0], [ast.Is(), ast.Is()], [kinds[1], whole], **e.place(at))
            sides = (sides_right, sides_left)
        if op == "==":
            direct = e.compare(at, sides[0], ast.NotEq() if node.negated else ast.Eq(), sides[1])
        else:
            direct = e.compare(at, sides[0], MIRRORED[op], sides[1])
        return e.choose(at, test, direct, e.call(at, self.helper(name, function), self.ctx(at), *sides))

    def guarded_sum(self, node: Binary) -> ast.expr | None:
        """Add a small constant to an integer, or subtract it, directly."""
        e, at = self.emit, node.at
        right = value_of(node.right)
        if type(right) is not int or abs(right) >= SAFE_INTEGER:
            return None
        if self.types.of(node.left) in NUMBERS:
            operator = ast.Add() if node.op == "+" else ast.Sub()
            return e.binary(at, self.expression(node.left), operator, self.expression(node.right))
        read, again = self.twice(node.left)
        small = ast.Compare(
            e.constant(at, -SAFE_INTEGER), [ast.Lt(), ast.Lt()], [again, e.constant(at, SAFE_INTEGER)], **e.place(at)
        )
        test = ast.BoolOp(ast.And(), [self.is_of(at, read, int), small], **e.place(at))
        fixed = self.expression(node.right)
        if node.op == "+":
            slow = e.call(at, self.helper("h_add", operations.add), self.ctx(at), fixed, again)
            return e.choose(at, test, e.binary(at, again, ast.Add(), fixed), slow)
        slow = e.call(at, self.helper("h_subtract", operations.subtract), fixed, again)
        return e.choose(at, test, e.binary(at, again, ast.Sub(), fixed), slow)

    def element(self, node: Get) -> ast.expr | None:
        """Read an element of an array by a whole number, or a member of an object by a short text, directly."""
        owner, key = node.object, value_of(node.key)
        if not (isinstance(owner, Name) and owner.symbol and self.is_plain_variable(owner)):
            return None
        if key is UNKNOWN and not (isinstance(node.key, Name) and self.is_plain_variable(node.key)):
            return None
        kind, of_key = self.types.of(owner), self.types.of(node.key)
        read = self.helper("h_get", access.get)
        slow = self.emit.call(node.at, read, self.expression(owner), self.expression(node.key))
        if of_key == "string" or kind == "object":
            return self._member(node, owner, slow)
        if (type(key) is int and key > 0) or (key is UNKNOWN and of_key in (*NUMBERS, "any")):
            return self._item(node, owner, slow)
        return None

    def _member(self, node: Get, owner: Name, slow: ast.expr) -> ast.expr:
        """Read a member of an object by a short text."""
        e, at, key = self.emit, node.at, self.again(node.key)
        certain = self.types.of(owner) == "object"
        tests = [] if certain else [self.is_of(at, self.again(owner), dict)]
        if not (isinstance(node.key, Const) and type(node.key.value) is str):
            size = e.call(at, self.helper("h_len", len), key)
            tests += [] if self.types.of(node.key) == "string" else [self.is_of(at, key, str)]
            tests.append(e.compare(at, size, ast.Lt(), e.constant(at, operations.SMALL_TEXT)))
        if certain:
            direct: ast.expr = e.call(at, self.helper("h_member", dict.get), self.again(owner), key)
            return e.choose(at, self.all_of(at, tests), direct, slow) if tests else direct
        tests.append(e.compare(at, key, ast.In(), self.again(owner)))
        direct = ast.Subscript(self.again(owner), key, ast.Load(), **e.place(at))
        return e.choose(at, self.all_of(at, tests), direct, slow)

    def _item(self, node: Get, owner: Name, slow: ast.expr) -> ast.expr:
        """Read an element of an array by a position from 1 on."""
        e, at, position = self.emit, node.at, self.again(node.key)
        tests = [] if self.types.of(owner) in ("array", "strings") else [self.is_of(at, self.again(owner), list)]
        if not isinstance(node.key, Const) and self.types.of(node.key) not in INTEGERS:
            tests.append(self.is_of(at, position, int))
        size = e.call(at, self.helper("h_len", len), self.again(owner))
        tests.append(ast.Compare(e.constant(at, 0), [ast.Lt(), ast.LtE()], [position, size], **e.place(at)))
        index = e.binary(at, position, ast.Sub(), e.constant(at, 1))
        direct = ast.Subscript(self.again(owner), index, ast.Load(), **e.place(at))
        return e.choose(at, self.all_of(at, tests), direct, slow)

    def all_of(self, at: int, tests: list[ast.expr]) -> ast.expr:
        """Emit whether all tests hold, the first one first."""
        return tests[0] if len(tests) == 1 else ast.BoolOp(ast.And(), tests, **self.emit.place(at))

    def constant_pattern(self, node: Binary) -> ast.expr | None:
        """Emit a search for a pattern that is compiled now; None if the pattern is not constant."""
        pattern = value_of(node.right)
        if type(pattern) is not str or not pattern or len(pattern) > MAX_PATTERN:
            return None
        test = _test_of(pattern, node.op)
        if test is None:
            return None  # the run will say so, where it comes to it
        e, at = self.emit, node.at
        read, again = self.twice(node.left)
        search = e.call(at, self.constant(test), self.ctx(at), again)
        regex, certain = node.op in ("=~", "=~*"), self.types.of(node.left) == "string"
        if node.negated:
            search = e.negate(at, search)
        if regex:  # An empty subject is never found, even by a pattern that matches nothing at all.
            first = again if not certain else read
            search = ast.BoolOp(
                ast.And(), [e.compare(at, first, ast.NotEq(), e.constant(at, "")), search], **e.place(at)
            )
        elif certain:
            search = e.call(at, self.constant(test), self.ctx(at), read)
            return e.negate(at, search) if node.negated else search
        if certain:
            return search
        found = BINARY.get((node.op, node.negated))
        slow = e.call(
            at, self.helper(*(found or BINARY[node.op, False])), self.ctx(at), self.expression(node.right), again
        )
        slow = slow if found or not node.negated else e.negate(at, slow)
        return e.choose(at, self.is_of(at, read, str), search, slow)

    def constant_position(self, node: Call) -> ast.expr | None:
        """Emit `position` of a constant text in a text directly; None with other arguments."""
        part = value_of(node.args[1])
        if type(part) is not str or len(node.args) > 2:
            return None
        e, at = self.emit, node.at
        read, again = self.twice(node.args[0])
        slow = e.call(at, self.library("position"), self.ctx(at), again, self.expression(node.args[1]))
        certain = self.types.of(node.args[0]) == "string"
        found = e.call(at, self.helper("h_find", str.find), read if certain else again, self.expression(node.args[1]))
        direct = e.binary(at, found, ast.Add(), e.constant(at, 1))
        return direct if certain else e.choose(at, self.is_of(at, read, str), direct, slow)

    def short_text(self, node: Call) -> ast.expr | None:
        """Emit a method of the host for a text that is too short to be charged; None if its type is not certain."""
        if len(node.args) > 1 or self.types.of(node.args[0]) != "string" or not isinstance(node.callee, Name):
            return None
        e, at, name = self.emit, node.at, node.callee.name
        read, again = self.twice(node.args[0])
        size = e.call(at, self.helper("h_len", len), read)
        test = e.compare(at, size, ast.LtE(), e.constant(at, FREE_CHARS))
        direct = e.call(at, self.helper(f"h_{name}", _METHODS[name]), again)
        return e.choose(at, test, direct, e.call(at, self.library(name), self.ctx(at), again))

    def short_replacement(self, node: Call) -> ast.expr | None:
        """Emit `replaceAll` as the host's own for a text that is too short to be charged and that cannot grow.

        None if the type of the text is not certain, or if the other arguments are not constant texts.
        """
        before, after = value_of(node.args[1]), value_of(node.args[2])
        if type(before) is not str or type(after) is not str or not len(before) >= max(1, len(after)):
            return None
        if self.types.of(node.args[0]) != "string":
            return None
        e, at = self.emit, node.at
        read, again = self.twice(node.args[0])
        size = e.call(at, self.helper("h_len", len), read)
        test = e.compare(at, size, ast.LtE(), e.constant(at, FREE_CHARS))
        texts = [self.expression(each) for each in node.args[1:]]
        direct = e.call(at, self.helper("h_replace", str.replace), again, *texts)
        slow = e.call(at, self.library("replaceAll"), self.ctx(at), again, *map(self.again, node.args[1:]))
        return e.choose(at, test, direct, slow)

    def certain_start(self, node: Call) -> ast.expr | None:
        """Emit `startsWith` of two texts as the host's own; None if a type is not certain."""
        if any(self.types.of(each) != "string" for each in node.args):
            return None
        starts = self.helper("h_starts", str.startswith)
        return self.emit.call(node.at, starts, self.expression(node.args[0]), self.expression(node.args[1]))

    def library(self, name: str) -> str:
        """Return the name by which emitted code reads a library function."""
        return self.helper(f"lib_{name}", self.functions[name].impl)

    def constant_extraction(self, node: Call) -> ast.expr | None:
        """Emit `extractRegex` with a pattern that is compiled now; None if the pattern is not constant and valid."""
        pattern = value_of(node.args[1])
        if type(pattern) is not str or len(pattern) > MAX_PATTERN:
            return None
        try:
            first = extractor(pattern)
        except HogRegexError:
            return None
        e, at = self.emit, node.at
        read, again = self.twice(node.args[0])
        taken = e.call(at, self.constant(first), self.ctx(at), read)
        if self.types.of(node.args[0]) == "string":
            return taken
        slow = e.call(at, self.library("extractRegex"), self.ctx(at), again, self.expression(node.args[1]))
        taken = e.call(at, self.constant(first), self.ctx(at), again)
        return e.choose(at, self.is_of(at, read, str), taken, slow)


_METHODS = {"lower": str.lower, "trim": str.strip, "upper": str.upper}
"""Library functions that are a method of the host where their only argument is a text."""


def _test_of(pattern: str, op: str) -> Callable[[Context, str], bool] | None:
    """Return what searches a text for a pattern; None if the pattern is not valid."""
    try:
        if op in ("like", "ilike"):
            return liker(pattern, op == "ilike")
        compiled(pattern, op == "=~*", False)
        return searcher(pattern, op == "=~*")
    except HogRegexError:
        return None
