"""A report says how far its judges can be believed, and which of that is not known: in text, page and Markdown."""

from __future__ import annotations

import pytest

from reports.evaluation_reports.page.html import render_html
from reports.evaluation_reports.page.markdown import render_markdown
from reports.evaluation_reports.prose import shown_figures
from reports.evaluation_reports.trust import trust_sentences, trust_table
from tests.unit.reports.evaluation_reports.sample import barely_labelled, believed, content, trusted_content


def test_a_version_with_labels_says_its_agreement_and_its_corrected_rate() -> None:
    first, second = trust_sentences({"trust": believed()})
    assert first == (
        "People and the judge agree on 91.4\u00a0% of 231 labelled results "
        "(95\u00a0% interval 87.1\u00a0% to 94.4\u00a0%)."
    )
    assert second == (
        "Without the judge's errors the pass rate is 68.2\u00a0% (95\u00a0% interval 65.1\u00a0% to 71.2\u00a0%)."
    )


def test_a_mean_score_is_no_percentage() -> None:
    sentence = trust_sentences({"trust": believed(kind="mean", value=6.54321, low=6.1, high=7.0)})[1]
    assert sentence == "Without the judge's errors the mean score is 6.54 (95\u00a0% interval 6.1 to 7)."


def test_what_labels_do_not_suffice_for_is_said_with_their_number() -> None:
    assert trust_sentences({"trust": barely_labelled()}) == [
        "Whether people agree with the judge is not known: 18 more labels are needed.",
        "The pass rate without the judge's errors is not known: 35 more labels are needed.",
    ]


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("judge_no_better_than_chance", "better than chance"),
        ("inconsistent", "contradict"),
        ("not_transportable", "do not fit"),
        ("other_version", "another version"),
        ("too_few", "one more label is needed"),
    ],
)
def test_every_refusal_has_its_words(reason: str, text: str) -> None:
    missing = {"labelled_fail": 1} if reason == "too_few" else {}
    trust = believed(value=None, low=None, high=None, refused=reason, missing=missing)
    assert text in trust_sentences({"trust": trust})[1]


def test_the_page_and_the_markdown_have_a_column_per_version() -> None:
    made = trusted_content()
    page, text = render_html(made), render_markdown(made)
    assert "<th>Version 4</th><th>Version 3</th>" in page
    assert "<td>91.4\u00a0% (87.1\u00a0% – 94.4\u00a0%)</td><td>18 more labels are needed</td>" in page
    assert "<td>0.78, good (Cohen&#39;s kappa)</td><td>–</td>" in page
    assert "<td>68.2\u00a0% (65.1\u00a0% – 71.2\u00a0%)</td><td>not known: 35 more labels are needed</td>" in page
    assert "| pass rate without the judge's errors | 68.2\u00a0% (65.1\u00a0% – 71.2\u00a0%) | not known" in text


def test_a_problem_stands_in_place_of_the_figures() -> None:
    made = trusted_content()
    for version in made["figures"]["versions"]:
        version["trust"] = {"problem": "scipy is not installed <b>"}
    table = trust_table(made["figures"])
    assert table is not None
    assert (table.rows, table.problems) == ({}, ["scipy is not installed <b>"])
    assert "scipy is not installed &lt;b&gt;" in render_html(made)
    assert "scipy is not installed \\<b\\>" in render_markdown(made)


def test_reports_of_before_and_reports_without_labels_say_nothing() -> None:
    made = content()
    assert trust_sentences(made["figures"]["versions"][0]) == []
    assert trust_table(made["figures"]) is None
    assert trust_table(None) is None
    assert "believed" not in render_html(made) + render_markdown(made)


def test_the_model_that_writes_the_text_gets_the_trust() -> None:
    assert shown_figures(trusted_content())["figures"]["versions"][0]["trust"]["corrected"]["value"] == 0.682
