"""Tokens to a syntax tree, by recursive descent over statements and precedence climbing over expressions.

Nesting is bounded twice: while parsing, so that no source exhausts the host's stack, and once more over the
finished tree, because a chain of operators is deep without being nested.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from evaluators.hog.lexer import Source, tokenize
from evaluators.hog.syntax import (
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

MAX_NESTING = 150
"""Levels of nesting that a source may have, and levels that its tree may have."""

TERNARY, BETWEEN, OR, AND, NOT, NULLISH, COMPARE, ADD, MULTIPLY, UNARY = range(1, 11)

OPERATORS: dict[str, tuple[int, str]] = {
    "*": (MULTIPLY, "*"),
    "/": (MULTIPLY, "/"),
    "%": (MULTIPLY, "%"),
    "+": (ADD, "+"),
    "-": (ADD, "-"),
    "||": (ADD, "||"),
    "=": (COMPARE, "=="),
    "==": (COMPARE, "=="),
    "!=": (COMPARE, "!="),
    "<>": (COMPARE, "!="),
    "<": (COMPARE, "<"),
    "<=": (COMPARE, "<="),
    ">": (COMPARE, ">"),
    ">=": (COMPARE, ">="),
    "=~": (COMPARE, "=~"),
    "~": (COMPARE, "=~"),
    "!~": (COMPARE, "!~"),
    "=~*": (COMPARE, "=~*"),
    "~*": (COMPARE, "=~*"),
    "!~*": (COMPARE, "!~*"),
    "??": (NULLISH, "??"),
    "?": (TERNARY, "?"),
}
"""Binding power and name of every operator that is made of signs."""

_WORDS = {"in": COMPARE, "like": COMPARE, "ilike": COMPARE, "is": COMPARE, "and": AND, "or": OR, "between": BETWEEN}
_CONSTANTS = {"true": True, "false": False, "null": None, "inf": float("inf"), "nan": float("nan")}
_NEVER_NAMES = frozenset({"let", "fun", "return", "while", "for", "throw", "try", "else"})
"""Keywords with which no expression begins."""

_BEGINS_OPERAND = frozenset({"name", "quoted", "number", "string", "(", "[", "{", "f'", "-"})


def parse(text: str) -> tuple[Block, Source]:
    """Parse a program. HogCompileError with line, column and excerpt."""
    parser = _Parser(text)
    statements = []
    while parser.kind != "end":
        if not parser.accept(";"):
            statements.append(parser.statement())
    program = Block(0, statements)
    _check_height(program, parser.source)
    return program, parser.source


def parse_expression(text: str) -> tuple[Block, Source]:
    """Parse one expression as a program that returns its value."""
    parser = _Parser(text)
    program = Block(0, [Return(0, parser.expression())])
    parser.accept(";")
    if parser.kind != "end":
        parser.unexpected()
    _check_height(program, parser.source)
    return program, parser.source


def _check_height(program: Block, source: Source) -> None:
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


class _Parser:
    """Reads tokens from left to right. `kind` and `value` are those of the token at `index`."""

    def __init__(self, text: str) -> None:
        self.source = Source(text)
        tokens = tokenize(self.source)
        self.kinds = tokens.kinds
        self.values = tokens.values
        self.offsets = tokens.offsets
        self.match = tokens.match
        self.index = 0
        self.kind = self.kinds[0]
        self.depth = 0

    # ------------------------------------------------------------------------------------------ reading

    @property
    def at(self) -> int:
        return self.offsets[self.index]

    def next(self) -> None:
        self.index += 1
        self.kind = self.kinds[self.index]

    def go_back(self, index: int) -> None:
        self.index = index
        self.kind = self.kinds[index]

    def accept(self, kind: str) -> bool:
        if self.kind != kind:
            return False
        self.next()
        return True

    def expect(self, kind: str) -> None:
        if self.kind != kind:
            self.unexpected(f"'{kind}'")
        self.next()

    def word(self) -> str:
        """Return the keyword-like token here in lower case, or ''."""
        return str(self.values[self.index]).lower() if self.kind == "name" else ""

    def accept_word(self, word: str) -> bool:
        if self.kind == "name" and self.word() == word:
            self.next()
            return True
        return False

    def expect_word(self, word: str) -> None:
        if not self.accept_word(word):
            self.unexpected(f"'{word}'")

    def identifier(self) -> str:
        if self.kind not in ("name", "quoted"):
            self.unexpected("a name")
        if self.kind == "name" and self.word() in _CONSTANTS:
            self.source.fail(f"'{self.values[self.index]}' can not be a name", self.at)
        name = str(self.values[self.index])
        self.next()
        return name

    def unexpected(self, wanted: str = "") -> NoReturn:
        names = {"end": "end of the source", "string": "string", "f'": "template string", "'f": "end of the template"}
        found = names.get(self.kind) or f"'{self.values[self.index]}'"
        self.source.fail(f"Unexpected {found}" + (f", expected {wanted}" if wanted else ""), self.at)

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > MAX_NESTING:
            self.source.fail(f"Nested more than {MAX_NESTING} levels deep", self.at)

    # --------------------------------------------------------------------------------------- statements

    def statement(self) -> Stmt:
        self.deeper()
        if self.kind == "{" and not self._is_object(empty=False):
            result: Stmt = self.block()
        else:
            reader = _STATEMENTS.get(self.word()) if self.kind == "name" else None
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
        at = self.at
        value = self.expression()
        if self.kind != ":=":
            return Do(at, value)
        if not isinstance(value, (Name, Get)):
            self.source.fail("Only a variable, a property or an element can be assigned to", at)
        self.next()
        return Assign(at, value, self.expression())

    def let(self) -> Stmt:
        at = self.at
        self.next()
        name = self.identifier()
        value = self.expression() if self.accept(":=") else Const(at, None)
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

    def params(self) -> list[str]:
        self.expect("(")
        names: list[str] = []
        while self.kind != ")":
            at = self.at
            name = self.identifier()
            if name in names:
                self.source.fail(f"Two parameters are named {name}", at)
            names.append(name)
            if self.kind != ")":
                self.expect(",")
        self.next()
        return names

    def return_(self) -> Stmt:
        at = self.at
        self.next()
        nothing = self.kind in ("end", ";", "}") or self.word() in _NEVER_NAMES
        return Return(at, Const(at, None) if nothing else self.expression())

    def throw(self) -> Stmt:
        at = self.at
        self.next()
        return Throw(at, self.expression())

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

    # -------------------------------------------------------------------------------------- expressions

    def expression(self, power: int = 0) -> Expr:
        """Read an expression whose operators bind tighter than `power`."""
        self.deeper()
        left = self.operand()
        while True:
            kind = self.kind
            found = OPERATORS.get(kind)
            if found is not None:
                if found[0] <= power:
                    break
                left = self.infix(left, *found)
            elif kind == "name":
                after = self.word_operator(left, power)
                if after is None:
                    break
                left = after
            else:
                break
        self.depth -= 1
        return left

    def infix(self, left: Expr, power: int, op: str) -> Expr:
        at = self.at
        self.next()
        if op == "?":
            then = self.expression()
            self.expect(":")
            return Choice(at, [(left, then)], self.expression(TERNARY - 1))
        right = self.expression(power)
        if op == "||":
            if isinstance(left, Template) and left.chain:
                left.parts.append(right)
                return left
            return Template(at, [left, right], chain=True)
        if op in ("!~", "!~*"):
            return Binary(at, "=" + op[1:], left, right, negated=True)
        if op == "!=":
            return Binary(at, "==", left, right, negated=True)
        return Binary(at, op, left, right)

    def word_operator(self, left: Expr, power: int) -> Expr | None:
        """Read `and`, `or`, `in`, `like`, `is null`, `between` and their negations; None if none is here."""
        start, at, word = self.index, self.at, self.word()
        negated = word == "not"
        if negated:
            self.next()
            word = self.word()
            if word not in ("in", "like", "ilike", "between"):
                self.go_back(start)
                return None
        if _WORDS.get(word, 0) <= power:
            self.go_back(start)
            return None
        self.next()
        if word in ("and", "or"):
            return self.logic(left, word, at)
        if word == "is":
            negated = self.accept_word("not")
            self.expect_word("null")
            return IsNull(at, left, negated)
        if word == "between":
            low = self.expression(AND)
            self.expect_word("and")
            return Between(at, left, low, self.expression(BETWEEN), negated)
        return Binary(at, word, left, self.expression(COMPARE), negated)

    def logic(self, left: Expr, word: str, at: int) -> Expr:
        right = self.expression(_WORDS[word])
        if isinstance(left, Logic) and left.op == word:
            left.operands.append(right)
            return left
        return Logic(at, word, [left, right])

    def operand(self) -> Expr:
        kind, at = self.kind, self.at
        if kind == "-":
            self.next()
            value = self.expression(UNARY - 1)
            if isinstance(value, Const) and type(value.value) in (int, float):
                return Const(at, -value.value)
            return Unary(at, "-", value)
        if kind == "name" and self.word() == "not":
            self.next()
            return Unary(at, "not", self.expression(NOT - 1))
        return self.postfix(self.primary())

    def postfix(self, left: Expr) -> Expr:
        while True:
            kind, at = self.kind, self.at
            if kind == ".":
                self.next()
                left = Get(at, left, self.property(), safe=False)
            elif kind == "?.":
                self.next()
                if self.kind == "[":
                    left = Get(at, left, self.subscript(), safe=True)
                else:
                    left = Get(at, left, self.property(), safe=True)
            elif kind == "[":
                left = Get(at, left, self.subscript(), safe=False)
            elif kind == "(":
                left = self.call(left, at)
            else:
                return left

    def property(self) -> Expr:
        at = self.at
        if self.kind not in ("name", "quoted", "number"):
            self.unexpected("a name or a number")
        value = self.values[self.index]
        self.next()
        return self.checked_key(Const(at, value))

    def subscript(self) -> Expr:
        self.next()
        key = self.expression()
        self.expect("]")
        return self.checked_key(key)

    def checked_key(self, key: Expr) -> Expr:
        if isinstance(key, Const) and type(key.value) in (int, float) and key.value == 0:
            self.source.fail("Arrays and strings are indexed from 1; there is no index 0", key.at)
        return key

    def call(self, callee: Expr, at: int) -> Expr:
        self.next()
        args = self.expressions(")")
        if isinstance(callee, Name):
            at = callee.at
        return Call(at, callee, args)

    def expressions(self, closing: str) -> list[Expr]:
        """Read expressions, separated by commas, up to the closing bracket, which is read too."""
        found: list[Expr] = []
        while self.kind != closing:
            found.append(self.expression())
            if self.kind != closing:
                self.expect(",")
        self.next()
        return found

    # ------------------------------------------------------------------------------------------ primary

    def primary(self) -> Expr:
        kind, at = self.kind, self.at
        if kind in ("number", "string"):
            value = self.values[self.index]
            self.next()
            return Const(at, value)
        if kind == "name":
            return self.named()
        if kind == "quoted":
            name = self.identifier()
            return Name(at, name) if self.kind != "->" else self.lambda_body([name], at)
        if kind == "(":
            return self.parenthesized()
        if kind == "[":
            self.next()
            return Array(at, self.expressions("]"), fixed=False)
        if kind == "{":
            return self.object()
        if kind != "f'":
            self.unexpected("an expression")
        return self.template()

    def named(self) -> Expr:
        at, word, after = self.at, self.word(), self.kinds[self.index + 1]
        if after == "->":
            return self.lambda_body([self.identifier()], at)
        if word in _CONSTANTS:
            self.next()
            return Const(at, _CONSTANTS[word])
        if word in _NEVER_NAMES and after != "(":
            self.unexpected("an expression")
        if word == "case" and after in _BEGINS_OPERAND:
            return self.case()
        return Name(at, self.identifier())

    def parenthesized(self) -> Expr:
        at, end = self.at, self.match[self.index]
        if end >= 0 and self.kinds[end + 1] == "->":
            return self.lambda_body(self.params(), at)
        self.next()
        if self.kind == ")":
            self.next()
            return Array(at, [], fixed=True)
        first = self.expression()
        if self.accept(")"):
            return first
        self.expect(",")
        return Array(at, [first, *self.expressions(")")], fixed=True)

    def lambda_body(self, params: list[str], at: int) -> Lambda:
        self.deeper()
        self.expect("->")
        if self.kind == "{" and not self._is_object(empty=True):
            body = self.block()
        else:
            start = self.at
            body = Block(start, [Return(start, self.expression())])
        self.depth -= 1
        return Lambda(at, params, body)

    def _is_object(self, *, empty: bool) -> bool:
        """Whether the brace here opens an object rather than a block. `empty`: what `{}` is."""
        index, end, choices = self.index + 1, self.match[self.index], 0
        first = self.kinds[index]
        if first == "}":
            return empty
        if first == "name" and str(self.values[index]).lower() in _STATEMENTS and self.kinds[index + 1] != ":":
            return False
        while index < end:
            kind = self.kinds[index]
            if kind == "?":
                choices += 1
            elif kind == ":":
                if choices == 0:
                    return True
                choices -= 1
            elif kind in (";", ":="):
                return False
            index = max(self.match[index], index) + 1
        return False

    def object(self) -> Expr:
        at = self.at
        self.next()
        pairs: list[tuple[Expr, Expr]] = []
        while self.kind != "}":
            key = self.expression()
            self.expect(":")
            pairs.append((key, self.expression()))
            if self.kind != "}":
                self.expect(",")
        self.next()
        return Object(at, pairs)

    def template(self) -> Expr:
        at = self.at
        self.next()
        parts: list[Expr] = []
        while self.kind != "'f":
            if self.kind == "text":
                parts.append(Const(self.at, self.values[self.index]))
                self.next()
            else:
                self.expect("f{")
                parts.append(self.expression())
                self.expect("f}")
        self.next()
        return Template(at, parts)

    def case(self) -> Expr:
        at = self.at
        self.next()
        subject = None if self.word() == "when" else self.expression()
        arms: list[tuple[Expr, Expr]] = []
        while self.accept_word("when"):
            test = self.expression()
            self.expect_word("then")
            arms.append((test, self.expression()))
        if not arms:
            self.unexpected("'when'")
        otherwise = self.expression() if self.accept_word("else") else Const(at, None)
        self.expect_word("end")
        return Choice(at, arms, otherwise) if subject is None else Match(at, subject, arms, otherwise)


_STATEMENTS: dict[str, Callable[[_Parser], Stmt]] = {
    "let": _Parser.let,
    "if": _Parser.if_,
    "while": _Parser.while_,
    "for": _Parser.for_,
    "fun": _Parser.fun,
    "return": _Parser.return_,
    "throw": _Parser.throw,
    "try": _Parser.try_,
}
