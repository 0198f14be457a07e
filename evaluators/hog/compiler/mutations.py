"""Which containers a program changes, so that values that all runs share are none of them."""

from __future__ import annotations

from evaluators.hog.compiler.checker import Checked
from evaluators.hog.parser.syntax import Array, Call, Const, Expr, Get, Name, Object, Symbol

_FRESH = frozenset({
    "arrayPushBack", "arrayPushFront", "arrayPopBack", "arrayPopFront", "arraySort", "arrayReverseSort", "arrayReverse",
    "arrayMap", "arrayFilter", "splitByString", "range", "keys", "values", "jsonParse",
})  # fmt: skip
"""Library functions that give a new container, or null."""


def mutated(found: Checked) -> set[Symbol]:
    """Return the variables whose containers a statement changes."""
    return {root for target in found.mutations if (root := _root(target)) is not None}


def only_fresh_containers(found: Checked) -> bool:
    """Whether the program changes no container but those that it has just made for a variable.

    A change one level below such a variable cannot reach any other value. Otherwise any container may be reached.
    """
    for target in found.mutations:
        if not isinstance(target.object, Name) or target.object.symbol is None:
            return False
    roots = mutated(found)
    values: list[tuple[Symbol, Expr | None]] = [
        *found.assignments,
        *((s, None) for s, _ in (*found.iterations, *found.positions)),
    ]
    return all(_is_fresh(value) for symbol, value in values if symbol in roots)


def _root(target: Get) -> Symbol | None:
    node: Expr = target
    while isinstance(node, Get):
        node = node.object
    return node.symbol if isinstance(node, Name) else None


def _is_fresh(value: Expr | None) -> bool:
    if isinstance(value, (Array, Object)):
        return True
    if isinstance(value, Const):
        return value.value is None
    return (
        isinstance(value, Call)
        and isinstance(value.callee, Name)
        and value.callee.symbol is None
        and value.callee.name in _FRESH
    )
