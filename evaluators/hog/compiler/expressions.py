"""Expressions to Python expressions.

Each method emits one kind of node. Where the types of the operands are certain, an operator becomes the host's
own; otherwise a function of `operations`. `weight` adds up what the emitted code costs, in steps.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import Any

from evaluators.hog.compiler.guards import Guards
from evaluators.hog.compiler.operators import BINARY, HEAVY_OPERATORS, WITHOUT_CONTEXT
from evaluators.hog.compiler.types import NUMBERS
from evaluators.hog.parser.syntax import (
    Array,
    Between,
    Binary,
    Call,
    Choice,
    Const,
    Expr,
    Found,
    Get,
    IsNull,
    Known,
    Lambda,
    Logic,
    Match,
    Name,
    Object,
    Template,
    Unary,
    parts_of,
)
from evaluators.hog.runtime import access, operations
from evaluators.hog.runtime.context import Context

HEAVY = 32
"""Steps that a call costs whose time grows with its arguments."""

CALLS_BACK = frozenset({"arrayMap", "arrayFilter", "arrayExists", "arrayCount", "arrayReduce"})
"""Library functions that call functions."""

_SMALL = NUMBERS | {"boolean"}
"""Types whose values are not large."""


class ExpressionCompiler(Guards):
    """Emits expressions."""

    def define(self, name: str, node: Lambda) -> ast.stmt:
        """Emit the function that a `fun` or a lambda becomes."""
        raise NotImplementedError

    def loop_over(self, node: Call) -> ast.expr | None:
        """Emit a call of a library function that calls a lambda as a loop, or return None."""
        raise NotImplementedError

    # ---------------------------------------------------------------------------------------- operands

    def operands(self, *nodes: Expr) -> list[ast.expr]:
        """Emit operands that are evaluated one after the other.

        The value of an operand is kept in a variable while a later operand is evaluated, because a census of memory
        sees variables and not the host's stack.
        """
        making = [self.makes(node) for node in nodes]
        emitted = []
        for index, node in enumerate(nodes):
            operand = self.expression(node)
            if making[index] and any(making[index + 1 :]) and self.types.of(node) not in _SMALL:
                operand = self.keep(node.at, operand)
            emitted.append(operand)
        return emitted

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

    def known(self, node: Known) -> ast.expr:
        """Emit a value that was worked out before."""
        return self.emit.name(node.at, self.constant(node.value))

    def found_by_scan(self, node: Found) -> ast.expr:
        """Emit the question whether a pass has found a pattern."""
        e, at, test, scan = self.emit, node.at, node.test, node.scan
        if not self.is_plain_variable(scan.subject):
            return self.expression(test)
        among: ast.cmpop = ast.NotIn() if test.negated else ast.In()
        found = e.compare(at, e.constant(at, node.number), among, e.name(at, scan.python))
        if self.types.of(scan.subject) == "string":
            if test.negated and test.op.startswith("="):  # neither =~ nor !~ is true of an empty text
                return ast.BoolOp(
                    ast.And(),
                    [e.compare(at, self.expression(scan.subject), ast.NotEq(), e.constant(at, "")), found],
                    **e.place(at),
                )
            return found
        missing = e.compare(at, e.name(at, scan.python), ast.Is(), e.constant(at, None))
        if test.negated and test.op.startswith("="):
            missing = ast.BoolOp(ast.Or(), [missing, e.negate(at, self.expression(scan.subject))], **e.place(at))
        return e.choose(at, missing, self.expression(test), found)

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

    def template(self, node: Template) -> ast.expr:
        """Emit joined texts."""
        e, at, parts = self.emit, node.at, node.parts
        kinds = [self.types.of(part) for part in parts]
        if all(kind in ("string", "small") for kind in kinds) and all(map(self.quiet, parts)):
            growing = sum(k != "small" and not isinstance(p, Const) for k, p in zip(kinds, parts, strict=True))
            fixed = sum(len(part.value) for part in parts if isinstance(part, Const) and type(part.value) is str)
            if growing > 1 or fixed > operations.SMALL_TEXT:
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
        keys: list[Const] = []
        root: Expr = node
        while isinstance(root, Get) and isinstance(root.key, Const):
            keys.append(root.key)
            root = root.object
        if isinstance(root, Name) and root.symbol is None and root.name not in self.string_globals and keys:
            self.weight += len(keys)
            path = (root.name, *(key.value for key in reversed(keys)))
            at = root.at
            if all(type(key) is str or type(key) is int for key in path):
                read = self.helper("h_path", access.path_of_global)
            else:  # 1, 1.0 and true would be one path to a table that keeps paths
                read = self.helper("h_path_anew", access.at_path)
            return self.copied(at, e.call(at, read, e.name(at, "g"), e.name(at, self.constant(path))))
        element = self.element(node)
        if element is not None:
            return element
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
        inline = self.inline(node) or self.guarded(node)
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

    def if_null(self, at: int, left: Expr, right: Expr) -> ast.expr:
        """Emit `??`, whose right side is evaluated only if the left is null."""
        if self.types.of(left) != "any":
            return self.expression(left)
        e, held = self.emit, self.fresh("w")
        test = e.compare(at, e.walrus(at, held, self.expression(left)), ast.IsNot(), e.constant(at, None))
        return e.choose(at, test, e.name(at, held), self.expression(right))

    def logic(self, node: Logic) -> ast.expr:
        """Emit `and` or `or`: all operands are evaluated, the last one first."""
        e, at = self.emit, node.at
        nodes = list(reversed(node.operands))
        emitted = self.operands(*nodes)
        # The host's `&` and `|` evaluate both sides; of booleans they are a boolean.
        result, *others = [
            operand if self.types.of(of) == "boolean" else e.negate(at, e.negate(at, operand))
            for of, operand in zip(nodes, emitted, strict=True)
        ]
        for other in others:
            result = e.binary(at, result, ast.BitAnd() if node.op == "and" else ast.BitOr(), other)
        return result

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
        direct = _DIRECT.get(name)
        bound = direct(self, node) if direct is not None else None
        if bound is not None:
            return bound
        if name in CALLS_BACK:
            loop = self.loop_over(node)
            if loop is not None:
                return loop
            args = self.operands(*node.args)
            library = e.name(at, self.constant(self.library_value(name)))
            call = self.helper("h_call", operations.call)
            return e.call(at, call, self.ctx(at), e.name(at, "d"), library, *args)
        args = self.operands(*node.args)
        if not function.needs_context:
            return e.call(at, self.library(name), *args)
        return e.call(at, self.library(name), self.ctx(at), *args)

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
            helper = self.helper("h_print_string", Context.print_line)
        else:
            helper = self.helper("h_print", operations.print_values)
        return e.call(at, helper, self.ctx(at), *self.operands(*node.args))


_FORMS: dict[str, Callable[[ExpressionCompiler, Call], ast.expr]] = {
    "if": ExpressionCompiler.if_form,
    "multiIf": ExpressionCompiler.multi_if_form,
    "ifNull": ExpressionCompiler.if_null_form,
    "print": ExpressionCompiler.print_form,
}
_DIRECT: dict[str, Callable[[ExpressionCompiler, Call], ast.expr | None]] = {
    "extractRegex": ExpressionCompiler.constant_extraction,
    "lower": ExpressionCompiler.short_text,
    "position": ExpressionCompiler.constant_position,
    "replaceAll": ExpressionCompiler.short_replacement,
    "startsWith": ExpressionCompiler.certain_start,
    "trim": ExpressionCompiler.short_text,
    "upper": ExpressionCompiler.short_text,
}
"""Library functions that are emitted in another way if their arguments are known well enough."""

_EXPRESSIONS: dict[type, Callable[[ExpressionCompiler, Any], ast.expr]] = {
    Const: ExpressionCompiler.const,
    Found: ExpressionCompiler.found_by_scan,
    Known: ExpressionCompiler.known,
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
