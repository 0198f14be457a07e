"""`docs/hog.md` cannot rot: its programs run, its examples are right, and its table names every function."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from evaluators.generation import Generation
from evaluators.hog import HogEvaluator, compile_program
from evaluators.hog.runtime.meter import Allowance
from evaluators.hog.runtime.relations import same
from evaluators.hog.stdlib import FUNCTIONS
from evaluators.verdict import Verdict
from tests.services.cache import CHECKOUT
from tests.services.waiting import PATIENCE_S

TEXT = (CHECKOUT / "docs" / "hog.md").read_text("utf-8")
PROGRAMS = re.findall(r"```hog\n(.*?)```", TEXT, re.DOTALL)
EXAMPLES = re.findall(
    r"^\| `(.+?)` \| `(.+?)` \|", TEXT.split("## The library")[1].split("## Cookbook")[0], re.MULTILINE
)
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("source", PROGRAMS, ids=range(1, len(PROGRAMS) + 1))
def test_a_program_of_the_page_passes(source: str) -> None:
    """Each block is an evaluator that passes on a small reply with one tool call."""
    call = {"id": "c", "type": "function", "function": {"name": "search", "arguments": "{}"}}
    properties = {"$ai_output_choices": [{"role": "assistant", "content": "Let me look.", "tool_calls": [call]}]}
    generation = Generation("e", 1, "$ai_generation", "u", NOW, properties)
    verdict = HogEvaluator(source, allows_na=True).evaluate(generation, time_limit_s=PATIENCE_S)
    assert isinstance(verdict, Verdict), verdict
    assert verdict.result is True


@pytest.mark.parametrize(("expression", "result"), EXAMPLES, ids=[example for example, _ in EXAMPLES])
def test_an_example_of_the_table_gives_what_it_says(expression: str, result: str) -> None:
    """Both sides are run; they are the same, without coercion."""
    got, wanted = (
        compile_program(f"return {text}".replace("\\|", "|")).run({}, now=NOW, uuid_seed="e").value
        for text in (expression, result)
    )
    assert same(Allowance(), got, wanted), got


def test_the_table_names_every_function() -> None:
    """No function is without an example."""
    shown = " ".join(expression for expression, _ in EXAMPLES)
    assert not [name for name in FUNCTIONS if not re.search(rf"\b{name}\(", shown)]


def test_every_ready_evaluator_is_in_the_cookbook_and_every_link_leads_somewhere() -> None:
    """The cookbook is complete, and links within the repository are not broken."""
    for path in (CHECKOUT / "examples" / "evaluators").glob("*.yaml"):
        assert path.name.endswith(".cases.yaml") or f"evaluators/{path.name})" in TEXT
    for link in re.findall(r"\]\((\.\./[^)]+)\)", TEXT):
        assert (CHECKOUT / "docs" / link).exists(), link
