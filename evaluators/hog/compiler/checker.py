"""Checks a program before it runs: names, scopes, numbers of arguments, nesting.

Fills in the symbols of the tree and returns what the compiler needs to know of the whole program.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from evaluators.hog.parser.lexer import SourceText
from evaluators.hog.parser.syntax import (
    Array,
    Assign,
    Between,
    Binary,
    Block,
    Call,
    Choice,
    Const,
    Do,
    Expr,
    For,
    ForIn,
    Fun,
    Get,
    If,
    IsNull,
    Lambda,
    Let,
    Logic,
    Match,
    Name,
    Object,
    Return,
    Scope,
    Stmt,
    Symbol,
    Template,
    Throw,
    Try,
    Unary,
    While,
)
from evaluators.hog.runtime.context import DEFAULT_LIMITS
from evaluators.hog.runtime.functions import Function, arity_error

MAX_BLOCKS = 18
"""Loops and try statements within each other in one function: the host's compiler takes 20."""

SPECIAL_FORMS: dict[str, tuple[int, int | None]] = {
    "if": (3, 3),
    "multiIf": (3, None),
    "ifNull": (2, 2),
    "print": (0, None),
}
"""Functions that the compiler itself knows, with the arguments that they take."""


@dataclass(slots=True)
class Checked:
    """The findings of the checker.

    Attributes:
        mutations: the properties and elements that statements set.
        loops: the program's own statements have a loop.
        globals: root names that are read and that no variable or function has, with a place of each.
        symbols: every variable.
        assignments: each value that a variable gets; None where nothing is known of it.
        iterations: the variables that for-in sets to elements, with the collection.
        positions: the variables that for-in sets to keys or positions, with the collection.
    """

    mutations: list[Get] = field(default_factory=list)
    loops: bool = False
    globals: dict[str, int] = field(default_factory=dict)
    symbols: list[Symbol] = field(default_factory=list)
    assignments: list[tuple[Symbol, Expr | None]] = field(default_factory=list)
    iterations: list[tuple[Symbol, Expr]] = field(default_factory=list)
    positions: list[tuple[Symbol, Expr]] = field(default_factory=list)

    @property
    def mutates(self) -> bool:
        """Whether some statement sets a property or an element."""
        return bool(self.mutations)


def check(program: Block, source: SourceText, functions: dict[str, Function], known: Collection[str] | None) -> Checked:
    """Check a program. HogCompileError at the first thing that is wrong.

    With `known`, a global of any other name is an error, too.
    """
    checker = _Checker(source, functions, known)
    for statement in program.statements:
        checker.statement(statement)
    return checker.found


class _Checker:
    def __init__(self, source: SourceText, functions: dict[str, Function], known: Collection[str] | None) -> None:
        self.source = source
        self.functions = functions
        self.known = known
        self.found = Checked()
        self.function = Scope(None, None)
        self.scopes: list[dict[str, Symbol]] = [{}]
        self.loop_depth = 0
        self.blocks = 0

    # ------------------------------------------------------------------------------------------- names

    def declare(self, name: str, at: int, function: Fun | None = None) -> Symbol:
        scope = self.scopes[-1]
        if name in scope:
            self.source.fail(f"Variable {name} is already declared in this scope", at)
        symbol = Symbol(name, self.function, in_loop=self.loop_depth > 0, function=function)
        scope[name] = symbol
        self.found.symbols.append(symbol)
        return symbol

    def resolve(self, name: str) -> Symbol | None:
        for scope in reversed(self.scopes):
            symbol = scope.get(name)
            if symbol is not None:
                self.capture(symbol)
                return symbol
        return None

    def capture(self, symbol: Symbol) -> None:
        scope = self.function
        while scope is not symbol.scope and scope.function is not None and scope.parent is not None:
            symbol.captured = True
            if symbol not in scope.function.captures:
                scope.function.captures.append(symbol)
            scope = scope.parent

    def unknown_function(self, name: str, at: int) -> None:
        names = [*self.functions, *SPECIAL_FORMS, *(n for scope in self.scopes for n in scope)]
        close = get_close_matches(name, names, n=1, cutoff=0.6)
        lower = {n.lower(): n for n in names}.get(name.lower())
        hint = lower or (close[0] if close else None)
        self.source.fail(f"Unknown function {name}" + (f"; did you mean {hint}?" if hint else ""), at)

    # -------------------------------------------------------------------------------------- statements

    def statement(self, node: Stmt) -> None:
        _STATEMENTS[type(node)](self, node)

    def nested(self, node: Stmt) -> None:
        """Check a statement that is a scope of its own even without braces."""
        self.scopes.append({})
        if isinstance(node, Block):
            for statement in node.statements:
                self.statement(statement)
        else:
            self.statement(node)
        self.scopes.pop()

    def enter_block(self, at: int, weight: int = 1) -> None:
        self.blocks += weight
        if self.blocks > MAX_BLOCKS:
            self.source.fail("Loops and try statements are nested too deeply", at)

    def let(self, node: Let) -> None:
        if isinstance(node.value, Lambda):
            node.symbol = self.declare(node.name, node.at)  # before the lambda, which may call itself by this name
            self.expression(node.value)
        else:
            self.expression(node.value)
            node.symbol = self.declare(node.name, node.at)
        self.found.assignments.append((node.symbol, node.value))

    def assign(self, node: Assign) -> None:
        target = node.target
        if isinstance(target, Get):
            self.refuse_global(target)
            self.found.mutations.append(target)
            self.expression(target.object)
            self.expression(target.key)
            self.expression(node.value)
            return
        if not isinstance(target, Name):
            self.source.fail("Only a variable, a property or an element can be assigned to", node.at)
        self.expression(node.value)
        symbol = self.resolve(target.name)
        if symbol is None:
            self.source.fail(f"Variable {target.name} is not declared; write 'let {target.name} := …'", node.at)
        target.symbol = symbol
        symbol.assigned = True
        self.found.assignments.append((symbol, node.value))
        function = self.function.function
        if symbol.scope is not self.function and function is not None and symbol not in function.writes:
            function.writes.append(symbol)

    def refuse_global(self, target: Get) -> None:
        """Refuse to set a part of a global, which would change a copy that nobody reads."""
        root: Expr = target
        while isinstance(root, Get):
            root = root.object
        if isinstance(root, Name) and self.resolve(root.name) is None:
            self.source.fail(
                f"The global {root.name} can not be changed; write 'let copy := {root.name}' and change the copy",
                root.at,
            )

    def if_(self, node: If) -> None:
        self.expression(node.test)
        self.nested(node.then)
        if node.otherwise is not None:
            self.nested(node.otherwise)

    def loop(self, body: Stmt, at: int) -> None:
        self.enter_block(at)
        self.loop_depth += 1
        if self.function.function is None:
            self.found.loops = True
        else:
            self.function.function.loops = True
        self.nested(body)
        self.loop_depth -= 1
        self.blocks -= 1

    def while_(self, node: While) -> None:
        self.expression(node.test)
        self.loop(node.body, node.at)

    def for_(self, node: For) -> None:
        self.scopes.append({})
        if node.start is not None:
            self.statement(node.start)
        if node.test is not None:
            self.expression(node.test)
        self.loop(node.body, node.at)
        if node.step is not None:
            self.loop_depth += 1
            self.nested(node.step)
            self.loop_depth -= 1
        self.scopes.pop()

    def for_in(self, node: ForIn) -> None:
        self.expression(node.collection)
        self.scopes.append({})
        if node.key is not None:
            node.key_symbol = self.declare(node.key, node.at)
            self.found.positions.append((node.key_symbol, node.collection))
        node.value_symbol = self.declare(node.value, node.at)
        self.found.iterations.append((node.value_symbol, node.collection))
        self.loop(node.body, node.at)
        self.scopes.pop()

    def fun(self, node: Fun) -> None:
        node.symbol = self.declare(node.name, node.at, node)
        self.found.assignments.append((node.symbol, None))
        self.lambda_(node.function)

    def value_of(self, node: Return | Throw | Do) -> None:
        self.expression(node.value)

    def try_(self, node: Try) -> None:
        self.enter_block(node.at)
        self.nested(node.body)
        self.enter_block(node.at)
        for catch in node.catches:
            self.scopes.append({})
            if catch.name is not None:
                catch.symbol = self.declare(catch.name, node.at)
                self.found.assignments.append((catch.symbol, None))
            self.nested(catch.body)
            self.scopes.pop()
        self.blocks -= 2

    # ------------------------------------------------------------------------------------- expressions

    def expression(self, node: Expr) -> None:
        _EXPRESSIONS[type(node)](self, node)

    def nothing(self, node: Const) -> None:
        """Find nothing to check."""

    def name(self, node: Name) -> None:
        node.symbol = self.resolve(node.name)
        if node.symbol is None and node.name not in self.functions and node.name not in SPECIAL_FORMS:
            self.found.globals.setdefault(node.name, node.at)
            if self.known is not None and node.name not in self.known:
                close = get_close_matches(node.name, self.known, n=1)
                hint = f"; did you mean {close[0]}?" if close else ""
                self.source.fail(f"Global variable not found: {node.name}{hint}", node.at)

    def call(self, node: Call) -> None:
        callee = node.callee
        if len(node.args) > DEFAULT_LIMITS.arguments:
            self.source.fail(f"A call takes at most {DEFAULT_LIMITS.arguments} arguments", node.at)
        if isinstance(callee, Name):
            callee.symbol = self.resolve(callee.name)
            if callee.symbol is None:
                self.library_call(node, callee.name)
        else:
            self.expression(callee)
        for argument in node.args:
            self.expression(argument)

    def library_call(self, node: Call, name: str) -> None:
        if name in SPECIAL_FORMS:
            fewest, most = SPECIAL_FORMS[name]
        elif name in self.functions:
            fewest, most = self.functions[name].min_args, self.functions[name].max_args
        else:
            self.unknown_function(name, node.at)
            return
        problem = arity_error(name, len(node.args), fewest, most)
        if problem:
            self.source.fail(problem, node.at)
        if name == "multiIf" and len(node.args) % 2 == 0:
            self.source.fail("Function multiIf requires an odd number of arguments", node.at)

    def lambda_(self, node: Lambda) -> None:
        outer = self.function, self.loop_depth, self.blocks
        node.scope = self.function = Scope(self.function, node)
        self.loop_depth = self.blocks = 0
        self.scopes.append({})
        for param in node.params:
            symbol = self.declare(param, node.at)
            node.symbols.append(symbol)
            self.found.assignments.append((symbol, None))
        self.nested(node.body)
        self.scopes.pop()
        self.function, self.loop_depth, self.blocks = outer

    def all_of(self, nodes: Any) -> None:
        for node in nodes:
            if isinstance(node, tuple):
                self.all_of(node)
            else:
                self.expression(node)


_STATEMENTS: dict[type, Callable[[_Checker, Any], None]] = {
    Let: _Checker.let,
    Assign: _Checker.assign,
    If: _Checker.if_,
    While: _Checker.while_,
    For: _Checker.for_,
    ForIn: _Checker.for_in,
    Fun: _Checker.fun,
    Return: _Checker.value_of,
    Throw: _Checker.value_of,
    Do: _Checker.value_of,
    Try: _Checker.try_,
    Block: _Checker.nested,
}
_EXPRESSIONS: dict[type, Callable[[_Checker, Any], None]] = {
    Const: _Checker.nothing,
    Name: _Checker.name,
    Template: lambda c, n: c.all_of(n.parts),
    Get: lambda c, n: c.all_of((n.object, n.key)),
    Call: _Checker.call,
    Unary: lambda c, n: c.expression(n.operand),
    Binary: lambda c, n: c.all_of((n.left, n.right)),
    Logic: lambda c, n: c.all_of(n.operands),
    IsNull: lambda c, n: c.expression(n.operand),
    Between: lambda c, n: c.all_of((n.operand, n.low, n.high)),
    Choice: lambda c, n: c.all_of((*n.arms, n.otherwise)),
    Match: lambda c, n: c.all_of((n.subject, *n.arms, n.otherwise)),
    Array: lambda c, n: c.all_of(n.items),
    Object: lambda c, n: c.all_of(n.pairs),
    Lambda: _Checker.lambda_,
}
