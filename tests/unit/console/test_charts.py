"""Charts: never joined across a change, and nothing of a stranger's text becomes markup."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree as ET

from api.services.figures import FiguresTally
from console.buckets import Buckets
from console.charts.bars import Series, Stack, stacked_bars, value_bars
from console.charts.rate import Piece, Point, rate_chart, sparkline
from console.charts.svg import nice_top
from console.evaluation_charts import JudgeStretch, charts_of
from console.times import Zone

START = datetime(2026, 1, 1, tzinfo=UTC)
END = START + timedelta(days=7)
EVIL = '"><script>alert(1)</script>'


def points(first: int, count: int) -> tuple[Point, ...]:
    return tuple(Point(START + timedelta(hours=first + place), 0.5, 0.4, 0.6) for place in range(count))


def test_a_line_is_not_joined_across_a_change_of_the_definition() -> None:
    pieces = [Piece("v1", points(0, 5)), Piece(EVIL, points(10, 5))]
    chart = rate_chart(EVIL, pieces, START, END, [(START, EVIL)], description=EVIL)
    root = ET.fromstring(str(chart))
    lines = [each for each in root if each.get("class") == "line"]
    assert [len((each.get("points") or "").split()) for each in lines] == [5, 5]
    assert not [each for each in root.iter() if each.tag.endswith("script")]


def test_a_single_point_is_a_dot() -> None:
    root = ET.fromstring(str(rate_chart("t", [Piece("v1", points(0, 1))], START, END, [], description="d")))
    assert [each.get("class") for each in root if each.tag == "circle"] == ["dot"]


def test_bars_take_foreign_labels_as_text() -> None:
    stack = Stack(START, START + timedelta(days=1), EVIL, (3, 0))
    bars = stacked_bars(EVIL, [Series(EVIL, "c-pass"), Series("b", "c-fail")], [stack], START, END, [], description="d")
    root = ET.fromstring(str(bars))
    assert len([each for each in root if each.tag == "rect"]) == 1
    values = ET.fromstring(str(value_bars(EVIL, [(EVIL, 3, "c-score")], description=EVIL)))
    assert not [each for each in values.iter() if each.tag.endswith("script")]


def test_a_sparkline_has_gaps_where_nothing_was_decided() -> None:
    root = ET.fromstring(str(sparkline([0.1, 0.2, None, 0.3, 0.4], "rate")))
    assert len([each for each in root if each.get("class") == "line"]) == 2
    assert str(sparkline([None, None], "rate")) == ""


def test_no_chart_has_a_style_attribute() -> None:
    chart = rate_chart("t", [Piece("v1", points(0, 5))], START, END, [], description="d")
    assert "style=" not in str(chart)


def test_axes_end_at_round_numbers() -> None:
    assert [nice_top(value) for value in (0, 0.7, 3, 7, 12, 230, 1001)] == [1, 1, 5, 10, 20, 250, 2000]


def test_a_corrected_rate_is_a_level_as_wide_as_its_version() -> None:
    pieces = [Piece("v1", points(0, 5), corrected=(0.8, 0.7, 0.9)), Piece("v2", points(10, 5))]
    root = ET.fromstring(str(rate_chart("t", pieces, START, END, [], description="d")))
    [band] = [each for each in root if each.get("class") == "corrected-band"]
    [level] = [each for each in root if each.get("class") == "corrected-line"]
    assert float(band.get("height", 0)) > 0
    [first, second] = [each.get("points", "").split() for each in root if each.get("class") == "line"]
    assert float(level.get("x2", 0)) < float(second[0].split(",")[0])
    assert float(level.get("x2", 0)) >= float(first[-1].split(",")[0])


def charts(skipped: int = 0, scores: dict[float, int] | None = None, categories: dict[str, int] | None = None) -> Any:
    total = FiguresTally(
        passed=3, failed=1, skipped=Counter(hog_error=skipped), scores=Counter(scores or {}),
        categories=Counter(categories or {}), cost_usd=0.5,
    )  # fmt: skip
    buckets = Buckets((START, START + timedelta(hours=1)), Zone("UTC"))
    return charts_of([JudgeStretch(1, 0, START, [total])], total, [total], buckets)


def test_every_chart_has_a_title_a_description_and_a_table() -> None:
    found = charts(skipped=2, scores={1: 1}, categories={"good": 1})
    assert set(found) == {"rate", "volume", "skips", "scores", "categories", "cost"}
    for name, chart in found.items():
        first, second, *_ = ET.fromstring(str(chart.drawing))
        assert (first.tag, second.tag) == ("title", "desc"), name
        assert first.text, name
        assert second.text, name
        assert chart.rows, name
        assert {len(row) for row in chart.rows} == {len(chart.heads)}, name
    spark = ET.fromstring(str(sparkline([0.1, 0.9], "Pass rate")))
    assert [each.text for each in spark][:2] == ["Pass rate", "From 10% to 90%, between 10% and 90%."]


def test_many_scores_are_counted_in_stretches_and_none_is_left_out() -> None:
    rows = charts(scores={place / 100: 1 + place for place in range(101)})["scores"].rows
    assert len(rows) == 20
    assert rows[0][0] == "0 to 0.05"
    assert rows[-1][0] == "0.95 to 1"
    assert sum(int(count.replace("\u202f", "")) for _, count in rows) == 5151
    few = charts(scores={1: 4, 2.5: 1})["scores"].rows
    assert few == [("1", "4"), ("2.5", "1")]


def test_categories_after_the_twentieth_are_one_row() -> None:
    rows = charts(categories={f"c{place:02}": 100 - place for place in range(25)})["categories"].rows
    assert len(rows) == 21
    assert rows[-1] == ("5 others", "390")
