"""Code that is tried out has the time that it has when it judges live."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from config.judge_request import TRY_OUT_S, try_hog
from config.settings.sections import Judge
from evaluators.generation import Generation
from evaluators.hog import HogEvaluator
from evaluators.verdict import Skip, Verdict
from tests.services.cache import CHECKOUT
from tests.unit.config.test_judge_request import product_modules

ENDLESS = HogEvaluator("while (true) {} return true", allows_na=False)
SETTINGS = Judge(hog_limit_s=0.01)


def generation() -> Generation:
    return Generation("u", 7, "$ai_generation", "d", datetime(2026, 3, 2, tzinfo=UTC), {})


def test_the_limit_is_the_one_of_a_live_run() -> None:
    skip = Skip("hog_error", "the code took longer than 0.01 s")
    assert list(try_hog(ENDLESS, [generation()] * 2, SETTINGS)) == [skip, skip]
    assert ENDLESS.judge(generation(), SETTINGS.hog_limit_s) == skip


def test_no_run_starts_after_the_time_of_the_request() -> None:
    moments = iter([0.0, 0.0, TRY_OUT_S - 1, TRY_OUT_S, TRY_OUT_S + 1])
    evaluator = HogEvaluator("return true", allows_na=False)
    found = list(try_hog(evaluator, [generation()] * 4, SETTINGS, now=lambda: next(moments)))
    assert [type(each) for each in found] == [Verdict, Verdict, Skip, Skip]


@pytest.mark.parametrize("path", ["api/services/trials.py", "api/routes/dataset_runs.py"])
def test_each_user_asks_the_one_function(path: str) -> None:
    assert "try_hog(evaluator, generations, services.settings.judge)" in (CHECKOUT / path).read_text()


def test_the_limit_and_its_words_are_written_once() -> None:
    found = {path: (CHECKOUT / path).read_text() for path, _ in product_modules()}
    assert [path for path, text in found.items() if "code took longer than" in text] == ["evaluators/hog/evaluator.py"]
