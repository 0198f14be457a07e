"""Expressions to Python expressions.

Each method emits one kind of node. Where the types of the operands are certain, an operator becomes the host's
own; otherwise a function of `operations`. `weight` adds up what the emitted code costs, in steps.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import Any

from evaluators.hog import access, operations
from evaluators.hog.emit import Emitter
from evaluators.hog.errors import HogRegexError
from evaluators.hog.functions import Function
from evaluators.hog.infer import NUMBERS, Types
from evaluators.hog.operators import BINARY, HEAVY_OPERATORS, INLINE, MIRRORED, WITHOUT_CONTEXT
from evaluators.hog.regex import MAX_PATTERN, compiled, searcher
from evaluators.hog.syntax import (
    Array,
    Between,
    Binary,
    Call,
    Choice,
    Const,
    Expr,
    Get,
    IsNull,
    Lambda,
    Logic,
    Match,
    Name,
    Object,
    Symbol,
    Template,
    Unary,
    parts_of,
)
from evaluators.hog.values import HogFunction

HEAVY = 32
"""Steps that a call costs whose time grows with its arguments."""

_CALLS_BACK = "array"
"""Beginning of the names of library functions that call functions."""

_SMALL = frozenset({"small", "number", "boolean"})
"""Types whose values are not large."""


class ExpressionCompiler:
    """Emits expressions. `names` collects what the emitted code needs from outside."""

    def __init__(self, emit: Emitter, types: Types, functions: dict[str, Function], *, mutates: bool) -> None:
        self.emit = emit
        self.types = types
        self.functions = functions
        self.mutates = mutates
        self.names: dict[str, Any] = {}
        self.weight = 0
        self.kept = 0
        self.hoisted: list[ast.stmt] = []
        self.string_globals: Sequence[str] = ()
        self._fresh = 0

    def define(self, name: str, node: Lambda) -> ast.stmt:
        """Emit the function that a `fun` or a lambda becomes."""
        raise NotImplementedError

    # -------------------------------------------------------------------------------------------- names

    def helper(self, name: str, value: Any) -> str:
        """Give the emitted code a function or a constant, and return the name by which it reads it."""
        self.names[name] = value
        return name

    def constant(self, value: Any) -> str:
        """Give the emitted code a constant that has no literal."""
        return self.helper(f"k_{len(self.names)}", value)

    def fresh(self, prefix: str) -> str:
        """Return a name that nothing else has."""
        self._fresh += 1
        return f"{prefix}_{self._fresh}"

    def ctx(self, at: int) -> ast.expr:
        """Read the context."""
        return self.emit.name(at, "ctx")

    def global_variable(self, name: str) -> str:
        """Return the variable that holds a global which is known to be a string."""
        return f"g_{name}"

    # ---------------------------------------------------------------------------------------- operands

    def operands(self, *nodes: Expr) -> list[ast.expr]:
        """Emit operands that are evaluated one after the other.

        What one has made is kept in a variable while a later one is made: a census of memory sees variables,
        and not what the host has on its stack.
        """
        making = [self.makes(node) for node in nodes]
        emitted = []
        for index, node in enumerate(nodes):
            operand = self.expression(node)
            if making[index] and any(making[index + 1 :]) and self.types.of(node) not in _SMALL:
                operand = self.keep(node.at, operand)
            emitted.append(operand)
        return emitted

    def keep(self, at: int, value: ast.expr) -> ast.expr:
        """Keep a value in a variable until the statement ends."""
        self.kept += 1
        return self.emit.walrus(at, f"s_{self.kept}", value)

    def makes(self, node: Expr) -> bool:
        """Whether evaluating may make a value whose size the source does not bound."""
        if isinstance(node, Name):
            return self.mutates and node.symbol is None and node.name not in self.string_globals
        if isinstance(node, Template):
            return any(self.types.of(part) != "small" and not isinstance(part, Const) for part in node.parts)
        if isinstance(node, Call):
            callee = node.callee.name if isinstance(node.callee, Name) and node.callee.symbol is None else ""
            cheap = callee in self.functions and self.functions[callee].cheap
            return not cheap or any(map(self.makes, node.args))
        if isinstance(node, Binary) and node.op == "+" and self.types.of(node) not in _SMALL:
            return True
        return any(map(self.makes, parts_of(node)))

    # -------------------------------------------------------------------------------------- expressions

    def expression(self, node: Expr) -> ast.expr:
        """Emit an expression."""
        self.weight += 1
        return _EXPRESSIONS[type(node)](self, node)

    def const(self, node: Const) -> ast.expr:
        """Emit a constant."""
        value = node.value
        if type(value) is float and (value != value or value in (float("inf"), float("-inf"))):
            return self.emit.name(node.at, self.constant(value))
        return self.emit.constant(node.at, value)

    def name(self, node: Name) -> ast.expr:
        """Emit a variable, a global or a function as a value."""
        symbol, e, at = node.symbol, self.emit, node.at
        if symbol is not None:
            if symbol.function is not None and self.is_plain_function(symbol):
                return self.function_value(at, symbol.name, symbol.function.function, e.name(at, symbol.python))
            return e.unbox(at, symbol.python) if symbol.boxed else e.name(at, symbol.python)
        if node.name in self.string_globals:
            return e.name(at, self.global_variable(node.name))
        key = e.constant(at, node.name)
        if node.name in self.functions or node.name == "print":
            function = e.name(at, self.constant(self.library_value(node.name)))
            read = self.helper("h_global_or_function", access.global_or_function)
            return e.call(at, read, e.name(at, "g"), key, function)
        read = self.helper("h_global", access.read_global)
        return self.copied(at, e.call(at, read, e.name(at, "g"), key))

    def copied(self, at: int, value: ast.expr) -> ast.expr:
        """Copy a global's value if anything in the program could change it."""
        if not self.mutates:
            return value
        return self.emit.call(at, self.helper("h_copied", access.copied), self.ctx(at), value)

    def is_plain_function(self, symbol: Symbol) -> bool:
        """Whether the emitted variable is the host's function itself, so that it can be called directly."""
        return symbol.function is not None and not symbol.assigned and not symbol.boxed

    def function_value(self, at: int, name: str, node: Lambda, code: ast.expr) -> ast.expr:
        """Emit the value that stands for a function of the host."""
        make = self.helper("h_function", HogFunction)
        return self.emit.call(at, make, self.emit.constant(at, name), self.emit.constant(at, len(node.params)), code)

    def library_value(self, name: str) -> HogFunction:
        """Return a library function as a value."""
        if name == "print":
            return HogFunction("print", None, operations.print_values, closure=False)
        function = self.functions[name]
        impl = function.impl
        code = impl if function.needs_context else lambda _context, *args: impl(*args)
        return HogFunction(name, function.max_args, code, closure=False, min_args=function.min_args)

    def template(self, node: Template) -> ast.expr:
        """Emit joined texts."""
        e, at, parts = self.emit, node.at, node.parts
        kinds = [self.types.of(part) for part in parts]
        if all(kind in ("string", "small") for kind in kinds) and all(map(self.quiet, parts)):
            growing = sum(k != "small" and not isinstance(p, Const) for k, p in zip(kinds, parts, strict=True))
            if growing > 1:
                return e.call(at, self.helper("h_join_texts", operations.join_texts), self.ctx(at), *self._texts(parts))
            joined = e.joined(at, [self.expression(part) for part in parts])
            return e.call(at, self.helper("h_sized", operations.sized), self.ctx(at), joined) if growing else joined
        if node.chain:
            helper = self.helper("h_join_back", operations.join_back)
            return e.call(at, helper, self.ctx(at), *self.operands(*reversed(parts)))
        return e.call(at, self.helper("h_join", operations.join), self.ctx(at), *self.operands(*parts))

    def _texts(self, parts: Sequence[Expr]) -> list[ast.expr]:
        """Emit strings and small integers, these as texts."""
        emitted = [(part, self.expression(part)) for part in parts]
        return [self.emit.joined(p.at, [x]) if self.types.of(p) == "small" else x for p, x in emitted]

    def get(self, node: Get) -> ast.expr:
        """Emit access to a property or an element."""
        e, at = self.emit, node.at
        keys: list[Expr] = []
        root: Expr = node
        while isinstance(root, Get) and isinstance(root.key, Const):
            keys.append(root.key)
            root = root.object
        if isinstance(root, Name) and root.symbol is None and root.name not in self.string_globals and keys:
            path = [self.expression(key) for key in reversed(keys)]
            read, at = self.helper("h_path", access.path_of_global), root.at
            return self.copied(at, e.call(at, read, e.name(at, "g"), e.constant(at, root.name), *path))
        read = self.helper("h_get", access.get)
        return e.call(at, read, *self.operands(node.object, node.key))

    def unary(self, node: Unary) -> ast.expr:
        """Emit `-` or `not`."""
        operand = self.expression(node.operand)
        if node.op == "not":
            return self.emit.negate(node.at, operand)
        return self.emit.call(node.at, self.helper("h_negate", operations.negate), operand)

    def binary(self, node: Binary) -> ast.expr:
        """Emit an operator with two operands."""
        e, at, op = self.emit, node.at, node.op
        if op == "??":
            return self.if_null(at, node.left, node.right)
        if op in HEAVY_OPERATORS:
            self.weight += HEAVY
        inline = self.inline(node)
        if inline is not None:
            return inline
        right, left = self.operands(node.right, node.left)
        if op == "+":
            return e.call(at, self.helper("h_add", operations.add), self.ctx(at), right, left)
        operands = [right, left] if op in WITHOUT_CONTEXT else [self.ctx(at), right, left]
        found = BINARY.get((op, node.negated))
        if found is not None:
            return e.call(at, self.helper(*found), *operands)
        return e.negate(at, e.call(at, self.helper(*BINARY[op, False]), *operands))

    def inline(self, node: Binary) -> ast.expr | None:
        """Emit the host's own operator if the types of the operands make it the same; else None."""
        e, at, op = self.emit, node.at, node.op
        left, right = self.types.of(node.left), self.types.of(node.right)
        if op in ("=~", "=~*"):
            return self.constant_regex(node) if left == "string" else None
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

    def constant_regex(self, node: Binary) -> ast.expr | None:
        """Emit a search of a string for a pattern that is compiled now; None if the pattern is not constant."""
        pattern = node.right.value if isinstance(node.right, Const) else None
        if type(pattern) is not str or not pattern or len(pattern) > MAX_PATTERN or not self.quiet(node.left):
            return None
        ignore_case = node.op == "=~*"
        try:
            compiled(pattern, ignore_case, False)
        except HogRegexError:
            return None  # the run will say so, where it comes to it
        test, e, at = self.constant(searcher(pattern, ignore_case)), self.emit, node.at
        search = e.call(at, test, self.ctx(at), self.expression(node.left))
        if not node.negated:
            # An empty subject is never found, even by a pattern that matches nothing at all.
            return ast.BoolOp(
                ast.And(),
                [e.compare(at, self.expression(node.left), ast.NotEq(), e.constant(at, "")), search],
                **e.place(at),
            )
        found = e.negate(at, search)
        empty = e.compare(at, self.expression(node.left), ast.NotEq(), e.constant(at, ""))
        return ast.BoolOp(ast.And(), [empty, found], **e.place(at))

    def is_event_text(self, node: Expr) -> bool:
        """Whether it is a string that no program made: it is no longer than an event."""
        return isinstance(node, Name) and node.symbol is None and node.name in self.string_globals

    def quiet(self, node: Expr) -> bool:
        """Whether evaluating has no effect, cannot fail and is cheap, so that order and repetition do not matter."""
        if isinstance(node, Const):
            return True
        return isinstance(node, Name) and (node.symbol is not None or node.name in self.string_globals)

    def if_null(self, at: int, left: Expr, right: Expr) -> ast.expr:
        """Emit `??`, whose right side is evaluated only if the left is null."""
        if self.types.of(left) != "any":
            return self.expression(left)
        e, held = self.emit, self.fresh("w")
        test = e.compare(at, e.walrus(at, held, self.expression(left)), ast.IsNot(), e.constant(at, None))
        return e.choose(at, test, e.name(at, held), self.expression(right))

    def logic(self, node: Logic) -> ast.expr:
        """Emit `and` or `or`: all operands are evaluated, the last one first."""
        operands = self.operands(*reversed(node.operands))
        name, function = ("h_and", operations.conjunction) if node.op == "and" else ("h_or", operations.disjunction)
        return self.emit.call(node.at, self.helper(name, function), *operands)

    def is_null(self, node: IsNull) -> ast.expr:
        """Emit `is [not] null`."""
        op: ast.cmpop = ast.IsNot() if node.negated else ast.Is()
        operand = self.expression(node.operand)
        if not isinstance(node.operand, (Name, Get, Call)):
            operand = self.emit.walrus(node.at, self.fresh("w"), operand)  # the host warns of `is` with a literal
        return self.emit.compare(node.at, operand, op, self.emit.constant(node.at, None))

    def between(self, node: Between) -> ast.expr:
        """Emit `[not] between`."""
        e, at = self.emit, node.at
        parts = self.operands(node.high, node.low, node.operand)
        found = e.call(at, self.helper("h_between", operations.between), self.ctx(at), *parts)
        return e.negate(at, found) if node.negated else found

    def choice(self, node: Choice) -> ast.expr:
        """Emit a lazy choice."""
        return self.choose(node.at, node.arms, node.otherwise)

    def choose(self, at: int, arms: Sequence[tuple[Expr, Expr]], otherwise: Expr) -> ast.expr:
        """Emit conditions, results and what holds otherwise."""
        emitted = [(self.expression(test), self.expression(result)) for test, result in arms]
        last = self.expression(otherwise)
        for test, result in reversed(emitted):
            last = self.emit.choose(at, test, result, last)
        return last

    def match(self, node: Match) -> ast.expr:
        """Emit `case subject when …`."""
        e, at, held = self.emit, node.at, self.fresh("w")
        subject = e.walrus(at, held, self.expression(node.subject))
        equals = self.helper("h_equals", operations.equals)
        arms = []
        for index, (value, result) in enumerate(node.arms):
            left = subject if index == 0 else e.name(at, held)
            # The subject comes first here, so that it is evaluated once and before all values.
            arms.append((e.call(at, equals, self.ctx(at), left, self.expression(value)), self.expression(result)))
        last = self.expression(node.otherwise)
        for test, found in reversed(arms):
            last = e.choose(at, test, found, last)
        return last

    def array(self, node: Array) -> ast.expr:
        """Emit an array or a tuple."""
        return self.emit.sequence(node.at, self.operands(*node.items), fixed=node.fixed)

    def object(self, node: Object) -> ast.expr:
        """Emit an object."""
        e, at = self.emit, node.at
        if all(isinstance(key, Const) for key, _ in node.pairs):
            keys: list[ast.expr | None] = [self.expression(key) for key, _ in node.pairs]
            return ast.Dict(keys, list(self.operands(*(value for _, value in node.pairs))), **e.place(at))
        parts = self.operands(*(part for pair in node.pairs for part in pair))
        return e.call(at, self.helper("h_object", access.object_of), *parts)

    def lambda_(self, node: Lambda) -> ast.expr:
        """Emit a lambda: its function goes before the statement."""
        code = self.fresh("f")
        self.hoisted.append(self.define(code, node))
        return self.function_value(node.at, "lambda", node, self.emit.name(node.at, code))

    # -------------------------------------------------------------------------------------------- calls

    def call(self, node: Call) -> ast.expr:
        """Emit a call."""
        callee, e, at = node.callee, self.emit, node.at
        if isinstance(callee, Name) and callee.symbol is None:
            form = _FORMS.get(callee.name)
            return form(self, node) if form else self.library_call(node, callee.name)
        self.weight += 2
        if isinstance(callee, Name) and callee.symbol is not None:
            symbol = callee.symbol
            function = symbol.function
            plain = function is not None and self.is_plain_function(symbol)
            if function is not None and plain and len(node.args) <= len(function.function.params):
                deeper = e.binary(at, e.name(at, "d"), ast.Add(), e.constant(at, 1))
                return e.call(at, symbol.python, deeper, *self.operands(*node.args))
        call = self.helper("h_call", operations.call)
        return e.call(at, call, self.ctx(at), e.name(at, "d"), *self.operands(callee, *node.args))

    def library_call(self, node: Call, name: str) -> ast.expr:
        """Emit a call of a library function."""
        e, at, function = self.emit, node.at, self.functions[name]
        if name == "length" and self.types.of(node.args[0]) in ("string", "array", "strings"):
            return e.call(at, self.helper("h_len", len), self.expression(node.args[0]))
        if not function.cheap:
            self.weight += HEAVY
        args = self.operands(*node.args)
        if not function.needs_context:
            return e.call(at, self.helper(f"lib_{name}", function.impl), *args)
        if name.startswith(_CALLS_BACK):
            library = e.name(at, self.constant(self.library_value(name)))
            call = self.helper("h_call", operations.call)
            return e.call(at, call, self.ctx(at), e.name(at, "d"), library, *args)
        return e.call(at, self.helper(f"lib_{name}", function.impl), self.ctx(at), *args)

    def if_form(self, node: Call) -> ast.expr:
        """Emit `if()`."""
        test, then, otherwise = node.args
        return self.choose(node.at, [(test, then)], otherwise)

    def multi_if_form(self, node: Call) -> ast.expr:
        """Emit `multiIf()`."""
        pairs = [(node.args[i], node.args[i + 1]) for i in range(0, len(node.args) - 1, 2)]
        return self.choose(node.at, pairs, node.args[-1])

    def if_null_form(self, node: Call) -> ast.expr:
        """Emit `ifNull()`."""
        return self.if_null(node.at, node.args[0], node.args[1])

    def print_form(self, node: Call) -> ast.expr:
        """Emit `print()`."""
        e, at = self.emit, node.at
        if len(node.args) == 1 and self.types.of(node.args[0]) == "string":
            helper = self.helper("h_print_string", operations.print_string)
        else:
            helper = self.helper("h_print", operations.print_values)
        return e.call(at, helper, self.ctx(at), *self.operands(*node.args))


_FORMS: dict[str, Callable[[ExpressionCompiler, Call], ast.expr]] = {
    "if": ExpressionCompiler.if_form,
    "multiIf": ExpressionCompiler.multi_if_form,
    "ifNull": ExpressionCompiler.if_null_form,
    "print": ExpressionCompiler.print_form,
}
_EXPRESSIONS: dict[type, Callable[[ExpressionCompiler, Any], ast.expr]] = {
    Const: ExpressionCompiler.const,
    Name: ExpressionCompiler.name,
    Template: ExpressionCompiler.template,
    Get: ExpressionCompiler.get,
    Call: ExpressionCompiler.call,
    Unary: ExpressionCompiler.unary,
    Binary: ExpressionCompiler.binary,
    Logic: ExpressionCompiler.logic,
    IsNull: ExpressionCompiler.is_null,
    Between: ExpressionCompiler.between,
    Choice: ExpressionCompiler.choice,
    Match: ExpressionCompiler.match,
    Array: ExpressionCompiler.array,
    Object: ExpressionCompiler.object,
    Lambda: ExpressionCompiler.lambda_,
}
