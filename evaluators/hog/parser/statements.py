"""Tokens to a syntax tree: statements by recursive descent; expressions are its superclass's.

Nesting is bounded twice: while parsing, so that no source exhausts the host's stack, and once more over the
finished tree, because a chain of operators is deep without being nested.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from evaluators.hog.parser.expressions import NEVER_NAMES, ExpressionParser
from evaluators.hog.parser.lexer import SourceText
from evaluators.hog.parser.reader import MAX_NESTING
from evaluators.hog.parser.syntax import (
    Array,
    Assign,
    Between,
    Binary,
    Block,
    Call,
    Catch,
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
    Node,
    Object,
    Return,
    Stmt,
    Template,
    Throw,
    Try,
    Unary,
    While,
)


def parse(text: str) -> tuple[Block, SourceText]:
    """Parse a program. HogCompileError with line, column and excerpt."""
    parser = _Parser(text)
    statements = []
    while parser.kind != "end":
        if not parser.accept(";"):
            statements.append(parser.statement())
    program = Block(0, statements)
    _check_height(program, parser.source)
    return program, parser.source


def parse_expression(text: str) -> tuple[Block, SourceText]:
    """Parse one expression as a program that returns its value."""
    parser = _Parser(text)
    program = Block(0, [Return(0, parser.expression())])
    parser.accept(";")
    if parser.kind != "end":
        parser.unexpected()
    _check_height(program, parser.source)
    return program, parser.source


def _check_height(program: Block, source: SourceText) -> None:
    level: list[Any] = [program]
    for _ in range(2 * MAX_NESTING):
        below: list[Any] = []
        for item in level:
            if isinstance(item, (list, tuple)):
                level.extend(item)
            elif isinstance(item, (Node, Catch)):
                below.extend([getattr(item, slot) for slot in _CHILDREN[type(item)]])
        if not below:
            return
        level = below
    deepest = next((item for item in level if isinstance(item, Node)), program)
    source.fail("Expression is too long or nested too deeply", deepest.at)


_CHILDREN: dict[type, tuple[str, ...]] = {
    Const: (), Name: (), Template: ("parts",), Get: ("object", "key"), Call: ("callee", "args"),
    Unary: ("operand",), Binary: ("left", "right"), Logic: ("operands",), IsNull: ("operand",),
    Between: ("operand", "low", "high"), Choice: ("arms", "otherwise"), Match: ("subject", "arms", "otherwise"),
    Array: ("items",), Object: ("pairs",), Lambda: ("body",), Let: ("value",), Assign: ("target", "value"),
    If: ("test", "then", "otherwise"), While: ("test", "body"), For: ("start", "test", "step", "body"),
    ForIn: ("collection", "body"), Fun: ("function",), Return: ("value",), Throw: ("value",),
    Try: ("body", "catches"), Catch: ("body",), Block: ("statements",), Do: ("value",),
}  # fmt: skip


class _Parser(ExpressionParser):
    """Reads statements."""

    def statement(self) -> Stmt:
        self.deeper()
        if self.kind == "{" and not self.is_object(empty=False):
            result: Stmt = self.block()
        else:
            reader = _STATEMENTS.get(self.word()) if self.kind == "name" else None
            if reader is _Parser.fun and self.word() == "fn" and self.kinds[self.index + 1] not in ("name", "quoted"):
                reader = None  # a call of something named so
            result = reader(self) if reader else self.expression_statement()
        self.accept(";")
        self.depth -= 1
        return result

    def block(self) -> Block:
        at = self.at
        self.expect("{")
        statements = []
        while self.kind != "}":
            if self.kind == "end":
                self.unexpected("'}'")
            if not self.accept(";"):
                statements.append(self.statement())
        self.next()
        return Block(at, statements)

    def expression_statement(self) -> Stmt:
        start, at = self.index, self.at
        value = self.expression()
        if self.kind == ":=" and isinstance(value, Call):
            self.go_back(start)
            value = self.value()
        if self.kind != ":=":
            return Do(at, value)
        if not isinstance(value, (Name, Get)):
            self.source.fail("Only a variable, a property or an element can be assigned to", at)
        self.next()
        return Assign(at, value, self.value())

    def let(self) -> Stmt:
        at = self.at
        self.next()
        name = self.identifier()
        value = self.value() if self.accept(":=") else Const(at, None)
        return Let(at, name, value)

    def condition(self) -> Expr:
        self.expect("(")
        test = self.expression()
        self.expect(")")
        return test

    def if_(self) -> Stmt:
        start, at = self.index, self.at
        self.next()
        if self.kind == "(" and (self._has_comma() or self.kinds[self.match[self.index] + 1] == "end"):
            self.go_back(start)
            return self.expression_statement()
        test = self.condition()
        then = self.statement()
        otherwise = self.statement() if self.accept_word("else") else None
        return If(at, test, then, otherwise)

    def _has_comma(self) -> bool:
        """Whether the brackets that open here hold a comma of their own."""
        index, end = self.index + 1, self.match[self.index]
        while index < end:
            if self.kinds[index] == ",":
                return True
            index = max(self.match[index], index) + 1
        return False

    def while_(self) -> Stmt:
        at = self.at
        self.next()
        return While(at, self.condition(), self.statement())

    def for_(self) -> Stmt:
        at = self.at
        self.next()
        self.expect("(")
        if self.word() == "let":
            found = self._for_in(at)
            if found:
                return found
        start = None if self.kind == ";" else self.clause()
        self.expect(";")
        test = None if self.kind == ";" else self.expression()
        self.expect(";")
        step = None if self.kind == ")" else self.clause()
        self.expect(")")
        return For(at, start, test, step, self.statement())

    def clause(self) -> Stmt:
        return self.let() if self.word() == "let" else self.expression_statement()

    def _for_in(self, at: int) -> Stmt | None:
        start = self.index
        self.next()
        first = self.identifier()
        second = self.identifier() if self.accept(",") else None
        if not self.accept_word("in"):
            self.go_back(start)
            return None
        collection = self.expression()
        self.expect(")")
        key, value = (first, second) if second is not None else (None, first)
        return ForIn(at, key, value, collection, self.statement())

    def fun(self) -> Stmt:
        at = self.at
        self.next()
        name = self.identifier()
        params = self.params()
        return Fun(at, name, Lambda(at, params, self.block()))

    def return_(self) -> Stmt:
        at = self.at
        self.next()
        nothing = self.kind in ("end", ";", "}") or self.word() in NEVER_NAMES
        return Return(at, Const(at, None) if nothing else self.value())

    def throw(self) -> Stmt:
        at = self.at
        self.next()
        return Throw(at, self.value())

    def try_(self) -> Stmt:
        at = self.at
        self.next()
        body = self.block()
        catches: list[Catch] = []
        while self.accept_word("catch"):
            name = kind = None
            if self.accept("("):
                name = self.identifier()
                kind = self.identifier() if self.accept(":") else None
                self.expect(")")
            catches.append(Catch(name, kind, self.block()))
        if not catches:
            self.unexpected("'catch'")
        return Try(at, body, catches)


_STATEMENTS: dict[str, Callable[[_Parser], Stmt]] = {
    "let": _Parser.let,
    "if": _Parser.if_,
    "while": _Parser.while_,
    "for": _Parser.for_,
    "fun": _Parser.fun,
    "fn": _Parser.fun,
    "return": _Parser.return_,
    "throw": _Parser.throw,
    "try": _Parser.try_,
}
