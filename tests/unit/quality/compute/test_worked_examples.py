"""The calculator gives every worked example of the specification."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from quality.compute import KINDS, compute

EXAMPLES: list[dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parents[1] / "data" / "worked_examples.yaml").read_text()
)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["kind"])
def test_a_worked_example_holds(example: dict[str, Any]) -> None:
    answer = compute({"kind": example["kind"], "input": example["input"]})
    for name, expected in example["expected"].items():
        tolerance = example.get("tolerance", {}).get(name, 1e-4)
        is_text = isinstance(expected, str) or (isinstance(expected, list) and isinstance(expected[0], str))
        assert answer[name] == (expected if is_text else pytest.approx(expected, abs=tolerance)), name


def test_there_are_examples_of_every_kind_that_the_specification_names() -> None:
    ours = {"stratified_agreement", "options_agreement", "interval", "holm"}
    assert {example["kind"] for example in EXAMPLES} == set(KINDS) - ours
