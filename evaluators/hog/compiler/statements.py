"""Syntax tree to Python code.

The emitted module has one function, `program(g, ctx, peek)`: `g` is the globals, `peek` their `get`,
`ctx` the run's `Context`. Variables of Hog are named `v_…`, functions of the runtime `h_…`, of the library
`lib_…`, constants `k_…`. An expression keeps values for a while in `s_…` and `w_…`, a loop over elements in
`r_…`, a pass over a text in `m_…`. `d` is the call depth of the function at hand, `t` the steps that its loops
have counted and not charged yet.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from evaluators.hog.compiler.callbacks import Callbacks
from evaluators.hog.compiler.checker import Checked
from evaluators.hog.compiler.emit import STORE, Emitter, UnsafeCodeError, assert_safe
from evaluators.hog.compiler.expressions import HEAVY
from evaluators.hog.compiler.types import Types, first_texts
from evaluators.hog.parser.lexer import SourceText
from evaluators.hog.parser.syntax import (
    Assign,
    Block,
    Do,
    Expr,
    For,
    ForIn,
    Fun,
    Get,
    If,
    Lambda,
    Let,
    Name,
    Return,
    Scan,
    Stmt,
    Symbol,
    Throw,
    Try,
    Unrolled,
    While,
)
from evaluators.hog.runtime import access, operations
from evaluators.hog.runtime.context import Context
from evaluators.hog.runtime.errors import HogCompileError, HogThrow
from evaluators.hog.runtime.functions import Function
from evaluators.hog.runtime.values import Value

Main = Callable[[Mapping[str, Any], Context, Callable[[str], Any]], Value]
"""The emitted function of a program."""

PARAMETERS = ("g", "ctx", "peek")
"""The parameters of the emitted `program`."""

FILENAME = "<hog>"
"""The file name of the emitted code in tracebacks."""

SETTLE_AT = 512
"""Steps that a loop counts before it charges them."""

SHORT_KEY = 1024
"""Characters below which a key is not looked at before it is set."""

ANY_ERROR = "Error"
"""The type of `catch (e: Error)`, which takes errors of every type."""

STRAIGHT_AT = 64
"""Steps of statements outside of loops after which the clock is looked at."""

_UNSAFE_IN_NAME = re.compile(r"[^A-Za-z0-9]+")


def compile_module(
    program: Block,
    source: SourceText,
    found: Checked,
    functions: dict[str, Function],
    string_globals: Sequence[str],
) -> tuple[ast.Module, dict[str, Any]]:
    """Return the emitted module and the names that it needs.

    `string_globals` are the globals that are taken to be strings, and so is what the first variables read of a text
    of the event. The emitted function looks whether they are, and gives way to `h_generic` if not. With none, nothing
    is taken to be a string.
    """
    compiler = Compiler(program, source, found, functions, string_globals)
    module = compiler.module(program)
    assert_safe(module, frozenset(compiler.names) | {"h_generic"})
    return module, compiler.names


def load(module: ast.Module, names: Mapping[str, Any], generic: Main | None = None) -> Main:
    """Return the function of an emitted module.

    `generic` runs in its place where a global that is taken to be a string is none. HogCompileError if the host's
    compiler refuses the module.
    """
    namespace: dict[str, Any] = {"__builtins__": {}, "h_generic": generic, **names}
    try:
        code = compile(module, FILENAME, "exec", dont_inherit=True)
    except (RecursionError, MemoryError, SyntaxError, OverflowError) as error:
        raise HogCompileError(f"The program is too complex: {error}", 1, 1) from error
    exec(code, namespace)  # noqa: S102 - only code that `assert_safe` has passed
    function: Main = namespace["program"]
    return function


class Compiler(Callbacks):
    """Emits statements; the expressions are its superclass's."""

    def __init__(
        self,
        program: Block,
        source: SourceText,
        found: Checked,
        functions: dict[str, Function],
        string_globals: Sequence[str],
    ) -> None:
        used = [name for name in string_globals if name in found.globals]
        self.texts = first_texts(program) if string_globals else frozenset()
        super().__init__(Emitter(source), Types(found, used, self.texts), functions, mutates=found.mutates)
        self.string_globals = used
        self.found = found
        self.straight = 0
        self._name_variables()
        self.names["HogThrow"] = HogThrow

    def _name_variables(self) -> None:
        taken: dict[str, int] = {}
        for symbol in self.found.symbols:
            plain = "v_" + (_UNSAFE_IN_NAME.sub("_", symbol.name).strip("_") or "x")
            taken[plain] = taken.get(plain, 0) + 1
            symbol.python = plain if taken[plain] == 1 else f"{plain}_v{taken[plain]}"

    def module(self, program: Block) -> ast.Module:
        """Emit the module."""
        e = self.emit
        body: list[ast.stmt] = []
        for name in self.string_globals:
            variable = self.global_variable(name)
            body.append(e.set(0, variable, e.call(0, "peek", e.constant(0, name))))
            body.append(self.unless_text(0, variable))
        body.append(e.set(0, "d", e.constant(0, 0)))
        if self.found.loops:
            body.append(e.set(0, "t", e.constant(0, 0)))
        body += self.statements(program.statements)
        body.append(ast.Return(e.constant(0, None), **e.place(0)))
        return ast.Module([e.function(0, "program", PARAMETERS, 0, (), body)], [])

    def unless_text(self, at: int, variable: str) -> ast.stmt:
        """Emit that the generic program runs instead if a variable does not hold a string."""
        e = self.emit
        kind = e.call(at, self.helper("h_type", type), e.name(at, variable))
        other = e.compare(at, kind, ast.IsNot(), e.name(at, self.helper("h_string", str)))
        generic = ast.Return(e.call(at, "h_generic", *(e.name(at, name) for name in PARAMETERS)), **e.place(at))
        return ast.If(other, [generic], [], **e.place(at))

    # --------------------------------------------------------------------------------------- statements

    def statements(self, nodes: Sequence[Stmt]) -> list[ast.stmt]:
        """Emit statements one after the other."""
        emitted: list[ast.stmt] = []
        for node in nodes:
            emitted += self.statement(node)
        return emitted

    def statement(self, node: Stmt) -> list[ast.stmt]:
        """Emit one statement, after the functions that its lambdas become."""
        outer, self.hoisted = self.hoisted, []
        before = self.weight
        self.kept = self.held
        emitted = _STATEMENTS[type(node)](self, node)
        emitted = self.hoisted + emitted
        self.hoisted = outer
        self.weight += 1
        if not self.in_loop and isinstance(node, (Let, Assign, Do)):
            self.straight += self.weight - before
            if self.straight >= STRAIGHT_AT:
                count = self.emit.constant(node.at, self.straight)
                settle = self.helper("h_settle", Context.settle)
                emitted.append(self.emit.do(node.at, self.emit.call(node.at, settle, self.ctx(node.at), count)))
                self.straight = 0
        return emitted

    def body_of(self, node: Stmt) -> list[ast.stmt]:
        """Emit a statement as a body, which must not be empty."""
        return self.statement(node) or [ast.Pass(**self.emit.place(node.at))]

    def block(self, node: Block) -> list[ast.stmt]:
        """Emit a block."""
        return self.statements(node.statements)

    def set_variable(self, at: int, symbol: Symbol, value: ast.expr, *, declare: bool) -> ast.stmt:
        """Emit an assignment; `declare` makes a new box for a variable that needs one."""
        if not symbol.boxed:
            return self.emit.set(at, symbol.python, value)
        if declare:
            return self.emit.set(at, symbol.python, self.emit.box(at, value))
        return self.emit.set_box(at, symbol.python, value)

    def let(self, node: Let) -> list[ast.stmt]:
        """Emit `let`."""
        if isinstance(node.value, Lambda) and node.symbol in node.value.captures and node.symbol.boxed:
            return self.own_name(node, node.value)
        made = self.set_variable(node.at, node.symbol, self.expression(node.value), declare=True)
        return [made, self.unless_text(node.at, node.symbol.python)] if node.symbol in self.texts else [made]

    def own_name(self, node: Let, function: Lambda) -> list[ast.stmt]:
        """Emit `let` of a lambda that calls itself and whose variable is in a box, which must be there first."""
        code = self.fresh("f")
        value = self.function_value(node.at, "lambda", function, self.emit.name(node.at, code))
        return [
            self.set_variable(node.at, node.symbol, self.emit.constant(node.at, None), declare=True),
            self.define(code, function),
            self.set_variable(node.at, node.symbol, value, declare=False),
        ]

    def assign(self, node: Assign) -> list[ast.stmt]:
        """Emit an assignment."""
        if isinstance(node.target, Name) and node.target.symbol is not None:
            value = self.expression(node.value)
            return [self.set_variable(node.at, node.target.symbol, value, declare=False)]
        if isinstance(node.target, Get):
            return self.put(node.at, node.target, node.value)
        raise UnsafeCodeError("The checker let an assignment to something else pass")

    def put(self, at: int, target: Get, value: Expr) -> list[ast.stmt]:
        """Emit the setting of a property or an element: that of an object by a short text without a call."""
        e, put, owner = self.emit, self.helper("h_put", access.put), target.object
        self.weight += 2
        symbol = owner.symbol if isinstance(owner, Name) else None
        direct = isinstance(owner, Name) and symbol is not None and self.is_plain_variable(owner)
        if not direct or symbol is None or (symbol.captured and symbol.assigned):
            parts = self.operands(owner, target.key, value)
            return [e.do(at, e.call(at, put, self.ctx(at), *parts))]
        key, read = self.twice(target.key)
        before: list[ast.stmt] = [e.do(at, key)] if isinstance(key, ast.NamedExpr) else []
        given, again = self.twice(value)
        before += [e.do(at, given)] if isinstance(given, ast.NamedExpr) else []
        short = e.compare(at, e.call(at, self.helper("h_len", len), read), ast.Lt(), e.constant(at, SHORT_KEY))
        tests = [] if self.types.of(owner) == "object" else [self.is_of(at, self.again(owner), dict)]
        tests += [short] if self.types.of(target.key) == "string" else [self.is_of(at, read, str), short]
        element = ast.Subscript(self.again(owner), read, STORE, **e.place(at))
        slow = e.do(at, e.call(at, put, self.ctx(at), self.expression(owner), read, again))
        test = self.all_of(at, tests)
        return [*before, ast.If(test, [ast.Assign([element], again, **e.place(at))], [slow], **e.place(at))]

    def if_(self, node: If) -> list[ast.stmt]:
        """Emit `if`."""
        test = self.expression(node.test)
        before = self.straight
        then = self.body_of(node.then)
        after, self.straight = self.straight, before
        otherwise = self.statement(node.otherwise) if node.otherwise is not None else []
        self.straight = max(self.straight, after)
        return [ast.If(test, then, otherwise, **self.emit.place(node.at))]

    def loop_body(self, at: int, body: Stmt, step: Stmt | None, extra: int) -> list[ast.stmt]:
        """Emit a loop's body: first it counts the steps of one turn."""
        outer, self.in_loop = self.in_loop, True
        before = self.weight
        emitted = self.statement(body) + (self.statement(step) if step is not None else [])
        self.in_loop = outer
        return [*self.count(at, self.weight - before + extra + 1), *emitted]

    def count(self, at: int, weight: int) -> list[ast.stmt]:
        """Emit the counting of steps, which are charged when they are many."""
        e = self.emit
        count: ast.stmt = ast.AugAssign(
            ast.Name("t", STORE, **e.place(at)), ast.Add(), e.constant(at, weight), **e.place(at)
        )
        settle = e.call(at, self.helper("h_settle", Context.settle), self.ctx(at), e.name(at, "t"))
        full = e.compare(at, e.name(at, "t"), ast.Gt(), e.constant(at, SETTLE_AT))
        return [count, ast.If(full, [e.set(at, "t", settle)], [], **e.place(at))]

    def unrolled(self, node: Unrolled) -> list[ast.stmt]:
        """Emit the turns of a loop one after the other: their steps are counted before the first."""
        outer, self.in_loop = self.in_loop, True
        before = self.weight
        emitted = [emitted for body in node.bodies for emitted in self.statement(body)]
        self.in_loop = outer
        return [*self.count(node.at, self.weight - before + len(node.bodies)), *emitted]

    def scan(self, node: Scan) -> list[ast.stmt]:
        """Emit a pass over a text for several patterns."""
        e, at = self.emit, node.at
        if not self.is_plain_variable(node.subject):
            return []
        self.weight += HEAVY
        search = e.call(at, self.constant(node.search), self.ctx(at), self.expression(node.subject))
        return [e.set(at, node.python, search)]

    def while_(self, node: While) -> list[ast.stmt]:
        """Emit `while`."""
        before = self.weight
        test = self.expression(node.test)
        body = self.loop_body(node.at, node.body, None, self.weight - before)
        return [ast.While(test, body, [], **self.emit.place(node.at))]

    def for_(self, node: For) -> list[ast.stmt]:
        """Emit `for (;;)`."""
        start = self.statement(node.start) if node.start is not None else []
        before = self.weight
        outer, self.hoisted = self.hoisted, []
        test = self.expression(node.test) if node.test is not None else self.emit.constant(node.at, True)
        hoisted, self.hoisted = self.hoisted, outer
        body = self.loop_body(node.at, node.body, node.step, self.weight - before)
        return [*start, *hoisted, ast.While(test, body, [], **self.emit.place(node.at))]

    def for_in(self, node: ForIn) -> list[ast.stmt]:
        """Emit `for (let … in …)`."""
        e, at, targets, first = self.emit, node.at, [], []
        collection = self.expression(node.collection)
        as_it_is = not self.types.elements_change and self.types.of(node.collection) in ("array", "strings")
        if node.key_symbol is not None and as_it_is:
            collection = e.call(at, self.helper("h_enumerate", enumerate), collection)
        elif node.key_symbol is not None:
            collection = e.call(at, self.helper("h_entries", access.entries), self.ctx(at), collection)
        elif not as_it_is:
            collection = e.call(at, self.helper("h_elements", access.elements), self.ctx(at), collection)
        for symbol in (node.key_symbol, node.value_symbol):
            if symbol is None:
                continue
            if symbol.boxed:
                # One box for the whole loop: all closures of its turns see the same variable.
                first.append(e.set(at, symbol.python, e.box(at, e.constant(at, None))))
                target: ast.expr = ast.Subscript(e.name(at, symbol.python), e.constant(at, 0), STORE, **e.place(at))
            else:
                target = ast.Name(symbol.python, STORE, **e.place(at))
            targets.append(target)
        if isinstance(collection, ast.Call):
            collection = self.keep(at, collection)
        outer, self.held = self.held, self.kept
        body = self.loop_body(at, node.body, None, 1)
        self.held = outer
        aim = targets[0] if len(targets) == 1 else ast.Tuple(targets, STORE, **e.place(at))
        return [*first, ast.For(aim, collection, body, [], **e.place(at))]

    def fun(self, node: Fun) -> list[ast.stmt]:
        """Emit a declaration of a function."""
        symbol, e = node.symbol, self.emit
        if self.is_plain_function(symbol):
            return [self.define(symbol.python, node.function)]
        code = self.fresh("f")
        first = [self.set_variable(node.at, symbol, e.constant(node.at, None), declare=True)]
        value = self.function_value(node.at, node.name, node.function, e.name(node.at, code))
        return [
            *first,
            self.define(code, node.function),
            self.set_variable(node.at, symbol, value, declare=False),
        ]

    def define(self, name: str, node: Lambda) -> ast.stmt:
        """Emit the function that a `fun` or a lambda becomes."""
        outer = self.in_loop, self.hoisted, self.weight, self.held, self.kept
        self.in_loop, self.hoisted, self.weight, self.held, self.kept = True, [], 0, 0, 0
        e, at = self.emit, node.at
        body = self.statement(node.body)
        first: list[ast.stmt] = []
        outside = sorted({s.python for s in node.writes if not s.boxed})
        if outside:
            first.append(ast.Nonlocal(outside, **e.place(at)))
        weight = self.weight + 4 + (SETTLE_AT if node.loops else 0)
        enter = e.call(
            at, self.helper("h_enter", operations.enter), self.ctx(at), e.name(at, "d"), e.constant(at, weight)
        )
        first.append(e.do(at, enter))
        if node.loops:
            first.append(e.set(at, "t", e.constant(at, 0)))
        first += [e.set(at, s.python, e.box(at, e.name(at, s.python))) for s in node.symbols if s.boxed]
        self.in_loop, self.hoisted, self.weight, self.held, self.kept = outer
        self.weight += 2
        params = ["d", *(s.python for s in node.symbols)]
        bound = sorted({s.python for s in node.captures if s.boxed})
        return e.function(at, name, params, len(params) - 1, bound, first + body)

    def return_(self, node: Return) -> list[ast.stmt]:
        """Emit `return`."""
        return [ast.Return(self.expression(node.value), **self.emit.place(node.at))]

    def throw(self, node: Throw) -> list[ast.stmt]:
        """Emit `throw`."""
        carrier = self.emit.call(node.at, self.helper("h_throw", operations.throw), self.expression(node.value))
        return [ast.Raise(carrier, None, **self.emit.place(node.at))]

    def try_(self, node: Try) -> list[ast.stmt]:
        """Emit `try` and its catches."""
        e, at = self.emit, node.at
        carrier, error = self.fresh("x"), self.fresh("e")
        otherwise: list[ast.stmt] = [ast.Raise(None, None, **e.place(at))]
        for catch in reversed(node.catches):
            body: list[ast.stmt] = []
            if catch.symbol is not None:
                body.append(self.set_variable(at, catch.symbol, e.name(at, error), declare=True))
            body += self.body_of(catch.body)
            if catch.type is None or catch.type == ANY_ERROR:
                otherwise = body
            else:
                test = e.call(
                    at, self.helper("h_is_type", operations.is_type), e.name(at, error), e.constant(at, catch.type)
                )
                otherwise = [ast.If(test, body, otherwise, **e.place(at))]
        caught = e.call(at, self.helper("h_caught", operations.caught), e.name(at, carrier))
        handler = ast.ExceptHandler(
            e.name(at, "HogThrow"), carrier, [e.set(at, error, caught), *otherwise], **e.place(at)
        )
        return [ast.Try(self.body_of(node.body), [handler], [], [], **e.place(at))]

    def do(self, node: Do) -> list[ast.stmt]:
        """Emit an expression as a statement."""
        return [self.emit.do(node.at, self.expression(node.value))]


_STATEMENTS: dict[type, Callable[[Compiler, Any], list[ast.stmt]]] = {
    Let: Compiler.let,
    Assign: Compiler.assign,
    If: Compiler.if_,
    While: Compiler.while_,
    For: Compiler.for_,
    ForIn: Compiler.for_in,
    Unrolled: Compiler.unrolled,
    Scan: Compiler.scan,
    Fun: Compiler.fun,
    Return: Compiler.return_,
    Throw: Compiler.throw,
    Try: Compiler.try_,
    Block: Compiler.block,
    Do: Compiler.do,
}
