"""Tokens to expressions, by precedence climbing."""

from __future__ import annotations

from evaluators.hog.parser.reader import CONSTANTS, TokenReader
from evaluators.hog.parser.syntax import (
    Array,
    Between,
    Binary,
    Block,
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
    Return,
    Template,
    Unary,
)

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
NEVER_NAMES = frozenset({"let", "fun", "return", "while", "for", "throw", "try", "else"})
"""Keywords with which no expression begins."""

_BEGINS_OPERAND = frozenset({"name", "quoted", "number", "string", "(", "[", "{", "f'", "-"})

STATEMENT_WORDS = frozenset({"let", "if", "while", "for", "fun", "fn", "return", "throw", "try"})
"""Keywords with which statements begin."""


class ExpressionParser(TokenReader):
    """Reads expressions from left to right."""

    def block(self) -> Block:
        """Read a block of statements."""
        raise NotImplementedError

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

    def value(self) -> Expr:
        """Read the value of a statement.

        Statements need no `;` between them, so that in `let a := 0 (a) := 1` the bracket looks like a call until the
        `:=` behind it shows that it begins the next statement. Then the value is read again and ends before it.
        """
        start, depth = self.index, self.depth
        found = self.expression()
        if self.kind != ":=":
            return found
        opening = self.last_bracket(start)
        if opening is None or opening in self.not_calls:
            return found
        self.not_calls.add(opening)
        self.go_back(start)
        self.depth = depth
        return self.expression()

    def infix(self, left: Expr, power: int, op: str) -> Expr:
        """Read an operator made of signs and its right operand."""
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
        """Read the right operand of `and` or `or`."""
        right = self.expression(_WORDS[word])
        if isinstance(left, Logic) and left.op == word:
            left.operands.append(right)
            return left
        return Logic(at, word, [left, right])

    def operand(self) -> Expr:
        """Read an operand with its signs, `not`, properties, elements and calls."""
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
        """Read properties, elements and calls after an operand."""
        while True:
            kind, at = self.kind, self.at
            if kind == ".":
                self.next()
                left = Get(at, left, self.property())
            elif kind == "?.":
                self.next()
                left = Get(at, left, self.subscript()) if self.kind == "[" else Get(at, left, self.property())
            elif kind == "[":
                left = Get(at, left, self.subscript())
            elif kind == "(" and self.index not in self.not_calls:
                left = self.call(left, at)
            else:
                return left

    def property(self) -> Expr:
        """Read the name or the number after a dot."""
        at = self.at
        if self.kind not in ("name", "quoted", "number"):
            self.unexpected("a name or a number")
        value = self.values[self.index]
        self.next()
        return self.checked_key(Const(at, value))

    def subscript(self) -> Expr:
        """Read a key in brackets."""
        self.next()
        key = self.expression()
        self.expect("]")
        return self.checked_key(key)

    def checked_key(self, key: Expr) -> Expr:
        """Return the key, unless it is the constant 0."""
        if isinstance(key, Const) and type(key.value) in (int, float) and key.value == 0:
            self.source.fail("Arrays and strings are indexed from 1; there is no index 0", key.at)
        return key

    def call(self, callee: Expr, at: int) -> Expr:
        """Read the arguments of a call."""
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
        """Read an operand without anything around it."""
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
        """Read an operand that begins with a name: a variable, a constant, a lambda, `case`."""
        at, word, after = self.at, self.word(), self.kinds[self.index + 1]
        if after == "->":
            return self.lambda_body([self.identifier()], at)
        if word in CONSTANTS:
            self.next()
            return Const(at, CONSTANTS[word])
        if word in NEVER_NAMES and after != "(":
            self.unexpected("an expression")
        if word == "case" and after in _BEGINS_OPERAND:
            return self.case()
        return Name(at, self.identifier())

    def parenthesized(self) -> Expr:
        """Read a lambda, a tuple or an expression in brackets."""
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

    def params(self) -> list[str]:
        """Read parameters in brackets."""
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

    def lambda_body(self, params: list[str], at: int) -> Lambda:
        """Read the arrow and the body of a lambda."""
        self.deeper()
        self.expect("->")
        if self.kind == "{" and not self.is_object(empty=True):
            body = self.block()
        else:
            start = self.at
            body = Block(start, [Return(start, self.expression())])
        self.depth -= 1
        return Lambda(at, params, body)

    def is_object(self, *, empty: bool) -> bool:
        """Whether the brace here opens an object rather than a block. `empty`: what `{}` is."""
        index, end, choices = self.index + 1, self.match[self.index], 0
        first = self.kinds[index]
        if first == "}":
            return empty
        if first == "name" and str(self.values[index]).lower() in STATEMENT_WORDS and self.kinds[index + 1] != ":":
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
        """Read an object."""
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
        """Read a template."""
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
        """Read `case … end`."""
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
