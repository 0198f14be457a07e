"""Two definitions side by side: nothing is lost, equal lines stand beside each other, and no text costs much time."""

from __future__ import annotations

from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console import differences
from console.differences import Line, as_lines, side_by_side

LINES = st.lists(st.sampled_from([f"line {number}" for number in range(12)]), max_size=40)


@given(before=LINES, after=LINES, pairs=st.sampled_from([0, 4, 40_000]))
def test_both_sides_are_whole_and_only_equal_lines_are_unmarked(
    before: list[str], after: list[str], pairs: int
) -> None:
    with patch.object(differences, "_MAX_PAIRS", pairs):
        found = list(side_by_side(before, after))
    assert [each.left for each in found if each.left] == before
    assert [each.right for each in found if each.right] == after
    assert all(each.left == each.right for each in found if not each.kind)


def test_one_line_of_a_long_text_is_the_only_one_that_is_marked() -> None:
    before = [f"{number}" for number in range(4_000)]
    after = [*before[:2_000], "added", *before[2_000:3_000], *before[3_001:]]
    assert [each for each in side_by_side(before, after) if each.kind] == [
        Line("", "added", "changed"),
        Line("3000", "", "changed"),
    ]


@pytest.mark.parametrize("size", [201, 4_000])
def test_long_texts_without_unique_lines_are_never_given_to_the_cubic_comparison(size: int) -> None:
    before, after = ([str(number * step % 3) for number in range(size)] for step in (1, 2))
    with patch.object(differences.difflib, "SequenceMatcher", side_effect=AssertionError):
        found = list(side_by_side(before, after))
    assert len(found) == size


def test_code_and_criteria_are_their_own_lines_and_the_rest_is_json() -> None:
    assert as_lines("evaluation_config", {"source": "a\nb"}) == ["a", "b"]
    assert as_lines("conditions", [{"id": "a"}]) == ["[", "  {", '    "id": "a"', "  }", "]"]
