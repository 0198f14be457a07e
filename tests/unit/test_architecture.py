"""The rooms import only what the design allows them, and the pure rooms do no I/O and ask no clock."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]

MAY_IMPORT: dict[str, frozenset[str]] = {
    "conditions": frozenset(),
    "evaluators": frozenset(),
    "config": frozenset({"conditions", "evaluators"}),
    "processor": frozenset({"conditions", "evaluators", "config"}),
    "api": frozenset({"conditions", "evaluators", "config", "processor.events"}),
}
"""Room → the rooms, or parts of rooms, that its modules may import beside their own."""

NEVER_SHIPPED = frozenset({"tests", "benchmarks", "examples"})

PURE = ("conditions", "evaluators/hog")
IMPURE_MODULES = frozenset(
    re.findall(
        r"\w+",
        """asyncio concurrent confluent_kafka chdb clickhouse_connect ftplib glob http httpx io logging multiprocessing
        openai os pathlib queue random requests secrets select selectors shutil signal smtplib socket sqlalchemy sqlite3
        ssl structlog subprocess tempfile threading urllib uuid""",
    )
)
"""Modules that do I/O, draw random numbers or know the time. `time` and `datetime` are looked at call by call."""
STILL_PURE = frozenset({"urllib.parse", "uuid.UUID", "uuid.uuid5", "uuid.NAMESPACE_URL", "uuid.NAMESPACE_DNS"})
IMPURE_CALLS = frozenset({"now", "utcnow", "today", "time", "time_ns", "perf_counter", "sleep", "uuid1", "uuid4"})
IMPURE_BUILTINS = frozenset({"open", "print", "input", "breakpoint"})


def modules(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((CHECKOUT / folder).rglob("*.py"))


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def imported(tree: ast.AST, package: str) -> Iterator[tuple[str, int]]:
    """Yield the dotted name and the line of everything that a module imports, relative imports resolved."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base]).rstrip(".")
            yield from ((f"{base}.{alias.name}", node.lineno) for alias in node.names)


def package_of(path: Path) -> str:
    return ".".join(path.relative_to(CHECKOUT).parent.parts)


def is_within(name: str, allowed: str) -> bool:
    return name == allowed or name.startswith(f"{allowed}.")


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_the_rooms_that_it_may(room: str) -> None:
    other_rooms = (set(MAY_IMPORT) | NEVER_SHIPPED) - {room}
    wrong = [
        f"{path.relative_to(CHECKOUT)}:{line} imports {name}"
        for path in modules(room)
        for name, line in imported(parsed(path), package_of(path))
        if name.split(".")[0] in other_rooms and not any(is_within(name, allowed) for allowed in MAY_IMPORT[room])
    ]
    assert wrong == []


def test_every_package_that_is_shipped_is_a_room_with_a_rule() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["packages"]["find"]["include"]
    shipped = {pattern.rstrip("*") for pattern in patterns if (CHECKOUT / pattern.rstrip("*")).is_dir()}
    assert shipped == set(MAY_IMPORT)


def test_pure_rooms_import_nothing_that_reaches_outside() -> None:
    wrong = [
        f"{path.relative_to(CHECKOUT)}:{line} imports {name}"
        for path in modules(*PURE)
        for name, line in imported(parsed(path), package_of(path))
        if name.split(".")[0] in IMPURE_MODULES and not any(is_within(name, pure) for pure in STILL_PURE)
    ]
    assert wrong == []


def test_pure_rooms_ask_no_clock_and_open_no_file() -> None:
    wrong = [
        f"{path.relative_to(CHECKOUT)}:{node.lineno} {ast.unparse(node)[:80]}"
        for path in modules(*PURE)
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call) and (is_impure_builtin(node.func) or is_clock(node.func))
    ]
    assert wrong == []


def is_impure_builtin(called: ast.expr) -> bool:
    return isinstance(called, ast.Name) and called.id in IMPURE_BUILTINS


def is_clock(called: ast.expr) -> bool:
    """Tell whether this is `datetime.now(…)` or the like, not a method of a value that is named so."""
    if not isinstance(called, ast.Attribute) or called.attr not in IMPURE_CALLS:
        return False
    owner = ast.unparse(called.value)
    return owner in {"datetime", "date", "time", "uuid", "datetime.datetime", "datetime.date"}


def test_only_a_judge_loads_the_providers_package() -> None:
    """It takes longer to load than all the rest, and a matcher or a sink that died is to be back at once."""
    look = "import sys, processor.cli.run, processor.runtime; print('openai' in sys.modules)"
    loads = ["", "import processor.judge_role\n"]
    seen = [
        subprocess.run([sys.executable, "-c", load + look], cwd=CHECKOUT, capture_output=True, text=True, check=True)
        for load in loads
    ]
    assert [each.stdout.strip() for each in seen] == ["False", "True"]


def test_the_rules_see_what_breaks_them() -> None:
    """The checks above can fail: each kind of offence is recognised in a snippet that has it."""
    assert ("os.path", 1) in imported(ast.parse("from os import path"), "conditions")
    assert ("api.config.settings.Settings", 1) in imported(
        ast.parse("from ..config.settings import Settings"), "api.routes"
    )
    inner = ast.parse("def f():\n    import socket")
    assert [name for name, _ in imported(inner, "conditions")] == ["socket"]
    calls = [
        node.func for node in ast.walk(ast.parse("datetime.now(UTC); x.now(); open('f')")) if isinstance(node, ast.Call)
    ]
    assert [is_clock(each) or is_impure_builtin(each) for each in calls] == [True, False, True]
