"""A page reads a bounded part of a conversation, and the parts in turn have every entry of it once."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.services.excerpt import MOST_VALUES, excerpt_of
from api.services.turns import Talk, tools_of
from api.services.unread import unread_of
from evaluators.messages import read_conversation

MANY = 2 * MOST_VALUES


def message(text: Any, role: str = "user") -> dict[str, Any]:
    return {"role": role, "content": text}


def block(text: str = "a") -> dict[str, Any]:
    return {"type": "text", "text": text}


def call() -> dict[str, Any]:
    return {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def values_in(value: Any) -> int:
    """Return how many objects, lists and entries of lists a value has."""
    if isinstance(value, dict):
        return 1 + sum(map(values_in, value.values()))
    return 1 + sum(1 + values_in(each) for each in value) if isinstance(value, list) else 0


def texts(given: Any, answer: Any, before: int = 0) -> list[tuple[int, str]]:
    talk = Talk(given, answer, before=before)
    found = []
    start = before
    while True:
        turns, hidden = talk.turns(start=start)
        found += [(turn.number, turn.pieces[0].text) for turn in turns]
        if not hidden:
            return found
        start = turns[-1].number


def test_an_ordinary_conversation_is_read_whole() -> None:
    """A thousand messages with parts, calls and results are below the bound."""
    asked = {"role": "assistant", "content": [block()], "tool_calls": [call()]}
    given = [message([block()]), asked] * 500
    part = excerpt_of(given, [message("b", "assistant")])
    assert part.is_whole
    assert (part.given, part.answer, part.output) == (given, [message("b", "assistant")], None)


def test_the_parts_of_a_long_conversation_have_every_message_once() -> None:
    given = [message(f"{n}") for n in range(MANY)]
    answer = [message(f"{n}", "assistant") for n in range(MANY, MANY + 100)]
    seen: list[tuple[int, str]] = []
    start, pages = 0, 0
    while True:
        part = excerpt_of(given, answer, start=start)
        assert part.start == start
        assert values_in(part.given) + values_in(part.answer) <= MOST_VALUES + 10
        seen += texts(part.given, part.answer, part.start)
        start, pages = part.following, pages + 1
        if not part.behind:
            break
        assert part.output in (None, MANY)
    assert pages >= 3
    assert seen == [(n + 1, f"{n}") for n in range(MANY + 100)]


def test_the_output_can_be_reached_at_once() -> None:
    answer = [message("b", "assistant")]
    part = excerpt_of([message("a")] * MANY, answer)
    assert (part.answer, part.output) == (None, MANY)
    last = excerpt_of([message("a")] * MANY, answer, start=MANY)
    assert (last.given, last.answer, last.start, last.behind, last.output) == (None, answer, MANY, 0, None)
    assert excerpt_of([message("a")], answer, start=10**8).answer == answer, "a place behind the end is the last entry"


SHAPES: dict[str, Callable[[int], Any]] = {
    "messages": lambda n: [message("a")] * n,
    "messages without a role": lambda n: [{"content": "a"}] * n,
    "empty objects": lambda n: [{}] * n,
    "texts": lambda n: ["a"] * n,
    "parts": lambda n: [message([block()] * n)],
    "parts that are texts": lambda n: [message(["a"] * n)],
    "parts of Gemini": lambda n: [{"role": "user", "parts": [{"text": "a"}] * n}],
    "calls": lambda n: [{"role": "assistant", "tool_calls": [call()] * n}],
    "results": lambda n: [message([{"type": "tool_result", "tool_use_id": "c", "content": "x"}] * n)],
    "pictures": lambda n: [message([{"type": "image_url", "image_url": {"url": "http://a/b"}}] * n)],
    "a request": lambda n: {"messages": [message("a")] * n, "model": "m"},
    "fields of a message": lambda n: [{f"{i}": i for i in range(n)}],
    "fields that are objects": lambda n: [{f"{i}": {} for i in range(n)}],
    "fields that are JSON": lambda n: [{f"{i}": '{"a": 1}' for i in range(n)}],
    "fields of arguments": lambda n: [{"tool_calls": [{"name": "f", "args": {f"{i}": i for i in range(n)}}]}],
    "lists in lists": lambda n: [[message("a")] * 10] * (n // 10),
    "JSON of messages": lambda n: json.dumps([message("a")] * n),
    "JSON of a request": lambda n: json.dumps({"messages": [message("a")] * n}),
    "JSON of JSON": lambda n: json.dumps(json.dumps([message("a")] * n)),
    "JSON of parts in a message": lambda n: [message(json.dumps([block()] * n))],
    "JSON of parts in many messages": lambda n: [message(json.dumps([block()] * 100))] * (n // 100),
    "JSON of an answer of Mastra": lambda n: [message(json.dumps({"text": "a", "toolCalls": [call()] * n}))],
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_a_page_reads_a_bounded_part_of_any_shape(shape: str) -> None:
    """It says that something is missing, and three times as much of the same gives the same page."""
    pages = []
    for count in (MANY, 3 * MANY):
        part = excerpt_of(SHAPES[shape](count), "b")
        assert part.behind or part.left_out
        read = read_conversation(part.given).messages
        parts = sum(len(each.parts) for each in read)
        assert 0 < len(read) + parts <= 2 * MOST_VALUES
        pages.append(read)
    assert pages[0] == pages[1]


@pytest.mark.parametrize(
    "value",
    [
        [0.5] * MANY,
        [message([1] * MANY)],
        "{" * MANY,
        json.dumps([{"a": 1}] * MANY),
        json.dumps({"rows": [{"a": 1}] * MANY}),
        [message(json.dumps({"rows": [{"a": 1}] * MANY}))],
    ],
    ids=["a vector", "bytes", "broken JSON", "an answer that is JSON", "an object", "an object in a message"],
)
def test_what_is_one_text_stays_whole(value: Any) -> None:
    part = excerpt_of(value, None)
    assert part.is_whole
    assert part.given == value


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just('[{"role": "user", "content": "x"}]'),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
        max_leaves=30,
    ),
    st.integers(0, 20),
)
def test_a_value_that_fits_is_copied_as_it_is(value: Any, most: int) -> None:
    assert excerpt_of(value, value).given == value
    part = excerpt_of(value, None, most=most)
    assert part.is_whole == (part.given == value)


def test_tools_beyond_the_bound_are_counted_and_not_read() -> None:
    tools = [{"name": "f", "description": "d"}] * MANY
    for offered in (tools, json.dumps(tools), {"tools": tools}):
        shown, more = tools_of(offered)
        assert (len(shown), len(shown) + more) == (100, MANY)
    assert unread_of(Talk("a" * 100, "b"), tools, 50) is None
