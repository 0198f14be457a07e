"""Works out the values that are the same for every event, once per program, and puts them into the tree.

Four passes: expressions and variables that never change; statements at the program's top, such as a loop that puts a
pattern together; loops over known values, whose turns are written out; and tests of one text for several patterns,
which become one search. Statements and expressions that fail or that pass the limits of `values` stay as they are, so
that a run fails where it always failed.
"""

from __future__ import annotations

from typing import Any

from evaluators.hog.compiler.checker import Checked
from evaluators.hog.compiler.known_statements import KnownStatements
from evaluators.hog.compiler.mutations import mutated, only_fresh_containers
from evaluators.hog.compiler.scans import Scans
from evaluators.hog.compiler.tree import copy_of, replace_children, size, walk
from evaluators.hog.compiler.values import LITERAL_CHARS, UNKNOWN, ConstantEvaluation, value_of
from evaluators.hog.parser.lexer import SourceText
from evaluators.hog.parser.syntax import (
    Array,
    Assign,
    Binary,
    Block,
    Call,
    Choice,
    Const,
    Expr,
    ForIn,
    Fun,
    If,
    Known,
    Lambda,
    Let,
    Logic,
    Name,
    Object,
    Stmt,
    Symbol,
    Template,
    Unary,
    Unrolled,
)
from evaluators.hog.runtime import access
from evaluators.hog.runtime.functions import Function

MOST_TURNS = 32
"""Turns of a loop that are written out."""

MOST_NODES = 1500
"""Nodes of the tree that written-out loops of one program may have, because each is compiled."""

_Constant = Const | Known


def fold(program: Block, source: SourceText, found: Checked, functions: dict[str, Function]) -> None:
    """Change a checked program so that it does less on every event, and does the same."""
    try:
        _Folder(source, found, functions).program(program)
    except RecursionError:
        return  # the tree is whole at any time: each change replaces one node


class _Folder:
    def __init__(self, source: SourceText, found: Checked, functions: dict[str, Function]) -> None:
        self.source = source
        self.found = found
        self.functions = functions
        self.evaluation = ConstantEvaluation(functions)
        self.constants: dict[Symbol, _Constant] = {}
        self.mutated = mutated(found)
        self.shares_containers = only_fresh_containers(found)
        self.nodes_left = MOST_NODES
        self.moved: dict[int, Expr] = {}
        """The expression in the place of another one, by the other one's id."""
        self.kept: list[Expr] = []
        """Expressions that were replaced, so that no other one gets their ids."""

    def program(self, program: Block) -> None:
        replace_children(program, self.node)
        statements = KnownStatements(program, self.source, self.found, self.functions, self.evaluation)
        values = statements.work_out(containers=self.shares_containers)
        if values:
            self.constants.update(values)
            replace_children(program, self.node)
        replace_children(program, self.write_out)
        Scans().put_into(program)
        self.found.assignments = [(symbol, self.latest(value)) for symbol, value in self.found.assignments]
        self.found.iterations = [(symbol, self.latest(value)) for symbol, value in self.found.iterations]
        self.found.positions = [(symbol, self.latest(value)) for symbol, value in self.found.positions]

    def latest(self, node: Any) -> Any:
        """Return the expression that stands in the place of `node` now."""
        while id(node) in self.moved:
            node = self.moved[id(node)]
        return node

    # ------------------------------------------------------------------------------ expressions and variables

    def node(self, node: Any) -> Any:
        """Return the node that takes the place of a node: the node itself, changed below, or another one."""
        if isinstance(node, Assign):
            return self.assign(node)
        if isinstance(node, Let):
            return self.let(node)
        if isinstance(node, Name):
            constant = self.constants.get(node.symbol) if node.symbol is not None else None
            return node if constant is None else self.replace(node, type(constant)(node.at, constant.value))
        if isinstance(node, Call) and isinstance(node.callee, Name):
            node.args = [self.node(argument) for argument in node.args]
            if node.callee.name == "if" and node.callee.symbol is None:
                test, then, otherwise = node.args
                return self.folded(Choice(node.at, [(test, then)], otherwise))
        else:
            replace_children(node, self.node)
        return self.folded(node)

    def let(self, node: Let) -> Let:
        """Fold the value of a variable, and note it if nothing changes the variable."""
        node.value = self.value_for(node.symbol, node.value)
        if not node.symbol.assigned and isinstance(node.value, (Const, Known)):
            self.constants[node.symbol] = node.value
        else:
            self.constants.pop(node.symbol, None)  # an earlier turn of a loop that was written out may have set it
        return node

    def assign(self, node: Assign) -> Assign:
        """Fold an assignment, but not the variable that it sets."""
        if isinstance(node.target, Name):
            node.value = self.value_for(node.target.symbol, node.value)
        else:
            replace_children(node.target, self.node)
            node.value = self.node(node.value)
        return node

    def value_for(self, symbol: Symbol | None, value: Expr) -> Any:
        """Fold the value that a variable gets. A container that the program changes is recreated in every run."""
        if symbol in self.mutated and isinstance(value, (Array, Object, Call)):
            replace_children(value, self.node)
            return value
        return self.node(value)

    def folded(self, node: Any) -> Any:
        """Return the value of a node whose parts are folded already, or the node."""
        if isinstance(node, If):
            test = value_of(node.test)
            if test is UNKNOWN:
                return node
            return (node.then if test else node.otherwise) or Block(node.at, [])
        if isinstance(node, Choice):
            return self.choice(node)
        if (
            isinstance(node, (Array, Object))
            and not self.shares_containers
            and not (isinstance(node, Array) and node.fixed)
        ):
            return node
        if isinstance(node, Template):
            node.parts = _merged(node.parts)
        if isinstance(node, Logic) and (rest := _without_neutral(node)) is not node:
            return self.replace(node, rest)
        if isinstance(node, Binary) and node.op == "??" and value_of(node.left) is None:
            return self.replace(node, node.right)
        made = self.evaluation.expression(node)
        if made is None or (isinstance(made, Known) and not self.shares_containers and type(made.value) is not str):
            return node
        return self.replace(node, made)

    def choice(self, node: Choice) -> Any:
        """Drop the arms whose tests are known."""
        arms = []
        for test, result in node.arms:
            known = value_of(test)
            if known is UNKNOWN:
                arms.append((test, result))
            elif known:
                return self.replace(node, result if not arms else Choice(node.at, arms, result))
        if not arms:
            return self.replace(node, node.otherwise)
        node.arms = arms
        return node

    def replace(self, node: Expr, made: Expr) -> Expr:
        """Note that one expression stands in the place of another."""
        if made is not node:
            self.moved[id(node)] = made
            self.kept.append(node)
        return made

    # --------------------------------------------------------------------------------------------- loops

    def write_out(self, node: Any) -> Any:
        """Return the turns of a loop over known values, inner loops first; any other node as it is."""
        if (
            isinstance(node, (Fun, Lambda, Block))
            or not isinstance(node, Expr)
            or any(isinstance(part, Lambda) for part in walk(node))
        ):
            replace_children(node, self.write_out)
        return self.turns(node) if isinstance(node, ForIn) else node

    def turns(self, node: ForIn) -> Stmt:
        """Write a loop out if it is short and its body makes no functions."""
        collection = value_of(node.collection)
        symbols = [symbol for symbol in (node.key_symbol, node.value_symbol) if symbol is not None]
        if type(collection) not in (list, tuple, dict) or not 0 < len(collection) <= MOST_TURNS:
            return node
        cost = size(node.body) * len(collection)
        if cost > self.nodes_left or any(symbol.assigned or symbol.captured for symbol in symbols):
            return node
        if any(symbol in self.mutated for symbol in symbols):
            return node
        if any(isinstance(part, (Lambda, Fun)) for part in walk(node.body)):
            return node
        ctx = self.evaluation.context
        if node.key_symbol is not None:
            turns: list[Any] = list(access.entries(ctx, collection))
        else:
            turns = [(value,) for value in access.elements(ctx, collection)]
        values = [[self.evaluation.node(node.at, value) for value in turn] for turn in turns]
        if any(value is None for turn in values for value in turn):
            return node
        self.nodes_left -= cost
        bodies = []
        for turn in values:
            self.constants.update({symbol: value for symbol, value in zip(symbols, turn, strict=True) if value})
            bodies.append(self.write_out(self.node(copy_of(node.body))))
            for symbol in symbols:
                del self.constants[symbol]
        return Unrolled(node.at, bodies)


def _merged(parts: list[Expr]) -> list[Expr]:
    """Join constant texts that stand side by side."""
    merged: list[Expr] = []
    for part in parts:
        last = merged[-1] if merged else None
        if isinstance(part, Const) and isinstance(last, Const) and _fit(part.value, last.value):
            merged[-1] = Const(last.at, last.value + part.value)
        else:
            merged.append(part)
    return merged


def _without_neutral(node: Logic) -> Expr:
    """Drop the constants that decide nothing, such as a false one of an `or`."""
    neutral = node.op == "and"
    rest = [part for part in node.operands if value_of(part) is UNKNOWN or bool(value_of(part)) is not neutral]
    if len(rest) == len(node.operands) or not rest:
        return node
    return Logic(node.at, node.op, rest) if len(rest) > 1 else Unary(node.at, "not", Unary(node.at, "not", rest[0]))


def _fit(first: object, second: object) -> bool:
    return type(first) is str and type(second) is str and len(first) + len(second) <= LITERAL_CHARS
