"""The syntax tree. Every node knows the offset of its place in the source.

The checker fills in its findings: `Name.symbol`, `Let.symbol` and so on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias


@dataclass(slots=True, eq=False)
class Scope:
    """A function, or the program itself, as far as its variables are concerned."""

    parent: Scope | None
    function: Lambda | None


@dataclass(slots=True, eq=False)
class Symbol:
    """One variable.

    Attributes:
        scope: the function that declares it.
        in_loop: it is declared anew each time a loop's body runs.
        captured: a function within `scope` uses it.
        assigned: something other than its declaration sets it.
        function: the declaration, if `fun` made it.
        type: what the checker knows of its values (see `infer`).
        python: its name in the emitted code.
    """

    name: str
    scope: Scope
    in_loop: bool
    captured: bool = False
    assigned: bool = False
    function: Fun | None = None
    type: str | None = None
    python: str = ""

    @property
    def boxed(self) -> bool:
        """Whether its value lives in a box, because closures of several turns of a loop each keep their own."""
        return self.in_loop and self.captured


@dataclass(slots=True, eq=False)
class Node:
    """Root of all nodes."""

    at: int


@dataclass(slots=True, eq=False)
class Const(Node):
    """null, a boolean, a number or a string."""

    value: Any


@dataclass(slots=True, eq=False)
class Known(Node):
    """A value that the compiler has worked out and that has no literal: an array, an object, a date or a long text.

    All runs share the value, so that no program may change it.
    """

    value: Any


@dataclass(slots=True, eq=False)
class Name(Node):
    """A variable, or (with no symbol) a global or a library function."""

    name: str
    symbol: Symbol | None = None


@dataclass(slots=True, eq=False)
class Template(Node):
    """Texts that are joined: a template string or a chain of `||`. `operands`: as written in `||`."""

    parts: list[Expr]
    chain: bool = False


@dataclass(slots=True, eq=False)
class Get(Node):
    """`object.key`, `object[key]`, also with a question mark: access to null is null in any case."""

    object: Expr
    key: Expr


@dataclass(slots=True, eq=False)
class Call(Node):
    """A call of anything."""

    callee: Expr
    args: list[Expr]


@dataclass(slots=True, eq=False)
class Unary(Node):
    """`-` or `not`."""

    op: str
    operand: Expr


@dataclass(slots=True, eq=False)
class Binary(Node):
    """Arithmetic, comparison, `in`, `like`, regex and `??`. Names of operators as in `OPERATORS` of the parser."""

    op: str
    left: Expr
    right: Expr
    negated: bool = False


@dataclass(slots=True, eq=False)
class Logic(Node):
    """`and` or `or` of two or more operands, all of which are evaluated."""

    op: str
    operands: list[Expr]


@dataclass(slots=True, eq=False)
class IsNull(Node):
    """`is null` or `is not null`."""

    operand: Expr
    negated: bool


@dataclass(slots=True, eq=False)
class Between(Node):
    """`[not] between low and high`, both ends included."""

    operand: Expr
    low: Expr
    high: Expr
    negated: bool


@dataclass(slots=True, eq=False)
class Choice(Node):
    """`c ? a : b`, `if()`, `multiIf()` and `case`: the first arm whose condition holds, else the last."""

    arms: list[tuple[Expr, Expr]]
    otherwise: Expr


@dataclass(slots=True, eq=False)
class Match(Node):
    """`case subject when value then result … end`."""

    subject: Expr
    arms: list[tuple[Expr, Expr]]
    otherwise: Expr


@dataclass(slots=True, eq=False)
class Array(Node):
    """An array or, with `fixed`, a tuple."""

    items: list[Expr]
    fixed: bool


@dataclass(slots=True, eq=False)
class Object(Node):
    """An object; keys are expressions."""

    pairs: list[tuple[Expr, Expr]]


@dataclass(slots=True, eq=False)
class Lambda(Node):
    """A lambda; a body that is an expression is a `Return`.

    The checker fills in: `captures`, the variables of outer functions that it uses, those of the functions
    within it included; `writes`, those of them that it sets itself; `loops`, whether it has a loop.
    """

    params: list[str]
    body: Block
    symbols: list[Symbol] = field(default_factory=list)
    scope: Scope | None = None
    captures: list[Symbol] = field(default_factory=list)
    writes: list[Symbol] = field(default_factory=list)
    loops: bool = False


@dataclass(slots=True, eq=False)
class Found(Node):
    """Whether a pass over a text has found one of its patterns.

    Attributes:
        test: the same question asked by itself, for a value that is not a text.
        number: of the pattern.
    """

    test: Binary
    scan: Scan
    number: int


Expr: TypeAlias = (
    Const
    | Found
    | Known
    | Name
    | Template
    | Get
    | Call
    | Unary
    | Binary
    | Logic
    | IsNull
    | Between
    | Choice
    | Match
    | Array
    | Object
    | Lambda
)


@dataclass(slots=True, eq=False)
class Let(Node):
    """`let name := value`."""

    name: str
    value: Expr
    symbol: Symbol = field(init=False, repr=False)


@dataclass(slots=True, eq=False)
class Assign(Node):
    """`target := value`; the target is a `Name` or a `Get`."""

    target: Expr
    value: Expr


@dataclass(slots=True, eq=False)
class If(Node):
    """`if (test) then else otherwise`."""

    test: Expr
    then: Stmt
    otherwise: Stmt | None


@dataclass(slots=True, eq=False)
class While(Node):
    """`while (test) body`."""

    test: Expr
    body: Stmt


@dataclass(slots=True, eq=False)
class For(Node):
    """`for (start; test; step) body`."""

    start: Stmt | None
    test: Expr | None
    step: Stmt | None
    body: Stmt


@dataclass(slots=True, eq=False)
class ForIn(Node):
    """`for (let [key,] value in collection) body`."""

    key: str | None
    value: str
    collection: Expr
    body: Stmt
    key_symbol: Symbol | None = None
    value_symbol: Symbol = field(init=False, repr=False)


@dataclass(slots=True, eq=False)
class Scan(Node):
    """One pass over the value of a variable for all patterns that the statements behind it ask for.

    Attributes:
        search: what makes the pass; see `runtime.scan`.
        python: the variable in the emitted code that holds the numbers of the patterns which were found.
    """

    subject: Name
    search: Callable[..., Any]
    python: str


@dataclass(slots=True, eq=False)
class Unrolled(Node):
    """The turns of a loop over values that are known, one after the other, with these values in their places."""

    bodies: list[Stmt]


@dataclass(slots=True, eq=False)
class Fun(Node):
    """`fun name(params) { … }`."""

    name: str
    function: Lambda
    symbol: Symbol = field(init=False, repr=False)


@dataclass(slots=True, eq=False)
class Return(Node):
    """`return value`."""

    value: Expr


@dataclass(slots=True, eq=False)
class Throw(Node):
    """`throw value`."""

    value: Expr


@dataclass(slots=True, eq=False)
class Catch:
    """One `catch (name: type)`; both may be missing."""

    name: str | None
    type: str | None
    body: Block
    symbol: Symbol | None = None


@dataclass(slots=True, eq=False)
class Try(Node):
    """`try { } catch (e) { }`."""

    body: Block
    catches: list[Catch]


@dataclass(slots=True, eq=False)
class Block(Node):
    """Statements with a scope of their own."""

    statements: list[Stmt]


@dataclass(slots=True, eq=False)
class Do(Node):
    """An expression as a statement."""

    value: Expr


Stmt: TypeAlias = Let | Assign | If | While | For | ForIn | Unrolled | Scan | Fun | Return | Throw | Try | Block | Do


def parts_of(node: Expr) -> list[Expr]:
    """Return the expressions that an expression is made of; none for a lambda, which evaluates nothing."""
    if isinstance(node, Get):
        return [node.object, node.key]
    if isinstance(node, Binary):
        return [node.left, node.right]
    if isinstance(node, (Unary, IsNull)):
        return [node.operand]
    if isinstance(node, Found):
        return [node.test]
    if isinstance(node, Logic):
        return node.operands
    if isinstance(node, Between):
        return [node.operand, node.low, node.high]
    if isinstance(node, Array):
        return node.items
    if isinstance(node, Object):
        return [part for pair in node.pairs for part in pair]
    if isinstance(node, Choice):
        return [node.otherwise, *(part for arm in node.arms for part in arm)]
    if isinstance(node, Match):
        return [node.subject, node.otherwise, *(part for arm in node.arms for part in arm)]
    return []
