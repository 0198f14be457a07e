"""Mutation of `conditions/`: `python -m tests.mutation.conditions [--json] [--only NAME]`; take time for it.

Every comparison, `and`, `or`, `not` and table of comparisons in the modules that decide is changed, one at a
time, in a copy of the package; then the room's tests run on the copy. A change that no test notices survives
and is printed. Changes in `BENIGN` alter what is remembered, or how fast, but no answer.

It is run by hand, after a change to an operator; continuous integration does not run it.
"""

from __future__ import annotations

import argparse
import ast
import copy
import json
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import track

ROOT = Path(__file__).resolve().parents[2]
MODULES = ("operators", "values", "dates", "versions", "rollout", "predicates", "indexes", "sampling", "interpreter")
TABLES = ("operators", "compiler")
TESTS = ("operators", "rollout", "row", "model", "matcher_equals_interpreter")
TIME_LIMIT_S = 240
"""An endless loop is noticed too."""

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

BENIGN: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change: where it is, what stood there, what stands there now, and the whole changed module."""

    module: str
    function: str
    line: int
    before: str
    after: str
    source: str

    @property
    def name(self) -> str:
        """What identifies the change, whatever its line."""
        return f"{self.module}.{self.function}: {self.before} → {self.after}"


def mutants(module: str) -> Iterator[Mutant]:
    """Yield every change of a module."""
    tree = ast.parse((ROOT / "conditions" / f"{module}.py").read_text("utf-8"))
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
    return inside[-1].name if inside else "table"


def caught_by(mutant: Mutant) -> str | None:
    """Return the test that notices a change, None if none does."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        shutil.copytree(ROOT / "conditions", place / "conditions", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(ROOT / "tests" / "unit" / "conditions", place / "tests" / "unit" / "conditions")
        (place / "conditions" / f"{mutant.module}.py").write_text(mutant.source, "utf-8")
        tests = [f"tests/unit/conditions/test_{name}.py" for name in TESTS]
        for package in (place / "tests", place / "tests" / "unit"):
            (package / "__init__.py").touch()
        command = [sys.executable, "-m", "pytest", "-xq", "-rfE", "--tb=no", "-p", "no:cacheprovider"]
        command += ["--import-mode=importlib", "--rootdir", folder, *tests]
        try:
            run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=TIME_LIMIT_S)
        except subprocess.TimeoutExpired:
            return "time limit"
    if run.returncode == 0:
        return None
    failed = [line.split("::")[-1].split("[")[0].split(" ")[0] for line in run.stdout.splitlines() if "::" in line]
    return failed[0] if failed else "import"


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Run all mutants, print the table, and exit with 1 if one survives that is not benign."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print each change and what caught it as JSON lines")
    parser.add_argument("--jobs", type=int, default=2, help="how many run at once")
    parser.add_argument("--only", help="only changes whose name contains this")
    options = parser.parse_args()
    found = [mutant for module in dict.fromkeys((*MODULES, *TABLES)) for mutant in mutants(module)]
    found = [mutant for mutant in found if not options.only or options.only in mutant.name]
    unchanged = (ROOT / "conditions" / "operators.py").read_text("utf-8")
    if caught_by(Mutant("operators", "", 0, "", "", unchanged)) is not None:
        sys.exit("the tests fail without any change; mend that first")
    caught: list[str | None] = []
    with ThreadPoolExecutor(options.jobs) as pool:
        tests = pool.map(caught_by, found)
        for mutant, test in track(zip(found, tests, strict=True), "Mutating", len(found), console=Console(stderr=True)):
            caught.append(test)
            if options.json:
                change = {"change": mutant.name, "line": mutant.line, "caught_by": test}
                say(json.dumps(change, ensure_ascii=False))
    made, killed = Counter(m.module for m in found), Counter(m.module for m, c in zip(found, caught, strict=True) if c)
    survivors = [mutant for mutant, test in zip(found, caught, strict=True) if test is None]
    for module in made:
        say(f"{module:12} {killed[module]:3} of {made[module]:3} changes noticed")
    for mutant in survivors:
        say(f"survived: {mutant.name} (line {mutant.line}): {BENIGN.get(mutant.name, 'NO TEST NOTICES IT')}")
    sys.exit(any(mutant.name not in BENIGN for mutant in survivors))


if __name__ == "__main__":
    main()
