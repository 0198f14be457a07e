"""Figures of cells: denominators, versions, and which differences stand out."""

from __future__ import annotations

import random

import pytest

from reports.evaluation_reports.cells import BUCKETS, Shape
from reports.evaluation_reports.figures import make_figures, standing_out
from reports.evaluation_reports.plain import plain_sections, plain_title
from tests.unit.reports.evaluation_reports.sample import PERIOD, both_views, cell, content, rich_cells

NO_SCORES = Shape({}, None, None)


def test_skips_and_not_applicable_are_in_no_rate() -> None:
    cells = [
        *both_views("pass", 30),
        *both_views("fail", 10),
        *both_views("skipped", 500, skip_reason="x"),
        *both_views("not_applicable", 60),
    ]
    figures = make_figures(cells, [], NO_SCORES, PERIOD)
    (version,) = figures["versions"]
    assert (version["rate"]["value"], version["rate"]["decided"]) == (0.75, 40)
    assert figures["counts"] == {
        "results": 600, "pass": 30, "fail": 10, "scored": 0, "not_applicable": 60, "skipped": 500,
    }  # fmt: skip
    assert figures["skipped"] == {"x": 500}
    assert (version["rate"]["low"], version["rate"]["high"]) == pytest.approx((0.5981, 0.8581), abs=1e-4)


def test_versions_are_never_averaged_and_the_newest_comes_first() -> None:
    figures = content()["figures"]
    assert [version["version"] for version in figures["versions"]] == [4, 3]
    assert "rate" not in figures
    new, old = figures["versions"]
    assert new["change"] is None, "it has no results before, and another version's do not count"
    assert old["change"]["stands_out"] is False
    assert len(new["series"]) == BUCKETS
    assert new["series"][0] is None


def test_a_slice_that_differs_stands_out_and_small_ones_are_not_compared() -> None:
    new = content()["figures"]["versions"][0]
    found = {each["value"]: each["against_rest"]["value"] for each in standing_out(new)}
    assert set(found) == {"support 12", "support 13"}
    assert found["support 13"] < 0 < found["support 12"]
    few = [*both_views("pass", 500), cell("model", "rare", "fail", 29), cell("model", "usual", "pass", 471)]
    assert make_figures(few, [], NO_SCORES, PERIOD)["versions"][0]["slices"] == []


def test_without_a_difference_about_one_report_of_twenty_shows_one() -> None:
    """Sixteen slices are compared in each of 400 reports in which all have the same rate."""
    chance = random.Random(3)
    seen = 0
    for _ in range(400):
        outcomes = [chance.random() < 0.8 for _ in range(480)]
        cells = both_views("pass", sum(outcomes)) + both_views("fail", 480 - sum(outcomes))
        for name in ("model", "prompt version"):
            chance.shuffle(outcomes)
            for place in range(8):
                passed = sum(outcomes[place * 60 : place * 60 + 60])
                cells += [cell(name, place, "pass", passed), cell(name, place, "fail", 60 - passed)]
        seen += bool(standing_out(make_figures(cells, [], NO_SCORES, PERIOD)["versions"][0]))
    assert 0 < seen <= 32


def test_nothing_is_zero_where_there_is_nothing() -> None:
    figures = make_figures([], [], NO_SCORES, PERIOD)
    assert figures["versions"] == []
    assert figures["cost"]["usd"] is None
    assert plain_title("e", figures) == plain_title("e", None) == "e"
    assert plain_sections(figures)[0]["title"] == "No results"
    assert plain_sections(None)[0]["title"] == "Figures are not available"
    skipped = make_figures(both_views("skipped", 9, priced=0), [], NO_SCORES, PERIOD)
    assert skipped["versions"][0]["rate"] is None
    assert "No result of this version passed or failed" in plain_sections(skipped)[1]["text"]


def test_the_plain_text_says_what_the_figures_say() -> None:
    text = " ".join(section["text"] for section in plain_sections(content()["figures"]))
    assert "which chance explains" in text
    assert "Prompt version support 13" in text
    changed = make_figures(
        [*both_views("pass", 500), *both_views("fail", 500), *both_views("pass", 900, current=False),
         *both_views("fail", 100, current=False)], [], NO_SCORES, PERIOD,
    )  # fmt: skip
    assert "-40.0 points against the period before, which is more than chance" in plain_sections(changed)[1]["text"]
    assert rich_cells() == rich_cells()
