from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from quality.sampling import label_order

QUEUE = "0b0c1d2e-0000-4000-8000-00000000000a"
IDS = st.lists(st.uuids().map(str), unique=True, max_size=30)


@given(IDS, st.randoms())
def test_the_order_does_not_depend_on_how_results_come(ids: list[str], random: object) -> None:
    assert label_order(QUEUE, ids) == label_order(QUEUE, sorted(ids)) == label_order(QUEUE, reversed(ids))


@given(IDS, st.uuids().map(str))
def test_a_result_that_comes_later_moves_no_other(ids: list[str], late: str) -> None:
    """A queue that is extended keeps the items that it has."""
    after = label_order(QUEUE, [*ids, late])
    assert [each for each in after if each != late] == label_order(QUEUE, [each for each in ids if each != late])


def test_another_queue_has_another_order() -> None:
    ids = [f"018f4b1e-7c3a-7000-8000-{at:012d}" for at in range(20)]
    assert label_order(QUEUE, ids) != label_order("0b0c1d2e-0000-4000-8000-00000000000b", ids)
