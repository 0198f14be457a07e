"""A closed list of names is written in one module: the others import it, from the lower room."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import get_args

from console.pages.operations import REASONS
from processor.dead_letters.letter import Reason
from tests.unit.config.test_judge_request import product_modules

APART = {
    frozenset({"auto", "hdbscan", "kmeans"}): "the API's document has them in another order",
    frozenset({"gavel_reports_open", "gavel_windows_current", "gavel_windows_kept"}): "rooms that do not meet",
}
"""Lists that two modules have, and why."""


def literals(tree: ast.Module) -> Iterator[frozenset[object]]:
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Subscript)
            and ast.unparse(node.value) == "Literal"
            and isinstance(node.slice, ast.Tuple)
        ):
            yield frozenset(each.value for each in node.slice.elts if isinstance(each, ast.Constant))


def test_no_two_modules_write_the_same_list() -> None:
    found: dict[frozenset[object], list[str]] = {}
    for path, tree in product_modules():
        for names in literals(tree):
            if len(names) > 2:
                found.setdefault(names, []).append(path)
    doubles = {names: paths for names, paths in found.items() if len(paths) > 1}
    assert {names: paths for names, paths in doubles.items() if names not in APART} == {}
    assert set(APART) == set(doubles), "remove the lists that only one module has"


def test_the_console_offers_every_reason_of_a_dead_letter() -> None:
    """The console may not import the processor."""
    assert get_args(Reason) == REASONS
