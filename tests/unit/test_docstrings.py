"""Docstrings describe the arguments and attributes that exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.services.cache import CHECKOUT

SKIPPED = frozenset({"node_modules", "__pycache__", "build"})

Described = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def sources() -> Iterator[Path]:
    """Yield our modules."""
    for top in sorted(CHECKOUT.iterdir()):
        if top.is_dir() and (top.name == ".ci" or not top.name.startswith(".")):
            yield from (path for path in sorted(top.rglob("*.py")) if not SKIPPED & set(path.parts))


def listed(docstring: str, section: str) -> list[str]:
    """Return the names that a section of a docstring describes; one entry may describe several names."""
    found = re.search(rf"^{section}:\n((?: +.*\n?|\n)+)", docstring, re.MULTILINE)
    entries = re.findall(r"^ {4}(\*{0,2}\w+(?:, \*{0,2}\w+)*):", found[1], re.MULTILINE) if found else []
    return [name.strip(" *") for entry in entries for name in entry.split(",")]


def parameters(node: Described) -> set[str]:
    """Return the parameters of a function; those of a class are the ones of its `__init__`, or its fields."""
    if isinstance(node, ast.ClassDef):
        made = [each for each in node.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"]
        return parameters(made[0]) if made else fields(node)
    given = node.args
    named = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    return {each.arg for each in [*named, *(each for each in (given.vararg, given.kwarg) if each)]}


def fields(node: ast.ClassDef) -> set[str]:
    """Return what the instances of a class have: annotated names, names that are set, methods and properties."""
    inside = list(ast.walk(node))
    set_on_self = {
        each.attr
        for each in inside
        if isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Store) and ast.unparse(each.value) == "self"
    }
    names = {each.id for each in inside if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)}
    return set_on_self | names | {each.name for each in node.body if isinstance(each, ast.FunctionDef)}


def missing(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield line, owner and name of each description in a module's docstrings that describes nothing."""
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, Described):
            continue
        docstring = ast.get_docstring(node) or ""
        unknown = [name for name in listed(docstring, "Args") if name not in parameters(node)]
        if isinstance(node, ast.ClassDef) and not node.bases:  # the others may inherit it
            unknown += [name for name in listed(docstring, "Attributes") if name not in fields(node)]
        yield from ((node.lineno, node.name, name) for name in unknown)


def test_docstrings_describe_arguments_that_exist() -> None:
    wrong = [
        f"{path.relative_to(CHECKOUT)}:{line} {owner} has no {name}"
        for path in sources()
        for line, owner, name in missing(path.read_text())
    ]
    assert wrong == []


def test_a_description_of_nothing_is_found() -> None:
    described = "    Args:\n        a, b: of it.\n        d: gone.\n        c: rest.\n"
    assert list(missing(f'def f(a, *, b, **c):\n    """Do it.\n\n{described}    """\n')) == [(1, "f", "d")]
    described = "    Attributes:\n        a: one.\n        b: gone.\n"
    assert list(missing(f'class R:\n    """A record.\n\n{described}    """\n\n    a: int\n')) == [(1, "R", "b")]
