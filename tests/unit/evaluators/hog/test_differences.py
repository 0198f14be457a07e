"""The differences from PostHog's Hog that docs/hog.md lists are as it says."""

from __future__ import annotations

from typing import Any

import pytest

from evaluators.hog import HogCompileError, HogInputError, compile_program


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("'1.10' = 1.1", True),
        ("'1.10' > '1.9'", False),
        ("sortableSemver('1.10') > sortableSemver('1.9')", True),
        ("'TRUE' = true", False),
        ("'true' = true", True),
        ("f'{1}'", "1"),
        ("typeof(f'{1}')", "string"),
        ("toIntervalDay(7) = toIntervalDay(7)", True),
        ("equals('1', 1) and notEquals('a', 'b') and less('9', 10)", True),
        ("sortableSemver('1.2.0-beta')", [1, 2, 0]),
        ("has([1], true)", False),
        ("'a\nb' like 'a%b'", True),
        ("jsonStringify([nan, 'é'])", '[null, "\\u00e9"]'),
    ],
)
def test_a_program_gives_what_the_page_says(source: str, value: Any) -> None:
    assert compile_program(f"return {source}").run({}).value == value


@pytest.mark.parametrize("source", ["return 7d", "properties.x := 1", "return sleep(1)", "return [1][0]"])
def test_a_program_is_refused_when_it_is_saved(source: str) -> None:
    with pytest.raises(HogCompileError):
        compile_program(source)


@pytest.mark.parametrize("source", ["true + 1", "today() + toIntervalDay(1)", "toIntervalDay(1) < toIntervalDay(2)"])
def test_an_operation_without_a_meaning_is_an_error_of_the_input(source: str) -> None:
    with pytest.raises(HogInputError):
        compile_program(f"return {source}").run({})
