"""Mutation of `conditions/`: `python -m tests.mutation.conditions [--json] [--only NAME]`; about ten minutes.

Every comparison, `and`, `or`, `not` and table of comparisons in the modules that decide is changed, one at a
time, in a copy of the package. Then the room's tests run on the copy: first the literal cases, which notice nearly
all changes, and then the property tests. A change that no test notices survives
and is printed. Changes in `BENIGN` alter caches or speed, but no answer.

Each run is a fork of this process, which has pytest and the libraries loaded and nothing of the room.

It is run by hand, after a change to an operator; continuous integration does not run it.
"""

from __future__ import annotations

import argparse
import ast
import copy
import json
import os
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import msgspec
import pytest
import re2
import yaml
from rich.console import Console
from rich.progress import Progress

from tests.services.cache import CHECKOUT

MODULES = ("operators", "values", "dates", "versions", "rollout", "predicates", "indexes", "sampling", "interpreter")
TABLES = ("operators", "compiler")
STAGES = {
    "rollout": (("rollout",), ("operators", "row", "model", "matcher_equals_interpreter")),
    "sampling": (("rollout",), ("operators", "row", "model", "matcher_equals_interpreter")),
}
"""For a module, the tests that are tried first, and the rest; for others, `OTHER_STAGES`."""
OTHER_STAGES = (
    ("operators", "row", "model", "relative_dates", "broken_parts", "expressions"),
    ("rollout", "matcher_equals_interpreter"),
)
TIME_LIMIT_S = 120
"""An endless loop is noticed too."""
LOADED_ONCE = (hypothesis, msgspec, pytest, re2, yaml)

FAMILIES: dict[str, tuple[str, ...]] = {
    "exact, is_not, in": (
        "values.equal",
        "values._truth",
        "values.same",
        "operators.exact",
        "indexes.add",
        "indexes._hits",
        "indexes.indexable",
    ),
    "icontains, starts_with, ends_with, regex": (
        "operators.icontains",
        "operators.starts_with",
        "operators.ends_with",
        "operators.regex",
        "values.text_of",
        "predicates.",
    ),
    "gt, gte, lt, lte, between": (
        "operators.gt",
        "operators.lt",
        "operators._bounds",
        "values.order",
        "values.number_of",
        "values._number",
        "compiler.gt",
        "compiler.lt",
        "indexes.orderable",
        "indexes.is_gap",
        "indexes.number_table",
    ),
    "is_date_…": ("dates.", "operators.is_date", "compiler.is_date", "indexes._make_day"),
    "semver_…": ("versions.", "operators.semver", "compiler.semver"),
    "rollout": ("rollout.", "sampling."),
}
"""The beginnings of the names of changes that concern one family of operators; other changes concern them all."""

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}
NAMES = {"lt": "le", "le": "lt", "gt": "ge", "ge": "gt", "eq": "ne", "startswith": "endswith", "endswith": "startswith"}
BOUNDS = {"gt": "gte", "gte": "gt", "lt": "lte", "lte": "lt", "ne": "lt"}

_DEPENDS = "operator.startswith('is_date_') {} any((dates.is_relative(v) for v in alternatives(value)))"
_LASTS = "region {} bisect_right(day.points, instant) == bisect_right(day.points, instant - DAY + 1)"
_HASHED = "a hash is made that is not needed"
_KEPT = "more or fewer values or days are remembered"
BENIGN: dict[str, str] = {
    f"predicates.depends_on_time: {_DEPENDS.format('and')} → {_DEPENDS.format('or')}": (
        "a filter that needs no time is tested for each event and its answer is not remembered"
    ),
    "indexes.orderable: isinstance(value, str) or number_of(value) is not None → "
    "isinstance(value, str) and number_of(value) is not None": "numbers are tested one by one instead of indexed",
    "indexes.number_table: abs(number) >= _EXACT_LIMIT → abs(number) > _EXACT_LIMIT": "2**52 itself is exact as well",
    f"indexes.standing: {_LASTS.format('==')} → {_LASTS.format('!=')}": (
        "never so, since the region lies between the other two: no value is remembered"
    ),
    "indexes.standing: len(x) <= _LONGEST_DATE → len(x) < _LONGEST_DATE": _KEPT,
    "indexes.standing: len(x) <= _LONGEST_DATE → len(x) > _LONGEST_DATE": _KEPT,
    "indexes.standing: len(day.known) < _MOST_DATES → len(day.known) <= _MOST_DATES": _KEPT,
    "indexes.standing: len(day.known) < _MOST_DATES → len(day.known) > _MOST_DATES": _KEPT,
    "indexes._make_day: len(self._days) >= _MOST_DAYS → len(self._days) > _MOST_DAYS": _KEPT,
    "indexes._make_day: len(self._days) >= _MOST_DAYS → len(self._days) < _MOST_DAYS": _KEPT,
    "sampling.__init__: percentage >= 100 → percentage > 100": _HASHED,
    "sampling.__init__: percentage > 0 → percentage >= 0": _HASHED,
}
"""Changes that alter caches or speed but no answer, each with its reason."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change: its place, the text before and after it, and the whole changed module."""

    module: str
    function: str
    line: int
    before: str
    after: str
    source: str

    @property
    def name(self) -> str:
        """The identity of the change, which does not depend on its line."""
        return f"{self.module}.{self.function}: {self.before} → {self.after}"

    @property
    def family(self) -> str:
        """The family of operators that it concerns."""
        return next(
            (family for family, names in FAMILIES.items() if self.name.startswith(names)), "all: is_set, sets, groups"
        )


def mutants(module: str) -> Iterator[Mutant]:
    """Yield every change of a module."""
    tree = ast.parse((CHECKOUT / "conditions" / f"{module}.py").read_text("utf-8"))
    for place, node in enumerate(ast.walk(tree)):
        for changed in _changes(node, module):
            other = copy.deepcopy(tree)
            target = list(ast.walk(other))[place]
            for field, value in ast.iter_fields(changed):
                setattr(target, field, value)
            if type(changed) is not type(target):
                _replace(other, target, changed)
            line = getattr(node, "lineno", 0)
            yield Mutant(
                module, _function_at(tree, line), line, ast.unparse(node), ast.unparse(changed), ast.unparse(other)
            )


def _replace(tree: ast.AST, old: ast.AST, new: ast.AST) -> None:
    class Swap(ast.NodeTransformer):
        def visit(self, node: ast.AST) -> ast.AST:
            return new if node is old else self.generic_visit(node)

    Swap().visit(tree)


def _changes(node: ast.AST, module: str) -> Iterator[ast.AST]:
    if module in MODULES:
        if isinstance(node, ast.Compare):
            yield from _compared_otherwise(node)
        elif isinstance(node, ast.BoolOp):
            yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            yield node.operand
    if module in TABLES:
        if isinstance(node, ast.Attribute) and node.attr in NAMES:
            yield ast.Attribute(node.value, NAMES[node.attr], node.ctx)
        if module == "compiler" and isinstance(node, ast.Tuple | ast.Dict):
            yield from _bounded_otherwise(node)


def _compared_otherwise(node: ast.Compare) -> Iterator[ast.AST]:
    for place, operator in enumerate(node.ops):
        for other in COMPARISONS[type(operator)]:
            yield ast.Compare(node.left, [*node.ops[:place], other(), *node.ops[place + 1 :]], node.comparators)
        wanted = node.comparators[place]
        if isinstance(operator, ast.In) and isinstance(wanted, ast.Tuple):
            for left_out in range(len(wanted.elts)):
                kept = ast.Tuple([e for n, e in enumerate(wanted.elts) if n != left_out], ast.Load())
                comparators = [*node.comparators[:place], kept, *node.comparators[place + 1 :]]
                yield ast.Compare(node.left, node.ops, comparators)


def _bounded_otherwise(node: ast.Tuple | ast.Dict) -> Iterator[ast.AST]:
    """Change one kind of bound in the tables of the compiler, and where it makes bounds itself."""
    elements = node.elts if isinstance(node, ast.Tuple) else node.values
    for place, element in enumerate(elements):
        if isinstance(element, ast.Constant) and element.value in BOUNDS:
            others = [*elements[:place], ast.Constant(BOUNDS[element.value]), *elements[place + 1 :]]
            if isinstance(node, ast.Tuple):
                yield ast.Tuple(others, node.ctx)
            else:
                yield ast.Dict(node.keys, others)


def _function_at(tree: ast.AST, line: int) -> str:
    inside = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.lineno <= line <= (node.end_lineno or 0)
    ]
    if inside:
        return inside[-1].name
    entries = [
        (key.value, value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Dict)
        for key, value in zip(node.keys, node.values, strict=True)
        if isinstance(key, ast.Constant)
    ]
    return next((str(key) for key, value in entries if value.lineno <= line <= (value.end_lineno or 0)), "table")


def caught_by(mutant: Mutant) -> str | None:
    """Return the test that notices a change, None if none does."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        leave = shutil.ignore_patterns("__pycache__")
        shutil.copytree(CHECKOUT / "conditions", place / "conditions", ignore=leave)
        shutil.copytree(
            CHECKOUT / "tests" / "unit" / "conditions", place / "tests" / "unit" / "conditions", ignore=leave
        )
        (place / "conditions" / f"{mutant.module}.py").write_text(mutant.source, "utf-8")
        for package in (place / "tests", place / "tests" / "unit"):
            (package / "__init__.py").touch()
        for names in STAGES.get(mutant.module, OTHER_STAGES):
            found = _first_failure(place, [f"tests/unit/conditions/test_{name}.py" for name in names])
            if found is not None:
                return found
    return None


def _first_failure(folder: Path, tests: Sequence[str]) -> str | None:
    """Run tests in a fork of this process that sees `folder` in place of the project."""
    report = folder / "failed"
    child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.alarm(TIME_LIMIT_S)  # nobody handles it, so it ends the process
            status = _run_in_copy(folder, tests, report)
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return "time limit"
    if os.WEXITSTATUS(status) == 0:
        return None
    return report.read_text("utf-8") if report.exists() else "import"


def _run_in_copy(folder: Path, tests: Sequence[str], report: Path) -> int:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    for name in [name for name in sys.modules if name.split(".")[0] in ("conditions", "tests")]:
        del sys.modules[name]
    os.chdir(folder)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # plugins of other libraries take longer than the tests
    sys.path[:] = [str(folder), *(entry for entry in sys.path if Path(entry).resolve() != CHECKOUT)]
    arguments = ["-xq", "--tb=no", "-p", "no:cacheprovider", "--import-mode=importlib"]
    return int(pytest.main([*arguments, "--rootdir", str(folder), *tests], plugins=[_Recorder(report)]))


class _Recorder:
    """Writes down the test that fails."""

    def __init__(self, report: Path) -> None:
        self._report = report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._report.write_text(report.nodeid.split("::")[-1].split("[")[0], "utf-8")


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Run all mutants, print the table, and exit with 1 if one survives that is not benign."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print each change and what caught it as JSON lines")
    parser.add_argument("--only", help="only changes whose name contains this")
    options = parser.parse_args()
    found = [mutant for module in dict.fromkeys((*MODULES, *TABLES)) for mutant in mutants(module)]
    found = [mutant for mutant in found if not options.only or options.only in mutant.name]
    unchanged = (CHECKOUT / "conditions" / "operators.py").read_text("utf-8")
    if caught_by(Mutant("operators", "", 0, "", "", unchanged)) is not None:
        sys.exit("the tests fail without any change; mend that first")
    caught: list[str | None] = []
    # Without a thread that redraws the bar: a fork should find no lock held.
    with Progress(console=Console(stderr=True), auto_refresh=False) as progress:
        task = progress.add_task("Mutating", total=len(found))
        for mutant in found:
            test = caught_by(mutant)
            caught.append(test)
            progress.update(task, advance=1, refresh=True)
            if options.json:
                change = {"change": mutant.name, "line": mutant.line, "caught_by": test}
                say(json.dumps(change, ensure_ascii=False))
    survivors = [mutant for mutant, test in zip(found, caught, strict=True) if test is None]
    made, alive = Counter(mutant.family for mutant in found), Counter(mutant.family for mutant in survivors)
    benign = Counter(mutant.family for mutant in survivors if mutant.name in BENIGN)
    for family, count in made.items():
        say(f"{family:42} {count:3} changes, {count - alive[family]:3} noticed, {benign[family]:2} benign")
    for mutant in survivors:
        say(f"survived: {mutant.name} (line {mutant.line}): {BENIGN.get(mutant.name, 'NO TEST NOTICES IT')}")
    sys.exit(any(mutant.name not in BENIGN for mutant in survivors))


if __name__ == "__main__":
    main()
