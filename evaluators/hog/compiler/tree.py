"""Walks over syntax trees, and copies of them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import cache
from typing import Any

from evaluators.hog.parser.syntax import Catch, Const, Known, Node

_FINDINGS = frozenset({"at", "symbol", "symbols", "scope", "captures", "writes", "key_symbol", "value_symbol", "scan"})
"""Fields that hold no nodes below: places, and what the checker found."""


def _kind(node: Any) -> Any:
    return node.__class__


@cache
def _fields(kind: Any) -> tuple[str, ...]:
    if kind is Const or kind is Known:
        return ()
    return tuple(field.name for field in fields(kind) if field.name not in _FINDINGS)


def children(node: Any) -> Iterator[Any]:
    """Return the nodes that a node is made of, those of a `Catch` included."""
    for name in _fields(_kind(node)):
        yield from _nodes(getattr(node, name))


def _nodes(value: Any) -> Iterator[Any]:
    if isinstance(value, Node):
        yield value
    elif isinstance(value, Catch):
        yield from children(value)
    elif type(value) is list or type(value) is tuple:
        for item in value:
            yield from _nodes(item)


def walk(node: Any) -> Iterator[Any]:
    """Return a node and all nodes below it."""
    stack = [node]
    while stack:
        found = stack.pop()
        yield found
        stack.extend(children(found))


def size(node: Any) -> int:
    """Count the nodes of a tree."""
    return sum(1 for _ in walk(node))


def replace_children(node: Any, replace: Callable[[Any], Any]) -> None:
    """Put into the place of each child what `replace` returns for it."""
    for name in _fields(_kind(node)):
        value = getattr(node, name)
        if isinstance(value, Node):
            setattr(node, name, replace(value))
        elif isinstance(value, Catch) or type(value) is list or type(value) is tuple:
            setattr(node, name, _replaced(value, replace))


def _replaced(value: Any, replace: Callable[[Any], Any]) -> Any:
    if isinstance(value, Node):
        return replace(value)
    if isinstance(value, Catch):
        replace_children(value, replace)
        return value
    if type(value) is list:
        return [_replaced(item, replace) for item in value]
    return tuple(_replaced(item, replace) for item in value) if type(value) is tuple else value


def copy_of(node: Any) -> Any:
    """Return a copy of a tree with the same symbols. The values of constants are shared."""
    made = copy.copy(node)
    for name in _fields(_kind(node)):
        setattr(made, name, _copied(getattr(node, name)))
    return made


def _copied(value: Any) -> Any:
    if isinstance(value, (Node, Catch)):
        return copy_of(value)
    if type(value) is list:
        return [_copied(item) for item in value]
    return tuple(_copied(item) for item in value) if type(value) is tuple else value
