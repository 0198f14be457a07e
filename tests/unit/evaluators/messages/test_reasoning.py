"""Which types of parts are reasoning is one decision, for judged replies and for the replies of judges."""

from __future__ import annotations

import json

import pytest

from evaluators.llm_judge.reply import read_completion
from evaluators.messages import read_conversation
from evaluators.messages.reasoning import is_reasoning_type

REASONING = (
    *("thinking", "reasoning", "redacted_thinking", "thinking_delta", "reasoning_text", "summary_text", "thought"),
    *("reasoning.text", "reasoning.summary", "reasoning.encrypted", "reasoning-delta", "ThoughtEvent"),
    *("reasoning_content", "reasoningContent", "TextReasoningContent", "ThinkingPart"),
)
ANSWERS = ("text", "output_text", "input_text", "refusal", "tool_use", "image_url", "message", "document", "json")


@pytest.mark.parametrize("kind", REASONING)
def test_reasoning_is_no_part_of_an_answer(kind: str) -> None:
    parts = [{"type": kind, "text": "a draft"}, {"type": "text", "text": "the answer"}]
    reply = read_conversation([{"role": "assistant", "content": parts}])
    assert (reply.told(), reply.thinking()) == ("the answer", "a draft")
    judged = {"choices": [{"message": {"role": "assistant", "content": parts}}]}
    assert read_completion(json.dumps(judged).encode()).text == "the answer"


@pytest.mark.parametrize("kind", ANSWERS)
def test_an_ordinary_part_is_no_reasoning(kind: str) -> None:
    assert not is_reasoning_type(kind)
