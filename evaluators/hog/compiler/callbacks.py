"""Calls such as `arrayMap(x -> x + 1, numbers)`: the lambda becomes the body of a loop, without a call per element."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass

from evaluators.hog.compiler.emit import STORE
from evaluators.hog.compiler.expressions import CALLS_BACK, ExpressionCompiler
from evaluators.hog.parser.syntax import Call, Expr, Lambda, Name, Return
from evaluators.hog.runtime import operations
from evaluators.hog.runtime.context import Context
from evaluators.hog.stdlib.arrays import begin_callbacks

STEPS_OF_A_CALL = 6
"""Steps that the call of a lambda by the library costs."""


@dataclass(frozen=True, slots=True)
class _Loop:
    """The names in one emitted loop."""

    elements: str
    result: str
    variable: str


class Callbacks(ExpressionCompiler):
    """Emits calls of library functions that call a lambda."""

    def count(self, at: int, weight: int) -> list[ast.stmt]:
        """Emit the counting of steps, which are charged when they are many."""
        raise NotImplementedError

    def loop_over(self, node: Call) -> ast.expr | None:
        """Emit a call as a loop; None if the first argument is not a lambda of one expression."""
        function = node.args[0]
        name = node.callee.name if isinstance(node.callee, Name) else ""
        if name not in CALLS_BACK or not isinstance(function, Lambda):
            return None
        body = function.body.statements[0] if len(function.body.statements) == 1 else None
        wanted = 2 if name == "arrayReduce" else 1
        if not isinstance(body, Return) or len(function.symbols) != wanted or any(s.captured for s in function.symbols):
            return None
        e, at = self.emit, node.at
        code = self.fresh("f")
        self.hoisted.append(self._function(name, code, function, body.value))
        collection, *initial = self.operands(*node.args[1:])
        begin = self.helper("h_begin", begin_callbacks)
        elements = e.call(at, begin, self.ctx(at), e.name(at, "d"), collection)
        deeper = e.binary(at, e.name(at, "d"), ast.Add(), e.constant(at, 2))
        if initial and isinstance(collection, ast.Call):
            elements = e.call(at, begin, self.ctx(at), e.name(at, "d"), self.keep(at, collection))
        return e.call(at, code, deeper, elements, *initial)

    def _function(self, name: str, code: str, node: Lambda, value: Expr) -> ast.stmt:
        """Emit the function that has the loop."""
        outer = self.in_loop, self.hoisted, self.weight, self.held, self.kept
        self.in_loop, self.hoisted, self.weight, self.held, self.kept = True, [], 0, 0, 0
        e, at = self.emit, node.at
        loop = _Loop(self.fresh("r"), self.fresh("r"), node.symbols[-1].python)
        emitted = self.expression(value)
        turn = [*self.count(at, self.weight + STEPS_OF_A_CALL), *self.hoisted, *self._turn(name, loop, node, emitted)]
        enter = e.call(at, self.helper("h_enter", operations.enter), self.ctx(at), e.name(at, "d"), e.constant(at, 0))
        body: list[ast.stmt] = [
            ast.If(e.name(at, loop.elements), [e.do(at, enter)], [], **e.place(at)),
            e.set(at, "t", e.constant(at, 0)),
            *self._start(name, loop, at),
            ast.For(ast.Name(loop.variable, STORE, **e.place(at)), e.name(at, loop.elements), turn, [], **e.place(at)),
            # The steps that are left would otherwise never be charged.
            e.do(at, e.call(at, self.helper("h_settle", Context.settle), self.ctx(at), e.name(at, "t"))),
            ast.Return(self._end(name, loop, node), **e.place(at)),
        ]
        self.in_loop, self.hoisted, self.weight, self.held, self.kept = outer
        self.weight += 2
        params = ["d", loop.elements, *([node.symbols[0].python] if name == "arrayReduce" else [])]
        bound = sorted({s.python for s in node.captures if s.boxed})
        return e.function(at, code, params, 0, bound, body)

    def _start(self, name: str, loop: _Loop, at: int) -> list[ast.stmt]:
        e = self.emit
        if name == "arrayCount":
            return [e.set(at, loop.result, e.constant(at, 0))]
        if name in ("arrayMap", "arrayFilter"):
            return [e.set(at, loop.result, e.sequence(at, [], fixed=False))]
        return []

    def _turn(self, name: str, loop: _Loop, node: Lambda, value: ast.expr) -> Sequence[ast.stmt]:
        e, at = self.emit, node.at
        add = self.helper("h_append", list.append)
        if name == "arrayMap":
            return [e.do(at, e.call(at, add, e.name(at, loop.result), value))]
        if name == "arrayReduce":
            return [e.set(at, node.symbols[0].python, value)]
        if name == "arrayFilter":
            then: ast.stmt = e.do(at, e.call(at, add, e.name(at, loop.result), e.name(at, loop.variable)))
        elif name == "arrayCount":
            more = e.binary(at, e.name(at, loop.result), ast.Add(), e.constant(at, 1))
            then = e.set(at, loop.result, more)
        else:
            then = ast.Return(e.constant(at, True), **e.place(at))
        return [ast.If(value, [then], [], **e.place(at))]

    def _end(self, name: str, loop: _Loop, node: Lambda) -> ast.expr:
        if name == "arrayReduce":
            return self.emit.name(node.at, node.symbols[0].python)
        if name == "arrayExists":
            return self.emit.constant(node.at, False)
        return self.emit.name(node.at, loop.result)
