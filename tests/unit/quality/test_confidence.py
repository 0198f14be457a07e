from __future__ import annotations

from math import exp, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quality.confidence import confidence, spelled


@given(st.dictionaries(st.sampled_from(["pass", "fail", "n/a"]), st.floats(-50, 0), min_size=1))
def test_it_is_the_share_of_the_leading_class(logprobs: dict[str, float]) -> None:
    found = confidence({token: [value] for token, value in logprobs.items()})
    assert logprobs[found.verdict] == pytest.approx(max(logprobs.values()))
    assert found.confidence == pytest.approx(exp(max(logprobs.values())) / sum(map(exp, logprobs.values())))


def test_spellings_of_one_class_are_summed() -> None:
    found = confidence({"fail": [log(0.4)], "Pass": [log(0.3)], ' "PASS"': [log(0.1), log(0.1)]})
    assert found.verdict == "Pass"
    assert found.confidence == pytest.approx(0.5 / 0.9)


def test_very_improbable_tokens_do_not_vanish_together() -> None:
    assert confidence({"a": [-5000.0], "b": [-5001.0]}).confidence == pytest.approx(1 / (1 + exp(-1)))


@pytest.mark.parametrize("token", ["Pass", " Pass", '"Pass"', "`Pass`.", "\nPass,"])
def test_a_spelling(token: str) -> None:
    assert spelled(token) == "Pass"
