"""The library reaches nothing outside: no file, no clock, no chance. Time zones are the one exception, by name only."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import NoReturn

import pytest

from evaluators.hog import stdlib
from evaluators.hog.runtime import date_text
from evaluators.hog.runtime.errors import HogInputError
from tests.unit.evaluators.hog.stdlib.calls import call

FOLDER = Path(stdlib.__file__).parent
ALLOWED = {
    "__future__", "base64", "binascii", "calendar", "collections", "datetime", "decimal",
    "functools", "hashlib", "hmac", "ipaddress", "json", "math", "msgspec", "orjson", "re",
    "typing", "urllib", "uuid", "zoneinfo", "evaluators",
}  # fmt: skip


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_a_module_imports_nothing_that_does_io(path: Path) -> None:
    """Imports are of computing modules only, and nothing asks the host for the time or for chance."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            assert {name.name.split(".")[0] for name in node.names} <= ALLOWED
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] in ALLOWED
            assert node.module != "urllib.request"
        elif isinstance(node, ast.Attribute):
            assert node.attr not in {"now", "utcnow", "today", "uuid1", "uuid4", "urandom"} or (
                isinstance(node.value, ast.Name) and node.value.id == "ctx"
            )
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"open", "exec", "eval", "__import__", "getattr", "setattr", "compile"}


@pytest.mark.parametrize(
    "name",
    ["../../../../etc/passwd", "/etc/passwd", "Europe/../Europe/Berlin", "europe/berlin", "", "a\x00b", "é" * 5000],
)
def test_a_time_zone_s_name_never_becomes_a_path(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is not in the database is refused before anything would be opened."""

    def opened(key: str) -> NoReturn:
        raise AssertionError(f"{key} was looked up")

    monkeypatch.setattr(date_text, "ZoneInfo", opened)
    with pytest.raises(HogInputError, match="Unknown time zone"):
        call("now", name)


@pytest.mark.parametrize(
    ("local", "expected"),
    [
        ("2024-03-31 01:59:59", "2024-03-31T01:59:59.000+01:00"),
        ("2024-03-31 02:30:00", "2024-03-31T03:30:00.000+02:00"),
        ("2024-10-27 02:30:00", "2024-10-27T02:30:00.000+02:00"),
        ("2024-10-27 03:00:00", "2024-10-27T03:00:00.000+01:00"),
    ],
    ids=["before the gap", "in the gap", "twice there: the first", "after both"],
)
def test_times_around_a_change_of_clocks(local: str, expected: str) -> None:
    """Times that do not exist move on, of two equal ones the first is meant: on every host alike."""
    assert call("toString", call("toDateTime", local, "Europe/Berlin")) == expected


def test_an_hour_that_is_there_twice_begins_twice() -> None:
    """Truncating to the hour keeps to the second of two equal hours."""
    second = call("toTimeZone", call("toDateTime", "2024-10-27 01:30:00"), "Europe/Berlin")
    assert call("toString", call("toStartOfHour", second)) == "2024-10-27T02:00:00.000+01:00"
