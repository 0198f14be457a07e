"""Finds tests of one variable for several constant patterns, and makes one pass over the text of them.

Only tests that stand behind one another count, in `if` statements of one list of statements: a test asks nothing that
has an effect, so that asking earlier cannot be seen.
"""

from __future__ import annotations

from typing import Any

from evaluators.hog.compiler.tree import replace_children, walk
from evaluators.hog.compiler.values import value_of
from evaluators.hog.parser.syntax import Binary, Block, Choice, Found, If, Lambda, Name, Scan, Stmt, Symbol, Unrolled
from evaluators.hog.runtime.regex import MAX_PATTERN, like_regex
from evaluators.hog.runtime.scan import Sought, scan_for

FEWEST = 3
"""Tests from which on one pass for all takes less time than one for each."""

_Subject = Symbol | str


class Scans:
    """Puts passes into the lists of statements of a program, and remembers how many there are."""

    def __init__(self) -> None:
        self._count = 0

    def put_into(self, node: Any) -> Any:
        """Return a node whose lists of statements, the innermost first, have passes in them."""
        replace_children(node, self.put_into)
        if isinstance(node, Block):
            node.statements = self.statements(node.statements)
        return node

    def statements(self, statements: list[Stmt]) -> list[Stmt]:
        """Return a list of statements with passes before the first test of each."""
        tests: dict[_Subject, list[Binary]] = {}
        first: dict[_Subject, int] = {}
        for at, statement in enumerate(statements):
            for test in _tests(statement):
                subject = _subject(test)
                if subject is not None:
                    tests.setdefault(subject, []).append(test)
                    first.setdefault(subject, at)
        before: dict[int, list[Stmt]] = {}
        for subject, found in tests.items():
            scan = self._scan(found) if len(found) >= FEWEST else None
            if scan is not None:
                before.setdefault(first[subject], []).append(scan)
                replaced = {id(test): Found(test.at, test, scan, number) for number, test in enumerate(found)}
                for statement in statements:
                    _replace(statement, replaced)
        return [one for at, statement in enumerate(statements) for one in [*before.get(at, ()), statement]]

    def _scan(self, tests: list[Binary]) -> Scan | None:
        search = scan_for([_sought(test) for test in tests])
        subject = tests[0].left
        if search is None or not isinstance(subject, Name):
            return None
        self._count += 1
        return Scan(tests[0].at, Name(subject.at, subject.name, subject.symbol), search, f"m_{self._count}")


def _tests(statement: Stmt) -> list[Binary]:
    """Return the tests for a pattern in the conditions of a statement that runs whenever the one before it ends."""
    if isinstance(statement, Unrolled):
        return [test for body in statement.bodies for test in _tests(body)]
    if isinstance(statement, Block):
        return [test for one in statement.statements for test in _tests(one)]
    found: list[Binary] = []
    otherwise: Stmt | None = statement
    while isinstance(otherwise, If):
        parts = list(walk(otherwise.test))
        if not any(isinstance(part, (Lambda, Choice)) for part in parts):
            found += [part for part in reversed(parts) if isinstance(part, Binary)]
        otherwise = otherwise.otherwise
    return found


def _subject(test: Binary) -> _Subject | None:
    """Return the variable or the global that a test asks about; None if a pass cannot answer it."""
    pattern, name = value_of(test.right), test.left
    if not isinstance(name, Name) or type(pattern) is not str or not pattern or len(pattern) > MAX_PATTERN:
        return None
    if test.op in ("like", "ilike"):
        pieces = [piece for piece in pattern.split("%") if piece]
        if len(pieces) != 1 or "_" in pattern:
            return None
    elif test.op not in ("=~", "=~*"):
        return None
    symbol = name.symbol
    if symbol is None:
        return name.name
    return None if symbol.assigned or symbol.in_loop or symbol.function is not None else symbol


def _sought(test: Binary) -> Sought:
    pattern = value_of(test.right)
    if test.op in ("like", "ilike"):
        return Sought(like_regex(pattern.replace("%", "")), test.op == "ilike", dot_nl=True)
    return Sought(pattern, test.op == "=~*")


def _replace(node: Any, replaced: dict[int, Found]) -> None:
    def of(child: Any) -> Any:
        found = replaced.get(id(child))
        if found is not None:
            return found
        if not isinstance(child, Found):
            replace_children(child, of)
        return child

    replace_children(node, of)
