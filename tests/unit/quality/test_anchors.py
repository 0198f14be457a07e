"""The reference of anchors, and which verdicts have flipped."""

from __future__ import annotations

import pytest

from quality.anchors import baseline, flipped, flips_of, tolerance
from quality.consensus import Verdict
from quality.drift import null_rate


def test_the_reference_is_the_majority_and_the_null_rate_counts_what_differs_from_it() -> None:
    steady = {f"i{n}": True for n in range(29)}
    runs: list[dict[str, Verdict]] = [{**steady, "wavers": n > 1} for n in range(5)]
    found = baseline(runs, 0.0)
    assert found.reference["wavers"] is True
    assert (found.flips, found.observations) == (2, 150)
    assert found.null_rate == pytest.approx(null_rate(2, 150)) == pytest.approx(0.041375, abs=1e-4)


def test_a_tie_is_decided_by_the_earlier_run_and_a_run_may_lack_items() -> None:
    found = baseline([{"a": False, "b": None}, {"a": True}], 0.0)
    assert found.reference == {"a": False, "b": None}
    assert (found.flips, found.observations) == (1, 3)
    with pytest.raises(ValueError, match="no verdicts"):
        baseline([{}, {}], 0.0)


def test_scores_have_their_median_and_flip_beyond_the_tolerance() -> None:
    found = baseline([{"a": score} for score in (3.0, 3.0, 4.0, 5.0, 3.5)], 1.0)
    assert found.reference == {"a": 3.5}
    assert found.flips == 1
    assert not flipped(3.0, 4.0, 1.0), "exactly one step is not more than one step"
    assert flipped(3.0, 4.1, 1.0)
    assert not flipped(0.3, 0.1 + 0.3, 0.1), "the error of a sum is not a flip"


def test_the_tolerance_is_a_step_or_a_tenth_of_the_range() -> None:
    assert tolerance(0.5, 1, 5, ()) == 0.5
    assert tolerance(None, 1, 5, ()) == pytest.approx(0.4)
    assert tolerance(None, None, None, [2.0, 7.0]) == pytest.approx(0.5)
    assert tolerance(None, 0, None, [2.0, 7.0]) == pytest.approx(0.7)
    assert tolerance(None, None, None, ()) == 0


def test_flips_know_their_direction_and_not_applicable_is_a_verdict() -> None:
    passes: dict[Verdict, bool | None] = {True: True, False: False, None: None}
    reference: dict[str, Verdict] = {"a": True, "b": False, "c": True, "d": None, "gone": True}
    found = flips_of(reference, {"a": False, "b": True, "c": True, "d": True, "new": True}, 0.0, passes)
    assert (found.anchors, found.flips, found.to_pass, found.to_fail) == (4, 3, 1, 1)
    options: dict[str, Verdict] = {"a": frozenset({"rude", "late"})}
    assert flips_of(options, {"a": frozenset({"rude"})}, 0.0, {}).flips == 1
