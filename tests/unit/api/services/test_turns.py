"""The turns of a page: bounds over messages, parts and pages, and everything that is left out can be reached."""

from __future__ import annotations

import json
from typing import Any

import pytest

from api.services.turns import (
    MAX_MESSAGE,
    MAX_PAGE,
    MAX_TURNS,
    Talk,
    TextPlace,
    Turn,
    output_text,
    read_place,
    tools_of,
)


def user(*texts: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "text", "text": text} for text in texts]}]


def shown(turns: tuple[Turn, ...]) -> int:
    return sum(len(piece.text) for turn in turns for piece in turn.pieces)


@pytest.mark.parametrize(
    "texts",
    [("a" * 20 * MAX_MESSAGE,), ("b" * MAX_MESSAGE,) * 128, ("c",) * 20_000, ("\u200b" * MAX_MESSAGE,) * 3],
    ids=["one part", "large parts", "small parts", "hidden characters"],
)
def test_a_message_is_bounded_over_its_parts_and_shown_whole_in_steps(texts: tuple[str, ...]) -> None:
    talk = Talk(user(*texts), None)
    [turn], hidden = talk.turns()
    assert hidden == 0
    assert len(turn.pieces) <= MAX_MESSAGE // 64
    first = shown((turn,))
    assert 0 < first <= MAX_MESSAGE
    assert turn.left == sum(map(len, texts)) - first
    seen, steps = first, 0
    while turn.rest is not None and steps < 10:
        assert read_place(str(turn.rest)) == turn.rest
        following = talk.rest(1, turn.rest)
        assert following is not None
        assert shown((following,)) <= MAX_MESSAGE
        assert following.left < turn.left
        seen, turn, steps = seen + shown((following,)), following, steps + 1
    assert seen + turn.left == sum(map(len, texts))


def test_hidden_characters_count_for_their_marks() -> None:
    [turn], _ = Talk(user("\u200b" * MAX_MESSAGE), None).turns()
    assert shown((turn,)) <= MAX_MESSAGE // 16


def test_a_page_ends_before_a_message_that_it_would_cut_shorter_than_the_next_page_does() -> None:
    talk = Talk([*user("x" * 60_000) * 30], None)
    seen, start = [], 0
    while True:
        turns, hidden = talk.turns(start=start)
        assert shown(turns) <= MAX_PAGE
        assert all(turn.rest is None for turn in turns)
        seen += [turn.number for turn in turns]
        start += len(turns)
        if not hidden:
            break
    assert seen == list(range(1, 31))
    assert hidden == 0


def test_a_page_has_200_messages_and_says_how_many_follow() -> None:
    turns, hidden = Talk(user("x") * (MAX_TURNS + 7), None).turns()
    assert (len(turns), hidden) == (MAX_TURNS, 7)


def test_a_small_budget_shows_the_beginning_of_the_first_message() -> None:
    turns, hidden = Talk(user("x" * 60_000) * 2, None).turns(budget=1_000)
    assert len(turns) == 1
    assert hidden == 1
    assert 0 < shown(turns) <= 1_000
    assert turns[0].rest is not None


def test_a_page_of_several_conversations_shows_the_beginning_of_a_large_message() -> None:
    talk = Talk(user("short") + user("x" * 60_000) * 2, None)
    turns, hidden = talk.turns(budget=20_000, cut=True)
    assert ([turn.number for turn in turns], hidden) == ([1, 2], 1)
    assert turns[1].rest is not None
    assert shown(turns) <= 20_000


def call(arguments: Any, name: str = "c1") -> dict[str, Any]:
    function = {"name": "search", "arguments": arguments}
    return {"role": "assistant", "tool_calls": [{"id": name, "type": "function", "function": function}]}


def test_calls_and_results_name_each_others_messages() -> None:
    result = {"role": "tool", "tool_call_id": "c1", "content": "found", "status": "error"}
    turns, _ = Talk([*user("?"), call("{}"), result, call("{}", "c2")], None).turns()
    calls = {turn.number: piece.result for turn in turns for piece in turn.pieces if piece.kind == "call"}
    assert calls == {2: 3, 4: 0}
    assert [turn.call for turn in turns] == [0, 0, 2, 0]
    assert [turn.failed for turn in turns] == [False, False, True, False]


def test_a_result_that_is_a_block_of_a_message_is_marked_as_an_error() -> None:
    block = {"type": "tool_result", "tool_use_id": "c1", "content": "no such file", "is_error": True}
    turns, _ = Talk([call("{}"), {"role": "user", "content": [block]}], None).turns()
    assert [(turn.call, turn.failed) for turn in turns] == [(0, False), (1, True)]


def test_arguments_are_indented_and_lose_nothing() -> None:
    [turn], _ = Talk([call('{"a":1.10,"a":[],"b":["x,\\"y\\"",{"c":null}]}')], None).turns()
    [piece] = turn.pieces
    assert piece.code
    assert piece.text == (
        '{\n  "a": 1.10,\n  "a": [],\n  "b": [\n    "x,\\"y\\"",\n    {\n      "c": null\n    }\n  ]\n}'
    )


@pytest.mark.parametrize("arguments", ["not json", "[" * 5_000 + "]" * 5_000, json.dumps(list(range(9_000)))])
def test_arguments_that_cannot_be_indented_within_the_bound_are_shown_as_they_are(arguments: str) -> None:
    [turn], _ = Talk([call(arguments)], None).turns()
    assert (turn.pieces[0].text, turn.pieces[0].code) == (arguments, False)


def test_time_and_tokens_are_shown_where_they_were_logged() -> None:
    given = [
        {"role": "user", "content": "a", "timestamp": "2026-03-01T10:00:00+09:00"},
        {"role": "user", "content": "b", "created_at": 1_700_000_000},
        {"role": "assistant", "content": "c", "usage": {"output_tokens": 12}, "timestamp": True},
    ]
    turns, _ = Talk(given, [{"role": "assistant", "content": "d"}], 58).turns()
    assert [turn.at and turn.at.isoformat() for turn in turns] == [
        "2026-03-01T01:00:00+00:00", "2023-11-14T22:13:20+00:00", None, None,
    ]  # fmt: skip
    assert [turn.tokens for turn in turns] == [None, None, 12, 58]


@pytest.mark.parametrize("text", ["", "1", "a-1", "1-", "-1", "1-2-3", "\u0661-1", "9" * 10 + "-1"])
def test_a_place_that_was_not_written_here_is_refused(text: str) -> None:
    assert read_place(text) is None


def test_a_place_behind_the_end_shows_nothing() -> None:
    talk = Talk(user("abc"), None)
    assert talk.rest(2, TextPlace()) is None
    assert talk.rest(0, TextPlace()) is None
    behind = talk.rest(1, TextPlace(7, 0))
    assert behind is not None
    assert (behind.pieces, behind.rest) == ((), None)


def test_tools_are_counted() -> None:
    tools, more = tools_of([{"type": "function", "function": {"name": f"t{n}"}} for n in range(103)])
    assert (len(tools), more) == (100, 3)


def test_the_text_of_an_answer_is_bounded() -> None:
    answer = {"$ai_output_choices": [{"role": "assistant", "content": "y" * 10 * MAX_MESSAGE}]}
    assert len(output_text(answer)) <= MAX_MESSAGE


PICTURE = "data:image/png;base64," + "QUJD" * 2_097_152


def media_of(turn: Turn) -> list[tuple[str, str, int | None]]:
    return [(each.kind, each.name, each.media.size_bytes if each.media else None) for each in turn.pieces]


def test_media_are_pieces_with_their_size_and_without_their_data() -> None:
    picture = {"type": "image_url", "image_url": {"url": PICTURE}}
    [turn], hidden = Talk(
        [{"role": "user", "content": [picture, {"type": "text", "text": "What is it?"}]}], None
    ).turns()
    assert media_of(turn) == [("media", "image", 6_291_456), ("text", "", None)]
    assert (shown((turn,)), turn.left, turn.rest, hidden) == (11, 0, None, 0)


def test_media_in_a_text_and_in_the_result_of_a_tool_are_pieces_of_their_own() -> None:
    held = [{"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": "QUJD"}}]
    given = [
        {"role": "user", "content": f"Look: {PICTURE} and compare"},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": held}]},
    ]
    (first, second), _ = Talk(given, None).turns()
    assert media_of(first) == [("text", "", None), ("media", "image", 6_291_456), ("text", "", None)]
    assert [each.text for each in first.pieces] == ["Look: ", "", " and compare"]
    assert (first.left, first.rest) == (0, None)
    assert second.role == "tool[c]"
    assert media_of(second) == [("text", "", None), ("media", "image", 3)]
    assert second.pieces[0].text == "[image]"


def test_a_message_of_many_media_is_shown_in_steps() -> None:
    talk = Talk([{"role": "user", "content": [{"type": "image", "data": "QUJD"}] * 3000}], None)
    [turn], _ = talk.turns()
    pieces, steps = len(turn.pieces), 0
    while turn.rest is not None and steps < 9:
        following = talk.rest(1, turn.rest)
        assert following is not None
        turn, pieces, steps = following, pieces + len(following.pieces), steps + 1
    assert pieces == 3000
