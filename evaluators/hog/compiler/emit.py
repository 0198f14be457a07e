"""Building blocks of the emitted code: Python syntax trees whose places are those of the Hog source.

Because every emitted node has the line and the column of the Hog text that it stands for, the host's own
traceback says where a run failed, and runs that do not fail pay nothing for it.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any, TypedDict

from evaluators.hog.parser.lexer import SourceText

LOAD, STORE = ast.Load(), ast.Store()


class SyntaxPlace(TypedDict):
    """Where an emitted node stands, as `ast` counts: lines from 1, columns from 0."""

    lineno: int
    col_offset: int
    end_lineno: int
    end_col_offset: int


class Emitter:
    """Makes nodes at the places of one source."""

    def __init__(self, source: SourceText) -> None:
        self._source = source
        self._places: dict[int, SyntaxPlace] = {}

    def place(self, at: int) -> SyntaxPlace:
        """Return the place of an offset."""
        found = self._places.get(at)
        if found is None:
            line, column = self._source.place(at)
            found = SyntaxPlace(lineno=line, col_offset=column - 1, end_lineno=line, end_col_offset=column)
            self._places[at] = found
        return found

    def name(self, at: int, name: str) -> ast.expr:
        """Read a variable."""
        return ast.Name(name, LOAD, **self.place(at))

    def constant(self, at: int, value: Any) -> ast.expr:
        """Write a constant."""
        return ast.Constant(value, **self.place(at))

    def call(self, at: int, function: str, *args: ast.expr) -> ast.expr:
        """Call a function by its name."""
        return ast.Call(self.name(at, function), list(args), [], **self.place(at))

    def set(self, at: int, name: str, value: ast.expr) -> ast.stmt:
        """Assign to a variable."""
        return ast.Assign([ast.Name(name, STORE, **self.place(at))], value, **self.place(at))

    def walrus(self, at: int, name: str, value: ast.expr) -> ast.expr:
        """Assign within an expression."""
        return ast.NamedExpr(ast.Name(name, STORE, **self.place(at)), value, **self.place(at))

    def box(self, at: int, value: ast.expr) -> ast.expr:
        """Put a value into a new box."""
        return ast.List([value], LOAD, **self.place(at))

    def unbox(self, at: int, name: str) -> ast.expr:
        """Read what a box holds."""
        return ast.Subscript(self.name(at, name), self.constant(at, 0), LOAD, **self.place(at))

    def set_box(self, at: int, name: str, value: ast.expr) -> ast.stmt:
        """Change what a box holds."""
        target = ast.Subscript(self.name(at, name), self.constant(at, 0), STORE, **self.place(at))
        return ast.Assign([target], value, **self.place(at))

    def compare(self, at: int, left: ast.expr, op: ast.cmpop, right: ast.expr) -> ast.expr:
        """Compare two values by an operator of the host."""
        return ast.Compare(left, [op], [right], **self.place(at))

    def binary(self, at: int, left: ast.expr, op: ast.operator, right: ast.expr) -> ast.expr:
        """Apply an operator of the host."""
        return ast.BinOp(left, op, right, **self.place(at))

    def choose(self, at: int, test: ast.expr, then: ast.expr, otherwise: ast.expr) -> ast.expr:
        """Write a conditional expression."""
        return ast.IfExp(test, then, otherwise, **self.place(at))

    def negate(self, at: int, operand: ast.expr) -> ast.expr:
        """Write the host's `not`."""
        return ast.UnaryOp(ast.Not(), operand, **self.place(at))

    def joined(self, at: int, parts: Sequence[ast.expr]) -> ast.expr:
        """Write an f-string."""
        values: list[ast.expr] = []
        for part in parts:
            if isinstance(part, ast.Constant) and type(part.value) is str:
                values.append(part)
            else:
                values.append(ast.FormattedValue(part, -1, None, **self.place(at)))
        return ast.JoinedStr(values, **self.place(at))

    def sequence(self, at: int, items: Sequence[ast.expr], *, fixed: bool) -> ast.expr:
        """Write a tuple or a list."""
        kind = ast.Tuple if fixed else ast.List
        return kind(list(items), LOAD, **self.place(at))

    def do(self, at: int, value: ast.expr) -> ast.stmt:
        """Evaluate for the effect."""
        return ast.Expr(value, **self.place(at))

    def function(
        self, at: int, name: str, params: Sequence[str], optional: int, bound: Sequence[str], body: list[ast.stmt]
    ) -> ast.stmt:
        """Define a function.

        The last `optional` parameters are null when they are missing; `bound` are variables whose values the
        function keeps from the moment of its definition.
        """
        arguments = ast.arguments(
            posonlyargs=[],
            args=[ast.arg(p, None, **self.place(at)) for p in params],
            kwonlyargs=[ast.arg(b, None, **self.place(at)) for b in bound],
            kw_defaults=[self.name(at, b) for b in bound],
            defaults=[self.constant(at, None) for _ in range(optional)],
        )
        return ast.FunctionDef(name=name, args=arguments, body=body, decorator_list=[], **self.place(at))


ALLOWED = (
    ast.Module, ast.FunctionDef, ast.arguments, ast.arg, ast.Return, ast.Assign, ast.AugAssign, ast.For, ast.While,
    ast.If, ast.Raise, ast.Try, ast.ExceptHandler, ast.Nonlocal, ast.Expr, ast.Pass, ast.BoolOp, ast.NamedExpr,
    ast.BinOp, ast.UnaryOp, ast.IfExp, ast.Dict, ast.Compare, ast.Call, ast.JoinedStr, ast.FormattedValue,
    ast.Constant, ast.Subscript, ast.Name, ast.List, ast.Tuple, ast.expr_context, ast.boolop, ast.operator,
    ast.unaryop, ast.cmpop,
)  # fmt: skip
"""All that may stand in emitted code. There is no attribute access, import, `del`, `global` or `with`."""


class UnsafeCodeError(AssertionError):
    """The compiler emitted something that it never should: a defect of the compiler."""


def assert_safe(tree: ast.Module, known: frozenset[str]) -> None:
    """Raise UnsafeCodeError if emitted code could reach anything but the runtime's own functions.

    `known` are the names that the code gets from outside; every other name must be one that it binds itself.
    """
    bound: set[str] = set()
    read: set[str] = set()
    for node in ast.walk(tree):
        if not isinstance(node, ALLOWED):
            raise UnsafeCodeError(f"Emitted code holds {type(node).__name__}")
        if isinstance(node, ast.Name):
            (bound if isinstance(node.ctx, ast.Store) else read).add(str(node.id))
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.FunctionDef) or (isinstance(node, ast.ExceptHandler) and node.name):
            bound.add(str(node.name))
    strangers = {name for name in read - bound if name not in known}
    if strangers or any("__" in name for name in bound):
        raise UnsafeCodeError(f"Emitted code reads unknown names or binds reserved ones: {sorted(strangers)[:5]}")
