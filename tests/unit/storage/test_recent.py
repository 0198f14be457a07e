"""The values that were used last are kept, and never more than was asked for."""

from __future__ import annotations

from storage.recent import Recent


def test_the_value_that_was_not_used_for_longest_goes_first() -> None:
    recent: Recent[str, int] = Recent(2)
    recent.keep("a", 1)
    recent.keep("b", 2)
    assert recent.get("a") == 1
    recent.keep("c", 3)
    assert (recent.get("a"), recent.get("b"), recent.get("c")) == (1, None, 3)


def test_a_value_is_replaced_and_counts_once() -> None:
    recent: Recent[str, int] = Recent(2)
    for value in range(5):
        recent.keep("a", value)
    recent.keep("b", 9)
    assert (recent.get("a"), recent.get("b")) == (4, 9)
