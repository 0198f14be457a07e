"""Input that cannot be true is refused with the place and the reason, whatever it is."""

from __future__ import annotations

import json
from math import inf, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quality.compute import KINDS, BadInput, compute

WINDOW = {
    "judged": 2000,
    "judged_pass": 1640,
    "labelled_pass": 60,
    "labelled_pass_true": 57,
    "labelled_fail": 60,
    "labelled_fail_true": 15,
}
GOLDEN = {
    "judged": 1000,
    "judged_pass": 400,
    "human_pass": 200,
    "human_pass_agreed": 180,
    "human_fail": 200,
    "human_fail_agreed": 140,
}
NEYMAN = {
    "method": "neyman",
    "n": 120,
    "judged_pass_share": 0.82,
    "pilot_pass": 20,
    "pilot_pass_true": 19,
    "pilot_fail": 20,
    "pilot_fail_true": 5,
}
TABLE = {"labels": ["a", "b"], "matrix": [[3, 1], [0, 2]]}
SIZES = {"method": "rogan_gladen", "m": 200, "p": 0.4, "q0": 0.7, "q1": 0.9, "pilot": 10}
COUNTS = {"tp": 1, "fn": 1, "fp": 1, "tn": 1}
FLIPS = {"both_pass": 1, "fail_to_pass": 1, "pass_to_fail": 1, "both_fail": 1}
UUID = "018f4b1e-7c3a-7000-8000-000000000001"

REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("agreement", {**COUNTS, "tp": -1}, "input.tp: must be from 0 to 1000000000000000, not -1"),
    ("agreement", {**COUNTS, "tp": 10**16}, "input.tp: must be from 0 to 1000000000000000"),
    ("agreement", {**COUNTS, "tp": 1.5}, "input.tp: must be a whole number, not 1.5"),
    ("agreement", {**COUNTS, "tp": nan}, "input.tp: must be a finite number, not nan"),
    ("agreement", {**COUNTS, "tp": -inf}, "input.tp: must be a finite number, not -inf"),
    ("agreement", {**COUNTS, "tp": 10**5000}, "input.tp: must be at most 1e+100 in size"),
    ("agreement", {**COUNTS, "tp": True}, "input.tp: must be a number, not true"),
    ("agreement", {**COUNTS, "tp": "85"}, 'input.tp: must be a number, not "85"'),
    ("agreement", {**COUNTS, "tp": None}, "input.tp: must be a number, not null"),
    ("agreement", {**COUNTS, "tp": [1]}, "input.tp: must be a number, not a list"),
    ("agreement", {"tp": 1, "fn": 1, "fp": 1}, "input.tn: is missing"),
    ("agreement", {**COUNTS, "tns": 1}, "input.tns: is unknown; the fields are tp, fn, fp, tn"),
    ("agreement", {**TABLE, "labels": ["a", "a"]}, 'input.labels[1]: repeats "a"'),
    ("agreement", {**TABLE, "labels": ["a", "b", "c"]}, "input.matrix: has 2 rows, but input.labels has 3 classes"),
    ("agreement", {**TABLE, "matrix": [[3, 1], [0]]}, "input.matrix[1]: has 1 values, but input.labels has 2 classes"),
    ("agreement", {**TABLE, "matrix": [[3, 1], [0, -2]]}, "input.matrix[1][1]: must be from 0"),
    ("agreement", {"labels": ["a"], "matrix": [[1]]}, "input.labels: must have from 2 to 200 values, not 1"),
    (
        "agreement",
        {**TABLE, "labels": [f"{n}" for n in range(201)]},
        "input.labels: must have from 2 to 200 values, not 201",
    ),
    ("numeric_agreement", {"human": [1, 2], "judge": [1]}, "input.judge: has 1 values, but input.human has 2"),
    ("numeric_agreement", {"human": [1, nan], "judge": [1, 2]}, "input.human[1]: must be a finite number, not nan"),
    (
        "numeric_agreement",
        {"human": [1, 2], "judge": [1, 2], "weights": [1]},
        "input.weights: has 1 values, but input.human has 2",
    ),
    (
        "numeric_agreement",
        {"human": [1, 2], "judge": [1, 2], "weights": [1, 0]},
        "input.weights[1]: must be from 1e-15 to 1e+15, not 0",
    ),
    ("options_agreement", {"human": [["a", 1]], "judge": [[]]}, "input.human[0][1]: must be a text, not 1"),
    ("alpha", {"ratings": [[1, 2], [1]]}, "input.ratings[1]: has 1 values, but input.ratings[0] has 2"),
    ("alpha", {"ratings": [["a"], ["b"]], "metric": "interval"}, 'input.ratings[0][0]: must be a number, not "a"'),
    (
        "alpha",
        {"ratings": [[1]], "metric": "cubic"},
        'input.metric: must be one of nominal, ordinal, interval, not "cubic',
    ),
    ("interval", {"successes": 4, "trials": 3}, "input.successes: 4 is more than input.trials (3)"),
    ("post_stratified", {**WINDOW, "judged_pass": 2001}, "input.judged_pass: 2001 is more than input.judged (2000)"),
    ("post_stratified", {**WINDOW, "labelled_pass": 1641}, "input.labelled_pass: 1641 is more than input.judged_pass"),
    ("post_stratified", {**WINDOW, "labelled_fail": 361}, "361 is more than input.judged − input.judged_pass (360)"),
    (
        "post_stratified",
        {**WINDOW, "labelled_pass_true": 61},
        "input.labelled_pass_true: 61 is more than input.labelled_p",
    ),
    (
        "post_stratified",
        {**WINDOW, "labelled_fail_true": 61},
        "input.labelled_fail_true: 61 is more than input.labelled_f",
    ),
    ("rogan_gladen", {**GOLDEN, "judged_pass": 1001}, "input.judged_pass: 1001 is more than input.judged (1000)"),
    ("rogan_gladen", {**GOLDEN, "human_pass_agreed": 201}, "201 is more than input.human_pass (200)"),
    ("rogan_gladen", {**GOLDEN, "human_fail_agreed": 201}, "201 is more than input.human_fail (200)"),
    ("rogan_gladen", {**GOLDEN, "human_fail": 10**6 + 1}, "input.human_fail: must be from 0 to 1000000, not 1000001"),
    ("rogan_gladen", {**GOLDEN, "window_human_pass": 3}, "input.window_human_fail: is missing"),
    (
        "ppi",
        {"labelled_human": [1, 2], "labelled_judge": [1], "unlabelled_judge": [1]},
        "input.labelled_judge: has 1 val",
    ),
    (
        "ppi",
        {"labelled_human": [1, 2], "labelled_judge": [1, 2], "unlabelled_judge": [1], "lambda": 1.5},
        "input.lambda: must be from 0 to 1, not 1.5",
    ),
    ("allocation", {**SIZES, "m": 19}, "input.m: 19 items cannot hold a pilot of 10 in each class"),
    ("allocation", {**SIZES, "q0": 1.1}, "input.q0: must be from 0 to 1, not 1.1"),
    ("allocation", {**SIZES, "method": "best"}, "input.method: must be one of rogan_gladen, neyman"),
    ("allocation", {**NEYMAN, "n": 19}, "input.n: must be at least 20, 10 for each stratum, not 19"),
    ("allocation", {**NEYMAN, "half_width": 1e-300}, "input.half_width: must be from 0.0001 to 1, not 1e-300"),
    ("allocation", {**NEYMAN, "pilot_pass_true": 21}, "input.pilot_pass_true: 21 is more than input.pilot_pass (20)"),
    ("comparison", {**FLIPS, "margin": 0}, "input.margin: must be from 0.0001 to 1, not 0"),
    ("comparison", {**FLIPS, "both_fail": -1}, "input.both_fail: must be from 0"),
    ("paired", {"a": [1, 2], "b": [1, 2], "groups": ["x"]}, "input.groups: has 1 values, but input.a has 2"),
    ("paired", {"a": [1] * 10_001, "b": [1] * 10_001}, "input.a: must have from 0 to 10000 values, not 10001"),
    ("holm", {"p": [0.1, 1.1]}, "input.p[1]: must be from 0 to 1, not 1.1"),
    (
        "drift",
        {"anchors": 30, "null_rate": 0.05, "flips": [1, 31]},
        "input.flips[1]: 31 is more than input.anchors (30)",
    ),
    ("drift", {"anchors": 30, "null_rate": 0.95, "flips": []}, "input.null_rate: must be below 0.95, not 0.95"),
    ("drift", {"anchors": 30, "null_rate": 0, "flips": []}, "input.null_rate: must be above 0, not 0"),
    ("null_rate", {"flips": 3, "observations": 2}, "input.flips: 3 is more than input.observations (2)"),
    ("consistency", {"runs": [[1, 1], 1]}, "input.runs[1]: must be a list, not 1"),
    ("consistency", {"runs": [[1, {}]]}, "input.runs[0][1]: must be a number, not an object"),
    (
        "calibration",
        {"probability": [0.5, 1.2], "outcome": [1, 1]},
        "input.probability[1]: must be from 0 to 1, not 1.2",
    ),
    ("calibration", {"probability": [0.5], "outcome": [2]}, "input.outcome[0]: must be true, false, 1 or 0, not 2"),
    ("calibration", {"probability": [0.5], "outcome": []}, "input.outcome: has 0 values, but input.probability has 1"),
    ("confidence", {"logprobs": {}}, "input.logprobs: must name at least one class"),
    (
        "confidence",
        {"logprobs": {"pass": 0.1}},
        'input.logprobs."pass": must be at most 0, because it is the logarithm',
    ),
    ("confidence", {"logprobs": {"pass": []}}, 'input.logprobs."pass": must have from 1 to'),
    ("order", {"queue": "q", "results": []}, 'input.queue: must be a UUID, not "q"'),
    ("order", {"queue": UUID, "results": [UUID, UUID.upper()]}, "input.results[1]: repeats input.results[0]"),
    ("order", {"queue": UUID, "results": [7]}, "input.results[0]: must be a text, not 7"),
]


@pytest.mark.parametrize(("kind", "given_input", "message"), REFUSED, ids=[f"{row[0]}: {row[2]}" for row in REFUSED])
def test_bad_input_names_the_place_and_the_reason(kind: str, given_input: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput) as raised:
        compute({"kind": kind, "input": given_input})
    assert message in str(raised.value)
    assert str(raised.value) == f"{raised.value.place}: {raised.value.problem}"


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ([], "the request: must be an object, not a list"),
        ({}, "kind: must be one of agreement, "),
        ({"kind": "kapa", "input": {}}, 'kind: must be one of agreement, .*, not "kapa"'),
        ({"kind": ["agreement"], "input": {}}, "not a list"),
        ({"kind": "agreement"}, "input: is missing"),
        ({"kind": "agreement", "input": [1]}, "input: must be an object, not a list"),
    ],
)
def test_a_bad_request_is_named_as_such(request_: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        compute(request_)


def test_a_long_text_is_clipped_in_the_error() -> None:
    with pytest.raises(BadInput) as raised:
        compute({"kind": "agreement", "input": {"tp": "x" * 10_000}})
    assert len(str(raised.value)) < 200


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = sorted({name for _, given_input, _ in REFUSED for name in given_input})


@given(st.sampled_from(sorted(KINDS)), st.dictionaries(st.sampled_from(NAMES), JSON, max_size=8))
def test_any_json_gives_an_answer_in_json_or_a_named_error(kind: str, given_input: dict[str, Any]) -> None:
    try:
        answer = compute({"kind": kind, "input": given_input})
    except BadInput as error:
        assert error.place.startswith("input")
    else:
        json.dumps(answer, allow_nan=False)


@given(st.data())
def test_one_broken_value_in_a_good_request_is_found(data: st.DataObject) -> None:
    """Numbers of any size in place of good ones give an answer without NaN and infinity, or a named error."""
    kind, good = data.draw(
        st.sampled_from(
            [
                ("agreement", COUNTS),
                ("post_stratified", WINDOW),
                ("stratified_agreement", WINDOW),
                ("rogan_gladen", GOLDEN),
                ("allocation", SIZES),
                ("allocation", NEYMAN),
                ("comparison", {**FLIPS, "margin": 0.02}),
                ("allocation", {**NEYMAN, "half_width": 0.05}),
                ("drift", {"anchors": 30, "null_rate": 0.05, "flips": [3, 4, 0]}),
                ("interval", {"successes": 2, "trials": 5}),
            ]
        )
    )
    name = data.draw(st.sampled_from(sorted(good)))
    value = data.draw(st.integers(0, 10**15) | st.floats())
    try:
        answer = compute({"kind": kind, "input": {**good, name: value}})
    except BadInput as error:
        assert error.place.startswith("input.")
    else:
        json.dumps(answer, allow_nan=False)
