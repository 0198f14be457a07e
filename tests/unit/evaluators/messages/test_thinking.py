"""Thinking that a server left in a reply's text is told from what was said, and talk about tags stays as it is.

`data/thinking.yaml` has replies as models of many makers write them.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from evaluators.messages import read_conversation
from evaluators.messages.thinking import split_thinking

REPLIES = yaml.safe_load((Path(__file__).parent / "data" / "thinking.yaml").read_text("utf-8"))

TALK = (
    "Use the <think> and </think> tags for reasoning.",
    "The </think> tag closes the block.",
    "<think> and </think> are tags.",
    "<think> is a tag.",
    "The closing tag is </think>",
    "Close it with `</think>` and go on.",
    "Write:\n```\n<think>\nhm\n</think>\nanswer\n```\nThat is all.",
    "Models answer like this:\n\n<think>\nhm\n</think>\nanswer",
    'Split it with text.split("</think>") first.',
    'import re\ntext = re.sub(r"<think>.*?</think>", "", text)',
    '{"text": "abc</think>def"}',
    '{"a": "<think>x</think>"}',
    "The **</think>** tag.",
    "It ends with (</think>) there.",
    "It is called '</think>'. So it is.",
    "[Thoughts on X](https://example.com) is a good text.",
    "[think] of a number",
    "<analysis>the whole answer</analysis>",
    "<plan>Basic</plan><price>3</price>",
    "<result>\n<reasoning>Because.</reasoning>\n<answer>42</answer>\n</result>",
    "<details><summary>More</summary>words</details> and more",
    "const [thoughts, setThoughts] = useState<Thought[]>([])",
    "List<Thought> thoughts = new ArrayList<Thought>();",
    "I think so, because a < b and [1] says it.",
    "analysis of the data: fine",
    "a <|channel|> is a token of harmony, and so is <|message|>",
    "Here is my thought process: first this, then that.",
)


@pytest.mark.parametrize("case", REPLIES, ids=lambda case: case["reply"][:40])
def test_thinking_in_any_clothing_is_not_what_was_said(case: dict[str, str]) -> None:
    for output in (
        case["reply"],
        [{"role": "assistant", "content": case["reply"]}],
        [{"role": "assistant", "content": [{"type": "text", "text": case["reply"]}]}],
        {"choices": [{"message": {"role": "assistant", "content": case["reply"]}, "finish_reason": "stop"}]},
    ):
        reply = read_conversation(output, default_role="assistant")
        assert (reply.told(), reply.thinking()) == (case["told"], case["thinking"])


@pytest.mark.parametrize("text", TALK)
def test_a_reply_that_talks_about_tags_loses_nothing(text: str) -> None:
    reply = read_conversation([{"role": "assistant", "content": text}])
    assert (reply.told(), reply.thinking()) == (text, "")


def test_what_a_user_writes_has_no_thinking() -> None:
    text = "<think>draft</think>Paris."
    assert read_conversation([{"role": "user", "content": text}]).text() == f"user: {text}"


def test_thinking_may_begin_in_one_block_and_end_in_another() -> None:
    blocks = [{"type": "text", "text": "<think>draft"}, {"type": "text", "text": "more</think>Paris."}]
    reply = read_conversation([{"role": "assistant", "content": blocks}])
    assert (reply.told(), reply.thinking()) == ("Paris.", "draft\nmore")


PIECES = (
    "<think>",
    "</think>",
    "[THINK]",
    "<|channel|>final<|message|>",
    "`",
    "```\n",
    "\n",
    " ",
    "is",
    "Aa.",
    '"',
    "<answer>",
)


@given(st.lists(st.sampled_from(PIECES), max_size=12))
def test_no_word_is_lost(pieces: list[str]) -> None:
    text = "".join(pieces)
    shown = " ".join(part.text or str(part.arguments) for part in split_thinking(text))
    assert shown.count("Aa.") == text.count("Aa.")


def test_a_text_of_very_many_tags_has_a_bounded_number_of_parts_and_loses_no_words() -> None:
    parts = split_thinking("<think>a</think>" * 50_000)
    assert len(parts) <= 20_001
    assert sum(part.text.count("a") for part in parts) == 50_000
