"""Judges and Hog programs see each shape that an SDK or a provider logs in one form.

`data/shapes.yaml` has one generation a case: `input` and `output` as logged, `prompt` and `reply` as a judge sees them,
`told`, `thinking`, `calls`, `media` and `finish_reason` as Hog's globals have them. `<png>` stands for a picture in
Base64.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from evaluators.messages import ChatHistory, read_conversation, render_input, render_messages, render_output

PICTURE = "iVBORw0KGgo" + "QUJD" * 400


def _cases() -> list[Any]:
    text = (Path(__file__).parent / "data" / "shapes.yaml").read_text("utf-8").replace("<png>", PICTURE)
    return [pytest.param(case, id=case["name"]) for case in yaml.safe_load(text)]


def _reply(case: dict[str, Any]) -> ChatHistory:
    return read_conversation(case["output"], default_role="assistant")


CASES = _cases()


@pytest.mark.parametrize("case", CASES)
def test_a_judge_sees_every_message_with_its_role(case: dict[str, Any]) -> None:
    assert render_messages(case["input"]) == case["prompt"]
    assert render_messages(case["output"], default_role="assistant") == case["reply"]


@pytest.mark.parametrize("case", CASES)
def test_a_program_sees_what_the_user_was_told_apart_from_reasoning_calls_and_media(case: dict[str, Any]) -> None:
    reply = _reply(case)
    assert reply.told() == case["told"]
    assert reply.thinking() == case.get("thinking", "")
    assert reply.media() == case.get("media", [])
    assert reply.finish_reason == case.get("finish_reason")
    called = [{"id": call.call_id, "name": call.name, "arguments": call.arguments} for call in reply.calls()]
    assert called == case.get("calls", [])


@pytest.mark.parametrize("case", CASES)
def test_no_data_reaches_a_prompt_and_messages_as_json_text_are_the_same(case: dict[str, Any]) -> None:
    for value in (case["input"], case["output"]):
        for shown in (render_input(value), render_output(value)):
            assert PICTURE[:64] not in shown
    if isinstance(case["input"], list) and all(isinstance(item, dict) and "role" in item for item in case["input"]):
        assert render_messages(json.dumps(case["input"])) == case["prompt"]
        assert render_messages([json.dumps(item) for item in case["input"]]) == case["prompt"]


@pytest.mark.parametrize(
    "answer",
    [
        '{"answer": 1}',
        '{"type": "document", "confidence": 0.9}',
        '{"kind": "image", "url": "https://a.example"}',
        '{"name": "f", "arguments": {}}',
        '{"text": "only this"}',
        '{"role": "admin", "rights": ["read"]}',
        '[{"type": "image"}, {"type": "file"}]',
        '[{"name": "a", "text": "b"}]',
        '[{"text": "a"}]',
        '{"messages": "none"}',
        '{"output": [1, 2]}',
        '["a", "b"]',
        "[]",
        '""',
    ],
)
def test_an_answer_that_is_json_stays_as_it_is(answer: str) -> None:
    assert read_conversation(answer, default_role="assistant").told() == answer
    assert read_conversation([{"role": "assistant", "content": answer}]).told() == answer


def test_a_list_of_numbers_is_one_value() -> None:
    assert render_messages([0.5] * 1536) == ["[1536 numbers]"]
    assert render_messages([[0.5] * 1536, [1, 2]]) == ["[1536 numbers]", "1", "2"]
