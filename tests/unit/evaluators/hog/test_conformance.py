"""The conformance set: every case of `data/`, each a program with its value, its print or its error.

A case is {name, source, globals?, result | error {kind, message?, line?, column?}, print?}; `print` holds lines or
their text, `message` is a part of the whole message. `result` is the program's value as JSON.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from evaluators.hog import HogFailure, compile_program
from evaluators.hog.runtime.copies import to_json

DATA = Path(__file__).parent / "data"


def load_cases() -> list[Any]:
    cases = []
    for file in sorted(DATA.iterdir()):
        loaded = json.loads(file.read_text()) if file.suffix == ".json" else yaml.safe_load(file.read_text())
        cases += [pytest.param(case, id=f"{file.stem}: {case['name']}") for case in loaded]
    return cases


CASES = load_cases()


def lines_of(printed: str | list[str]) -> list[str]:
    return printed if isinstance(printed, list) else printed.split("\n") if printed else []


def identical(left: Any, right: Any) -> bool:
    """Equality in which 1, 1.0 and true differ."""
    return json.dumps(left, sort_keys=False) == json.dumps(right, sort_keys=False)


@pytest.mark.parametrize("case", CASES)
def test_case_gives_what_it_says(case: dict[str, Any]) -> None:
    expected = case.get("error")
    try:
        run = compile_program(case["source"]).run(case.get("globals", {}))
    except HogFailure as failure:
        assert expected is not None, f"{failure.kind}: {failure}"
        assert failure.kind == expected["kind"], str(failure)
        assert expected.get("message", "") in failure.message
        assert expected.get("line", failure.line) == failure.line
        assert expected.get("column", failure.column) == failure.column
        if "print" in case:
            assert list(getattr(failure, "prints", ())) == lines_of(case["print"])
        return
    assert expected is None, f"gave {run.value!r}"
    assert identical(to_json(run.value), case["result"]), run.value
    if "print" in case:
        assert run.prints == lines_of(case["print"])


def test_there_are_enough_cases_and_their_names_are_unique() -> None:
    names = [case.id for case in CASES]
    assert len(names) == len(set(names))
    assert len(names) >= 600
