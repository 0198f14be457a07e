"""Statements at a program's top that do not depend on the event, such as a loop that puts a pattern together.

They run once, when the program is compiled, within the limits of `values`. The variables that they set are constants of
the rest of the program. If one of the statements fails, all of them are left to the run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from evaluators.hog.compiler.checker import SPECIAL_FORMS, Checked
from evaluators.hog.compiler.tree import copy_of, walk
from evaluators.hog.compiler.values import FAILURES, ConstantEvaluation
from evaluators.hog.parser.lexer import SourceText
from evaluators.hog.parser.syntax import (
    Array,
    Assign,
    Block,
    Call,
    Const,
    Do,
    For,
    ForIn,
    Fun,
    If,
    Known,
    Lambda,
    Let,
    Name,
    Return,
    Stmt,
    Symbol,
    Throw,
    Try,
    Unrolled,
    While,
)
from evaluators.hog.runtime.functions import Function

_STATEMENTS = (Let, Assign, If, For, ForIn, While, Block)
_NEVER = (Lambda, Fun, Return, Throw, Try, Do, Unrolled)
"""Nodes that have an effect besides setting variables, or that may end the program."""

_LOOPS = (For, ForIn, While)


@dataclass(slots=True)
class _Facts:
    """The variables of one statement, and whether it is pure: no effect but on variables, the same on every event."""

    reads: set[Symbol]
    writes: set[Symbol]
    pure: bool


class KnownStatements:
    """The statements of one program."""

    def __init__(
        self,
        program: Block,
        source: SourceText,
        found: Checked,
        functions: dict[str, Function],
        evaluation: ConstantEvaluation,
    ) -> None:
        self._program = program
        self._source = source
        self._found = found
        self._functions = functions
        self._evaluation = evaluation
        self._facts = [self._facts_of(statement) for statement in program.statements]

    def work_out(self, *, containers: bool) -> dict[Symbol, Const | Known]:
        """Run the known statements, take them out of the program, and return the values of their variables.

        `containers`: whether a value may be an array or an object.
        """
        variables = self._variables()
        chosen = self._chosen(variables)
        statements = [self._program.statements[at] for at in chosen]
        if not variables or all(isinstance(statement, Let) for statement in statements):
            return {}
        order = list(variables)
        try:
            values = self._run(statements, order)
        except FAILURES:
            return {}
        made: dict[Symbol, Const | Known] = {}
        for symbol, value in zip(order, values, strict=True):
            node = self._evaluation.node(0, value)
            if node is None or (isinstance(node, Known) and type(value) is not str and not containers):
                return {}
            made[symbol] = node
        left = set(chosen)
        self._program.statements = [s for at, s in enumerate(self._program.statements) if at not in left]
        return made

    def _run(self, statements: list[Stmt], order: list[Symbol]) -> tuple[Any, ...]:
        from evaluators.hog.compiler.statements import compile_module, load

        results: list[Any] = [Name(0, symbol.name, symbol) for symbol in order]
        block = Block(0, [*(copy_of(s) for s in statements), Return(0, Array(0, results, fixed=True))])
        main = load(*compile_module(block, self._source, self._found, self._functions, ()))
        values: tuple[Any, ...] = main({}, self._evaluation.context, dict[str, Any]().get)
        return values

    # ------------------------------------------------------------------------------------------ the choice

    def _facts_of(self, statement: Stmt) -> _Facts:
        reads: set[Symbol] = set()
        writes: set[Symbol] = set()
        pure = isinstance(statement, _STATEMENTS)
        for node in walk(statement):
            if isinstance(node, Name):
                if node.symbol is not None:
                    reads.add(node.symbol)
                elif node.name not in self._functions and node.name not in SPECIAL_FORMS:
                    pure = False
            elif isinstance(node, Call):
                pure = pure and self._is_pure_call(node)
            elif isinstance(node, Let):
                writes.add(node.symbol)
            elif isinstance(node, ForIn):
                writes |= {symbol for symbol in (node.key_symbol, node.value_symbol) if symbol is not None}
            elif isinstance(node, Assign):
                if isinstance(node.target, Name) and node.target.symbol is not None:
                    writes.add(node.target.symbol)
                else:
                    pure = False
            elif isinstance(node, _NEVER):
                pure = False
        return _Facts(reads, writes, pure)

    def _is_pure_call(self, node: Call) -> bool:
        if not isinstance(node.callee, Name) or node.callee.symbol is not None:
            return False
        name = node.callee.name
        return name != "print" and (name in SPECIAL_FORMS or self._functions[name].constant)

    def _variables(self) -> dict[Symbol, None]:
        """Return the variables that only chosen statements set, and that nothing reads before their last value."""
        variables: dict[Symbol, None] = {}
        for statement in self._program.statements:
            if isinstance(statement, Let) and statement.symbol.assigned and not statement.symbol.captured:
                variables[statement.symbol] = None
        while True:
            chosen = set(self._chosen(variables))
            bad = {symbol for symbol in variables if self._escapes(symbol, chosen)}
            if not bad:
                return variables
            for symbol in bad:
                del variables[symbol]

    def _chosen(self, variables: dict[Symbol, None]) -> list[int]:
        """Return the statements that are pure and touch, besides their own variables, only `variables`."""
        chosen = []
        for at, (statement, facts) in enumerate(zip(self._program.statements, self._facts, strict=True)):
            own = facts.writes - variables.keys() if isinstance(statement, (*_LOOPS, If, Block)) else set()
            own = {symbol for symbol in own if self._is_inner(symbol, at)}
            touched = (facts.reads | facts.writes) - own
            if facts.pure and facts.writes & variables.keys() and touched <= variables.keys():
                chosen.append(at)
        return chosen

    def _is_inner(self, symbol: Symbol, at: int) -> bool:
        """Whether no statement but this one touches a variable."""
        return all(
            index == at or (symbol not in facts.reads and symbol not in facts.writes)
            for index, facts in enumerate(self._facts)
        )

    def _escapes(self, symbol: Symbol, chosen: set[int]) -> bool:
        """Whether another statement sets a variable, or reads it before its last value."""
        last = max(at for at, facts in enumerate(self._facts) if symbol in facts.writes)
        for at, facts in enumerate(self._facts):
            if at in chosen:
                continue
            if symbol in facts.writes or (symbol in facts.reads and at < last):
                return True
        return False
