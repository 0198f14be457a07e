"""Items that a prompt shows as examples measure nothing, in whatever shape a generation was logged."""

from __future__ import annotations

import json
from typing import Any

import pytest

from storage.golden_items import without_examples
from storage.sql.golden_sets import GoldenItem

ASKED = "Can I return shoes that I wore once?"
ANSWER = "Yes, within thirty days,\n  with the receipt."
PROMPT = f"""Does the reply answer the question?
    Question: {ASKED}
    Reply: Yes, within thirty days, with the receipt.
"""


def item(**properties: Any) -> GoldenItem:
    return GoldenItem(
        key="event:1", expected={}, labels=1, origin="labels", inclusion_probability=None,
        event={"uuid": "1", "properties": properties},
    )  # fmt: skip


@pytest.mark.parametrize(
    "properties",
    [
        {"$ai_input": ASKED},
        {"$ai_input": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": ASKED}]},
        {"$ai_input": [{"role": "user", "content": [{"type": "text", "text": ASKED}]}]},
        {"$ai_input": json.dumps([{"role": "user", "content": ASKED}])},
        {"$ai_output_choices": [{"role": "assistant", "content": ANSWER}]},
        {"$ai_output": ANSWER},
    ],
)
def test_an_item_whose_text_is_in_a_prompt_is_left_out(properties: dict[str, Any]) -> None:
    found = item(**properties)
    assert without_examples([found], ["Is it polite?", PROMPT]) == []
    assert without_examples([found], ["Is it polite?", ""]) == [found]


@pytest.mark.parametrize(
    "properties",
    [
        {"$ai_input": "shoes"},
        {"$ai_input": [{"role": "system", "content": ASKED}, {"role": "user", "content": "Something else entirely."}]},
        {"$ai_input": [{"role": "user", "content": f"{ASKED} And socks?"}]},
        {},
        {"$ai_input": None, "$ai_output": 7},
    ],
)
def test_a_short_text_a_system_text_and_a_longer_one_are_not_examples(properties: dict[str, Any]) -> None:
    found = item(**properties)
    assert without_examples([found], [PROMPT]) == [found]
