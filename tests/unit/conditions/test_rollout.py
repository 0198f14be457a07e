"""Sampling: the vectors that other tools reproduce, nesting, and an even distribution."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conditions import EventRow, Target, compile_matcher, parse_conditions, rollout_number

VECTORS = {
    "event-1": 68.86,
    "event-2": 88.88,
    "event-123": 33.78,
    "event-test-uuid": 1.94,
    "trace-0": 18.96,
    "00000000-0000-0000-0000-000000000000": 70.50,
    "018f4b1e-7c3a-7000-8000-000000000001": 29.71,
}


def takes(uuid: str, percentage: float, cohort: str = "shared", identity: str = "e") -> bool:
    conditions = parse_conditions([{"id": "s", "rollout_percentage": percentage}])
    result = compile_matcher([Target(identity, conditions, cohort=cohort)]).match(EventRow(uuid, 1))
    assert bool(result.matched) is not bool(result.sampled_out)
    return bool(result.matched)


@pytest.mark.parametrize(("key", "number"), VECTORS.items())
def test_vectors_and_the_strict_boundary(key: str, number: float) -> None:
    """An event is in exactly when its number is below the percentage: at the number itself it is out."""
    assert rollout_number(key) == number
    assert not takes(key, number)
    assert takes(key, round(number + 0.01, 2))


def test_exactly_310_of_a_thousand_events_are_in_at_30_percent() -> None:
    """The count that the specification gives."""
    assert sum(takes(f"event-{n}", 30) for n in range(1000)) == 310


@given(st.text(), st.floats(0, 100), st.floats(0, 100), st.sampled_from(["shared", "independent"]))
def test_samples_nest(uuid: str, one: float, other: float, cohort: str) -> None:
    """A larger percentage takes every event of a smaller one; 0 takes nothing and 100 everything."""
    if uuid:
        assert takes(uuid, min(one, other), cohort) <= takes(uuid, max(one, other), cohort)
        assert not takes(uuid, 0, cohort)
        assert takes(uuid, 100, cohort)


def test_independent_cohorts_take_other_events_for_each_evaluation() -> None:
    """The key is `<evaluation id>:<uuid>`; two evaluations at 50 % agree on about half of the events."""
    both = [
        (takes(f"event-{n}", 50, "independent", "a"), takes(f"event-{n}", 50, "independent", "b")) for n in range(2000)
    ]
    assert [pair[0] for pair in both] == [rollout_number(f"a:event-{n}") < 50 for n in range(2000)]
    assert 850 < sum(a == b for a, b in both) < 1150


@pytest.mark.parametrize("prefix", ["event-", "a:event-"])
def test_200_000_ids_are_spread_evenly(prefix: str) -> None:
    """Each percent of the range gets 2 000 of 200 000 ids, give or take five standard deviations (225)."""
    counts = [0] * 100
    for n in range(200_000):
        counts[int(rollout_number(f"{prefix}{n}"))] += 1
    assert all(1775 < count < 2225 for count in counts)
