"""The text that a judge did not read is marked where the judge's own text was cut, on the first page and behind it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.services.turns import END, MAX_MESSAGE, Talk, TextPlace, TextRange, Turn
from api.services.unread import Unread, unread_of
from evaluators.llm_judge import OutputContract, transcribe
from evaluators.llm_judge.prompt import build_prompt


def message(text: str, role: str = "user") -> dict[str, Any]:
    return {"role": role, "content": text}


def marked(talk: Talk, limit: int, tools: Any = None) -> tuple[Unread, tuple[Turn, ...]]:
    unread = unread_of(talk, tools, limit)
    assert unread is not None
    return unread, talk.turns(unread_of=unread.of)[0]


def prompt(given: Any, answer: Any, limit: int) -> str:
    """Return what the judge is sent."""
    return build_prompt("c", OutputContract(), transcribe(given, answer, None), nonce="zzzz", max_chars=limit).user


def pieces(turn: Turn) -> list[tuple[str, bool]]:
    return [(piece.text, piece.unread) for piece in turn.pieces]


def test_what_everybody_reads_is_not_marked() -> None:
    talk = Talk([message("a" * 400)], "b" * 400)
    assert unread_of(talk, None, 1_000) is None
    assert all(turn.unread is None and not turn.pieces[0].unread for turn in talk.turns()[0])


def test_older_messages_are_marked_whole_and_the_next_one_in_its_middle() -> None:
    middle = "".join(f"{n:05} " for n in range(500))
    given = [message("first"), message(middle), message("last")]
    talk = Talk(given, "answer")
    unread, (first, second, third, fourth) = marked(talk, 1_000)
    assert (unread.older, unread.older_chars) == (1, len("user: first"))
    assert first.unread is not None
    assert first.unread.is_whole
    assert third.unread is fourth.unread is None
    (head, _), (gap, is_unread), (tail, _) = pieces(second)
    assert is_unread
    assert head + gap + tail == middle
    assert second.unread is not None
    assert second.unread.chars == len(gap)
    user = prompt(given, "answer", 1_000)
    assert f"{head[-40:]}\n[... " in user
    assert f" left out ...]\n{tail[:40]}" in user


def test_a_call_is_split_within_its_indented_arguments() -> None:
    call = {"name": "find", "arguments": json.dumps({f"key {n}": f"value  {n}" for n in range(200)})}
    given = [{"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": call}]}]
    _, (turn,) = marked(Talk(given, None), 1_000)
    head, gap, tail = turn.pieces
    assert [piece.goes_on for piece in turn.pieces] == [False, True, True]
    assert all(piece.code for piece in turn.pieces)
    assert json.loads(head.text + gap.text + tail.text) == json.loads(call["arguments"])
    user = prompt(given, None, 1_000)
    said = "".join(user.partition("\n[... ")[0].partition("find(")[2].split())
    assert said == "".join(head.text.split())


def test_an_output_of_several_messages_is_marked_over_all_of_them() -> None:
    answer = [message("a" * 600, "assistant"), message("b" * 600, "assistant"), message("c" * 600, "assistant")]
    unread, (_, first, second, third) = marked(Talk([message("?")], answer), 800)
    assert [turn.unread is not None for turn in (first, second, third)] == [True] * 3
    assert pieces(first) == [("a" * 389, False), ("a" * 211, True)]  # "assistant: " is 11 characters
    assert second.unread is not None
    assert second.unread.is_whole
    assert pieces(third) == [("c" * 200, True), ("c" * 400, False)]
    assert [unread.ranges[n].chars for n in (2, 3, 4)] == [3 * 611 + 2 - 800, 0, 0]
    assert unread.older == 1


def test_tools_that_were_left_out_are_counted() -> None:
    tools = [{"name": f"tool_{n}", "description": "d" * 200} for n in range(5)]
    unread, _ = marked(Talk([message("a" * 2_000)], "b"), 1_000, tools)
    assert unread.tools == 4


def test_a_place_behind_what_a_page_shows_is_marked_in_the_rest() -> None:
    size = 3 * MAX_MESSAGE
    talk = Talk([message("a" * size)], "b")
    unread = unread_of(talk, None, 2 * MAX_MESSAGE + 1)
    assert unread is not None
    [turn, _] = talk.turns(unread_of=unread.of)[0]
    assert turn.rest is not None
    assert turn.unread is not None
    place = turn.unread.start
    assert not turn.pieces[-1].unread
    assert place >= turn.rest
    following = talk.rest(1, TextPlace(0, place.char + 10), unread.of)
    assert following is not None
    assert following.pieces[0].unread
    assert following.unread is not None
    assert following.unread.chars == 0, "the number counts from the beginning of the gap"


@pytest.mark.parametrize("limit", [1, 2, 250, 999])
def test_a_part_without_text_is_marked_too(limit: int) -> None:
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    content = [{"type": "text", "text": "a" * 600}, image, {"type": "text", "text": "b" * 600}]
    _, turns = marked(Talk([{"role": "user", "content": content}], None), limit)
    shown = [piece.unread for piece in turns[0].pieces if piece.kind == "media"]
    assert turns[0].unread is not None
    assert shown == [True]


SAID = st.text(st.sampled_from("ab \n\u2028é\U0001f600"), max_size=400)


@given(st.lists(SAID, max_size=4), st.lists(SAID, max_size=3), st.integers(1, 1_200))
def test_read_and_unread_pieces_are_the_whole_and_unread_ones_are_in_the_ranges(
    asked: list[str], answered: list[str], limit: int
) -> None:
    talk = Talk([*map(message, asked)], [message(text, "assistant") for text in answered])
    unread = unread_of(talk, None, limit)
    if unread is None:
        return
    whole, _ = talk.turns()
    turns, _ = talk.turns(unread_of=unread.of)
    for plain, turn in zip(whole, turns, strict=True):
        assert "".join(piece.text for piece in turn.pieces) == "".join(piece.text for piece in plain.pieces)
        for place, piece in places(turn):
            within = turn.unread is not None and turn.unread.start <= place < turn.unread.end
            assert piece == within


def places(turn: Turn) -> Iterator[tuple[TextPlace, bool]]:
    at = 0
    for piece in turn.pieces:
        yield TextPlace(0, at), piece.unread
        at += len(piece.text)


def test_a_whole_message_ends_behind_every_place() -> None:
    assert TextRange(TextPlace(), END, 0).is_whole
    assert not TextRange(TextPlace(0, 1), END, 0).is_whole


def test_the_gap_is_found_behind_a_medium_that_the_page_shows_apart() -> None:
    url = "data:image/png;base64," + "iVBORw0KGgo" * 40
    text = f"{'a' * 300} {url} {'b' * 300} {url} {'c' * 2_000}"
    _, (turn,) = marked(Talk([message(text)], None), 1_500)
    said = [(piece.kind, piece.text.strip()[:1], piece.unread) for piece in turn.pieces]
    assert said == [
        ("text", "a", False), ("media", "", False), ("text", "b", False), ("media", "", False),
        ("text", "c", False), ("text", "c", True), ("text", "c", False),
    ]  # fmt: skip
    head, gap, tail = (piece.text for piece in turn.pieces[-3:])
    assert head + gap + tail == " " + "c" * 2_000
    assert turn.unread is not None
    assert turn.unread.chars == len(gap)
    user = prompt([message(text)], None, 1_500)
    assert f"{head}\n[... {len(gap)} characters" in user


def test_a_gap_over_a_medium_marks_it() -> None:
    url = "data:image/png;base64," + "iVBORw0KGgo" * 40
    _, (turn,) = marked(Talk([message(f"{'a' * 1_000} {url} {'b' * 1_000}")], None), 1_000)
    said = [(piece.kind, piece.text.strip()[:1], piece.unread) for piece in turn.pieces]
    assert said == [
        ("text", "a", False), ("text", "a", True), ("media", "", True), ("text", "b", True), ("text", "b", False),
    ]  # fmt: skip
