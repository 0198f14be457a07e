from __future__ import annotations

import pytest

from quality.options import options


def test_jaccard_and_each_option_alone() -> None:
    human = [{"rude", "late"}, {"late"}, set(), {"rude"}]
    judge = [{"rude"}, {"late"}, set(), {"late", "wrong"}]
    found = options(human, judge)
    assert found is not None
    assert found.n == 4
    assert found.jaccard == pytest.approx((0.5 + 1 + 1 + 0) / 4)
    assert list(found.by_option) == ["late", "rude", "wrong"]
    late = found.by_option["late"]
    assert late.sensitivity is not None
    assert late.specificity is not None
    assert (late.accuracy.value, late.sensitivity.value, late.specificity.value) == (0.5, 0.5, 0.5)
    assert found.by_option["wrong"].sensitivity is None  # people never chose it


def test_the_time_is_linear_in_the_choices() -> None:
    """A table of 40 000 options for each of 20 000 items would be 8·10⁸ steps; it would not end."""
    human = [{f"h{at}"} for at in range(20_000)]
    judge = [{f"j{at}"} for at in range(20_000)]
    found = options(human, judge)
    assert found is not None
    assert len(found.by_option) == 40_000


def test_nothing_to_compare() -> None:
    assert options([], []) is None
    found = options([set()], [set()])
    assert found is not None
    assert found.jaccard == 1
    assert found.by_option == {}
