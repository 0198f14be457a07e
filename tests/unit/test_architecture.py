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

from tests.services.cache import CHECKOUT

PURE_ROOMS = frozenset({"conditions", "evaluators"})
MAY_IMPORT: dict[str, frozenset[str]] = {
    "conditions": frozenset(),
    "evaluators": frozenset({"quality.confidence"}),
    "quality": frozenset(),
    "config": PURE_ROOMS,
    "storage": PURE_ROOMS | {"quality", "config"},
    "processor": PURE_ROOMS | {"quality", "config", "storage"},
    "ingest": frozenset({"config", "storage", "processor.events", "processor.dead_letters.letter"}),
    "reports": PURE_ROOMS | {"quality", "config", "storage", "processor.events"},
    "api": PURE_ROOMS | {"quality", "config", "storage", "processor.events", "reports", "ingest.connection"},
    "console": frozenset({"api.services", "api.http"}),
    "cli": PURE_ROOMS
    | {"quality", "config", "storage", "processor", "ingest", "reports", "api", "console", "examples"},
    "examples": PURE_ROOMS | {"config", "storage", "processor"},
}
"""Room → the rooms, or parts of rooms, that its modules may import beside their own."""

STREAM_ROOMS = frozenset({"processor.events", "processor.stream", "processor.dead_letters"})
INSIDE_PROCESSOR: dict[str, frozenset[str]] = {
    "events": frozenset(),
    "stream": frozenset({"processor.events"}),
    "dead_letters": frozenset({"processor.events", "processor.stream"}),
    "matcher": STREAM_ROOMS | {"processor.tracing"},
    "judge": STREAM_ROOMS | {"processor.tracing"},
    "sink": STREAM_ROOMS,
    "labels": frozenset({"processor.events"}),
    "measurements": frozenset({"processor.events"}),
    "replay": STREAM_ROOMS | {"processor.matcher"},
    "runtime": STREAM_ROOMS
    | {
        "processor.matcher",
        "processor.judge",
        "processor.sink",
        "processor.replay",
        "processor.labels",
        "processor.measurements",
        "processor.metric_catalogue",
        "processor.tracing",
    },
    "metric_catalogue": frozenset(),
    "tracing": frozenset({"processor.events"}),
    "workers": frozenset({"processor.runtime", "processor.metric_catalogue"}),
}
"""Room of `processor/` → the rooms of it that its modules may import. Roles never import each other."""

TYPES_OF_SETTINGS = frozenset({"config.settings.root", "config.settings.safety"})
"""The one import circle that is allowed: settings name their checks, and the checks name the type of the settings."""

NEVER_SHIPPED = frozenset({"tests", "benchmarks"})

PURE = ("conditions", "evaluators/hog", "quality")
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

OTHER_WAITS = {
    "tests/services/process.py": "also ends when the process does",
    "tests/browser/rig.py": "the page decides",
    "tests/integration/judge_hour.py": "in virtual time",
}
"""Modules of tests with a wait that is not of `tests/services/waiting.py`, and why."""


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


def test_the_module_map_says_what_the_rules_say() -> None:
    table = (CHECKOUT / "docs/architecture.md").read_text().partition("## The module map")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([\w/]+)/` \| .* \| (.*) \|$", table, re.MULTILINE)
    shown = {dots(room): frozenset(map(dots, re.findall(r"`([\w/.]+)`", last))) for room, last in rows}
    assert {room: shown.get(room) for room in MAY_IMPORT} == MAY_IMPORT
    within = {room: allowed for room, allowed in shown.items() if "." in room}
    assert within
    wrong = [
        f"{path.relative_to(CHECKOUT)}:{line} imports {name}"
        for room, allowed in within.items()
        for path in modules(room.replace(".", "/"))
        for name, line in imported(parsed(path), package_of(path))
        if name.split(".")[0] in MAY_IMPORT and not any(is_within(name, each) for each in {room, *allowed})
    ]
    assert wrong == [], "a part of a room has a row of its own because it may import less than the room"


def dots(path: str) -> str:
    return path.removesuffix(".py").replace("/", ".")


def test_examples_import_no_tests() -> None:
    """`make demo` runs where the packages of the tests are not installed."""
    wrong = [
        f"{path.relative_to(CHECKOUT)}:{line} imports {name}"
        for path in modules("examples")
        for name, line in imported(parsed(path), package_of(path))
        if name.split(".")[0] in {"tests", "benchmarks"}
    ]
    assert wrong == []


@pytest.mark.parametrize("room", INSIDE_PROCESSOR)
def test_a_room_of_the_processor_imports_only_the_rooms_that_it_may(room: str) -> None:
    others = {f"processor.{name}" for name in INSIDE_PROCESSOR} - {f"processor.{room}"}
    wrong = [
        f"{path.relative_to(CHECKOUT)}:{line} imports {name}"
        for path in modules(f"processor/{room}")
        for name, line in imported(parsed(path), package_of(path))
        if any(is_within(name, other) for other in others - INSIDE_PROCESSOR[room])
    ]
    assert wrong == []


def test_every_folder_of_the_processor_has_a_rule() -> None:
    folders = {path.parent.name for path in (CHECKOUT / "processor").glob("*/__init__.py")}
    assert folders == set(INSIDE_PROCESSOR)


def test_there_is_no_import_circle_but_the_one_of_types() -> None:
    graph = import_graph(*MAY_IMPORT)
    found = [circle for circle in circles(graph) if not circle <= TYPES_OF_SETTINGS]
    assert found == []


def import_graph(*folders: str) -> dict[str, set[str]]:
    """Return module → the modules of `folders` that it imports, anywhere in its text."""
    names = {dotted(path): path for path in modules(*folders)}
    graph: dict[str, set[str]] = {}
    for name, path in names.items():
        targets = set()
        for target, _ in imported(parsed(path), package_of(path)):
            if target in names:
                targets.add(target)
            elif target.rpartition(".")[0] in names:
                targets.add(target.rpartition(".")[0])
        graph[name] = targets - {name}
    return graph


def circles(graph: dict[str, set[str]]) -> list[set[str]]:
    """Return the strongly connected components of more than one module. R. Tarjan, SIAM J. Comput. 1 (1972)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[set[str]] = []

    def visit(node: str) -> None:
        order[node] = low[node] = len(order)
        stack.append(node)
        for target in graph[node]:
            if target not in order:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], order[target])
        if low[node] == order[node]:
            component = set(stack[stack.index(node) :])
            del stack[stack.index(node) :]
            if len(component) > 1:
                found.append(component)

    for each in graph:
        if each not in order:
            visit(each)
    return found


def dotted(path: Path) -> str:
    """Return the name under which `path` is imported."""
    parts = path.relative_to(CHECKOUT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_every_package_that_is_shipped_is_a_room_with_a_rule() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["packages"]["find"]["include"]
    shipped = {pattern.rstrip("*") for pattern in patterns if (CHECKOUT / pattern.rstrip("*")).is_dir()}
    assert shipped == set(MAY_IMPORT)


def test_the_unit_tests_mirror_the_tree() -> None:
    """A test of a module lies in the folder of the module; `ci` mirrors `.ci`, which cannot be a package.

    A test of several modules has a name of its own, which no module below its folder has.
    """
    here = Path(__file__).parent
    tests = [path.relative_to(here) for path in here.rglob("test_*.py")]
    folders = {path.parent for path in tests} - {Path(), Path("ci")}
    assert [str(folder) for folder in sorted(folders) if not (CHECKOUT / folder).is_dir()] == []
    below = {str(path): subject_below(CHECKOUT / path.parent, path) for path in tests if path.parent in folders}
    assert {path: subject for path, subject in below.items() if subject} == {}


def subject_below(folder: Path, test: Path) -> str:
    """Return the module or package below `folder` that `test` is named after, unless the folder itself has one."""
    name = test.stem.removeprefix("test_")
    if (folder / f"{name}.py").exists() or (folder / name / "__init__.py").exists():
        return ""
    found = sorted([*folder.glob(f"*/**/{name}.py"), *folder.glob(f"*/**/{name}/__init__.py")])
    return str(found[0].relative_to(CHECKOUT)) if found else ""


def test_tests_wait_with_one_helper_and_one_patience() -> None:
    """A private wait with a short limit fails on a busy machine, one test of thousands at a time."""
    own = re.compile(r"def _?(?:until|wait_for|wait_until)\(|monotonic\(\) \+ \d")
    found = {str(path.relative_to(CHECKOUT)) for path in modules("tests") if own.search(path.read_text())}
    assert found - {"tests/services/waiting.py"} == OTHER_WAITS.keys()


def test_tests_make_topics_with_one_helper() -> None:
    """A broker answers before its own metadata has a topic, so one test of thousands is told that there is none."""
    found = {str(path.relative_to(CHECKOUT)) for path in modules("tests") if ".create_topics(" in path.read_text()}
    assert found == {"tests/services/topics.py", "tests/faults/test_stream.py", "tests/unit/test_architecture.py"}


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
    look = "import sys, cli.run, processor.runtime.process; print('openai' in sys.modules)"
    loads = ["", "import processor.judge.role\n"]
    seen = [
        subprocess.run([sys.executable, "-c", load + look], cwd=CHECKOUT, capture_output=True, text=True, check=True)
        for load in loads
    ]
    assert [each.stdout.strip() for each in seen] == ["False", "True"]


SHAPE = "a record, and its shape in the API"
SETTINGS = "a part of the product, and its section of the settings"
MAY_SHARE_A_NAME: dict[str, str] = {
    "AuditEntry": SHAPE,
    "Backfill": SHAPE,
    "Between": "agreement of two labellers, and a node of Hog's syntax, which only the compiler sees",
    "Cluster": SHAPE,
    "ClusteringRun": SHAPE,
    "Console": SETTINGS,
    "Estimate": "a figure with its interval, and the cost of a backfill in the API",
    "Evaluation": SHAPE,
    "EvaluationConfig": SHAPE,
    "EvaluationReport": SHAPE,
    "EvaluationVersion": SHAPE,
    "Event": SHAPE,
    "GoldenSet": SHAPE,
    "GoldenVersion": SHAPE,
    "Judge": SETTINGS,
    "Label": SHAPE,
    "Matcher": SETTINGS,
    "Page": "a page of rows in the API, and a page of the console",
    "ProjectToken": SHAPE,
    "ProviderKey": SHAPE,
    "Refusal": "a request that the front door refuses, and a figure that statistics refuse to give",
    "Span": "a span of OpenTelemetry, and the records that a worker took together",
    "Watchdog": SETTINGS,
    "Windows": SHAPE,
}
"""Class name that two modules of the product define → why that confuses nobody. This list only gets shorter."""


ALIASES_THAT_MAY_SHARE_A_NAME: dict[str, str] = {
    "Fields": "the fields of a body of `gavel trust compute`, and the columns of a row",
    "Period": "the period of a budget, and the time that a page of the console shows",
    "Place": "where a canary puts its text, and the place of a worker below its supervisor",
    "Reason": "why statistics refuse a figure, and why a record is a dead letter",
    "Trigger": "why a report is made, and why a run is made",
    "Passed": "a record that the sink does not write, and why the matcher passes a record over",
    "Verdict": "the verdict of a run, what a labeller said, and the name of a result's verdict in ClickHouse",
}
"""The same for type aliases that another module imports, and classes of their names. This list only gets shorter."""


def test_no_two_public_classes_have_one_name() -> None:
    """A reader finds a thing by its name. A name with an underscore stays in its module; nothing imports `examples`."""
    defined: dict[str, list[str]] = {}
    for path in modules(*(room for room in MAY_IMPORT if room != "examples")):
        for name in re.findall(r"^class ([A-Za-z]\w*)", path.read_text(), re.MULTILINE):
            defined.setdefault(name, []).append(str(path.relative_to(CHECKOUT)))
    doubles = {name: paths for name, paths in defined.items() if len(paths) > 1}
    assert {name: paths for name, paths in doubles.items() if name not in MAY_SHARE_A_NAME} == {}
    assert set(MAY_SHARE_A_NAME) - set(doubles) == set(), "remove the names that only one class has"
    assert [name for name, paths in doubles.items() if len(paths) > 2] == []


def test_no_type_alias_that_is_imported_has_the_name_of_another_type() -> None:
    """An alias that only its own module uses, such as an option of a command, confuses nobody."""
    trees = {path: parsed(path) for path in modules(*(room for room in MAY_IMPORT if room != "examples"))}
    taken = {name for path, tree in trees.items() for name, _ in imported(tree, package_of(path))}
    aliases: dict[str, list[str]] = {}
    classes: set[str] = set()
    for path, tree in trees.items():
        classes |= {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
        for name in aliases_of(tree):
            if f"{dotted(path)}.{name}" in taken:
                aliases.setdefault(name, []).append(str(path.relative_to(CHECKOUT)))
    doubles = {name: paths for name, paths in aliases.items() if len(paths) > 1 or name in classes}
    assert {name: paths for name, paths in doubles.items() if name not in ALIASES_THAT_MAY_SHARE_A_NAME} == {}
    assert set(ALIASES_THAT_MAY_SHARE_A_NAME) - set(doubles) == set(), "remove the names that only one type has"


def aliases_of(tree: ast.Module) -> list[str]:
    """Return the names in the manner of a class that a module gives to types: `State = Literal["open"]`."""
    names = [
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    ]
    return [name for name in names if re.fullmatch(r"[A-Z]\w*[a-z]\w*", name)]


MEASUREMENTS = "evaluation_measurements"
READS_MEASUREMENTS = frozenset({"processor.measurements", "api.services.trust"})
"""They may read the results of measurements. Pass rates, reports, windows, the console and exports may not."""
NAMES_MEASUREMENTS = frozenset({"storage/clickhouse/__init__.py", "storage/clickhouse/measurements.py"})


def test_only_figures_of_trust_read_the_results_of_measurements() -> None:
    """The table has one module that reads it, and that module has few importers: no other path can show its rows."""
    rooms = [name for name in MAY_IMPORT if (CHECKOUT / name).is_dir()]
    named = {
        str(path.relative_to(CHECKOUT)) for path in modules(*rooms) if "evaluation_measurements" in path.read_text()
    }
    assert named == NAMES_MEASUREMENTS
    readers = {
        package_of(path) for path in modules(*rooms)
        for name, _ in imported(parsed(path), package_of(path)) if is_within(name, "storage.clickhouse.measurements")
    }  # fmt: skip
    assert readers == READS_MEASUREMENTS
    sql = (CHECKOUT / "storage/clickhouse/migrations").glob("*.sql")
    read = re.compile(rf"\b(from|join)\s+{MEASUREMENTS}", re.IGNORECASE)
    views = [each.name for each in sql if read.search(each.read_text())]
    assert views == [], "no rollup reads them"


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
    assert subject_below(CHECKOUT / "api", Path("api/test_rate_limit.py")) == "api/http/rate_limit.py"
    assert subject_below(CHECKOUT / "api/http", Path("api/http/test_rate_limit.py")) == ""
    assert aliases_of(ast.parse("State = int\nKind: TypeAlias = str\n_Own = int\nMOST = 3\nt = 1")) == ["State", "Kind"]
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [{"a", "b", "c"}]


def test_each_migration_has_a_number_of_its_own_and_follows_the_one_before() -> None:
    """Two branches that take the same number merge without a conflict, and no store could be set up after that."""
    found = sorted(path.name for path in (CHECKOUT / "storage/sql/migrations/versions").glob("0*.py"))
    text = {name: (CHECKOUT / "storage/sql/migrations/versions" / name).read_text() for name in found}
    assert [name[:4] for name in found] == [f"{number:04}" for number in range(1, len(found) + 1)]
    for name in found:
        assert f'\nrevision = "{name[:4]}"' in text[name], name
        before = f'"{int(name[:4]) - 1:04}"' if name[:4] != "0001" else "None"
        assert f"\ndown_revision = {before}" in text[name], name
    tables = sorted(path.name[:4] for path in (CHECKOUT / "storage/clickhouse/migrations").glob("*.sql"))
    assert tables == [f"{number:04}" for number in range(1, len(tables) + 1)]
