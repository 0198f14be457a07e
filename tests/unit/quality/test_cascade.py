"""Thresholds of a cascade."""

from __future__ import annotations

import pytest

from quality.cascade import THRESHOLDS, CascadeItem, cheapest, thresholds
from quality.intervals import rate


def item(
    confidence: float | None, first: bool | None, last: bool | None = None, label: bool | None = None
) -> CascadeItem:
    return CascadeItem(confidence, first, last, label, 0.01, None if last is None else 0.1)


ITEMS = [
    *[item(0.95, True, True, True)] * 60,
    *[item(0.95, True, None, True)] * 20,
    *[item(0.6, True, False, False)] * 20,
    *[item(None, True, False, False)] * 10,
    *[item(None, None, True, True)] * 5,
]


def test_each_threshold_has_its_share_cost_and_agreement() -> None:
    low, high = thresholds(ITEMS, (0.5, 0.9))
    assert low.escalated == pytest.approx(15 / 115)
    assert low.cost == pytest.approx(0.01 + 15 / 115 * 0.1)
    assert low.with_labels == rate(95, 115)
    assert low.with_last == rate(75, 95)
    assert high.escalated == pytest.approx(35 / 115)
    assert high.with_labels == rate(115, 115)


def test_an_item_that_the_last_step_never_saw_says_nothing_of_higher_thresholds() -> None:
    [top] = thresholds(ITEMS, (0.99,))
    assert top.escalated == 1
    assert top.with_labels == rate(95, 95)


def test_the_cheapest_threshold_reaches_the_target_with_its_lower_bound() -> None:
    found = thresholds(ITEMS)
    chosen = cheapest(found, 0.9, by_labels=True)
    assert chosen is not None
    assert chosen.threshold == 0.65
    assert cheapest(found, 0.999, by_labels=True) is None
    by_last = cheapest(found, 0.9, by_labels=False)
    assert by_last is not None
    assert by_last.threshold == 0.65


def test_without_items_labels_or_later_steps_there_is_no_figure() -> None:
    assert thresholds([]) == []
    found = thresholds([item(0.9, True)] * 3)
    assert [each.threshold for each in found] == list(THRESHOLDS)
    assert found[0].cost == 0.01
    assert found[-1].cost is None
    assert found[-1].with_last is None
    assert cheapest(found, 0.5, by_labels=True) is None
