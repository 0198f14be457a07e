from __future__ import annotations

import json

import pytest

from ingest.content import EmptyGenerations, is_empty


@pytest.mark.parametrize(
    ("properties", "empty"),
    [
        ({}, True),
        ({"$ai_input_tokens": 5, "$ai_output_tokens": 7, "$ai_input_state": "x"}, True),
        ({"note": '"$ai_input"'}, True),
        ({"$ai_input": []}, False),
        ({"$ai_output_choices": "hi"}, False),
        ({"$ai_output": "hi"}, False),
    ],
)
def test_a_generation_without_input_and_output_is_empty(properties: dict[str, object], empty: bool) -> None:
    assert is_empty(json.dumps(properties).encode()) is empty


def test_teams_are_counted_for_one_to_two_hours_and_those_with_content_are_left_out() -> None:
    now = [0.0]
    counts = EmptyGenerations(lambda: now[0])
    counts.note(1, empty=3, total=3)
    counts.note(1, empty=0, total=1)
    counts.note(2, empty=0, total=1)
    assert counts.shares() == {"1": [3, 4]}
    now[0] = 3601
    assert counts.shares() == {"1": [3, 4]}
    counts.note(1, empty=1, total=1)
    assert counts.shares() == {"1": [4, 5]}
    now[0] = 7300
    assert counts.shares() == {"1": [1, 1]}
    now[0] = 11_000
    assert counts.shares() == {}


def test_only_the_teams_with_the_most_empty_ones_are_shown() -> None:
    counts = EmptyGenerations()
    for team in range(200):
        counts.note(team, empty=team, total=team)
    assert list(counts.shares()) == [str(team) for team in range(199, 149, -1)]
