"""The page: self-contained, and safe with whatever strangers wrote."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from reports.evaluation_reports.cells import Shape
from reports.evaluation_reports.delivery.http import slack_body
from reports.evaluation_reports.delivery.outcome import ReportMessage
from reports.evaluation_reports.figures import make_figures
from reports.evaluation_reports.page.html import render_html
from reports.evaluation_reports.page.markdown import render_markdown
from reports.evaluation_reports.page.plots import failures_by_slice, rate_over_time, score_distribution
from reports.evaluation_reports.page.readable import one_line, readable
from tests.unit.reports.evaluation_reports.sample import PERIOD, both_views, content

HOSTILE = '</style><script>alert(1)</script><img src="//evil.example/x" onerror="alert(2)">\u202egnp\x00\x07\x1b[31m'


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def tags(page: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Tags()
    parser.feed(page)
    return parser.seen


def hostile_content() -> dict[str, object]:
    made = content()
    made["title"] = made["evaluation"]["name"] = HOSTILE
    made["sections"] = [{"title": HOSTILE, "text": HOSTILE}]
    for each in made["examples"]["newest"]:
        each["reasoning"] = HOSTILE + "x" * 1_000_000
        each["generation_id"] = HOSTILE
    for each in made["figures"]["versions"][0]["slices"]:
        each["value"] = HOSTILE
    return made


@pytest.mark.parametrize("made", [content(), hostile_content()], ids=["plain", "hostile"])
def test_a_page_loads_nothing_runs_nothing_and_keeps_its_own_policy(made: dict[str, object]) -> None:
    page = render_html(made)
    found = tags(page)
    assert {tag for tag, _ in found} <= {
        "html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "h3", "p", "div", "b", "figure",
        "figcaption", "svg", "line", "polyline", "polygon", "circle", "rect", "text", "table", "thead", "tbody", "tr",
        "th", "td", "span", "blockquote", "bdi", "code",
    }  # fmt: skip
    names = {name for _, attributes in found for name in attributes}
    assert not {name for name in names if name.startswith("on")} | names & {"src", "href", "style", "action"}
    (policy,) = (a["content"] for tag, a in found if tag == "meta" and a.get("http-equiv"))
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy is not None
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}'")
    assert "url(" not in style
    assert "@import" not in style


def test_texts_of_strangers_are_escaped_cut_and_in_one_direction() -> None:
    page = render_html(hostile_content())
    assert len(page) < 100_000
    assert not set("\u202e\x00\x07\x1b") & set(page)
    assert "&lt;script&gt;" in page
    text = render_markdown(hostile_content())
    assert len(text) < 20_000
    assert not set("\u202e\x00\x07\x1b") & set(text)
    assert "\\<script\\>" in text
    assert "\\!" not in text or "![" not in text


def test_readable_keeps_what_scripts_need_and_is_linear_in_what_it_shows() -> None:
    assert readable("नमस्ते 👩\u200d💻 שלום\nx\r") == "नमस्ते 👩\u200d💻 שלום\nx "
    assert readable("a\u2066b\u200fc\ufeffd") == "abcd"
    assert readable("x" * 10_000_000, 10) == "x" * 10 + "…"
    assert one_line("a\n\n b\tc\u00a0d") == "a b c\u00a0d"


def test_the_plots_are_well_formed_and_show_what_there_is() -> None:
    figures = content()["figures"]
    new = figures["versions"][0]
    plots = [rate_over_time(figures), score_distribution(new, figures["score_bounds"]), failures_by_slice(new)]
    rate, scores, slices = (ElementTree.fromstring(str(plot)) for plot in plots)
    assert len(rate.findall("circle")) == sum(each is not None for v in figures["versions"] for each in v["series"])
    assert [each.text for each in rate.findall("text") if "version" in (each.text or "")] == ["version 4"]
    assert len(rate.findall("polyline")) == 3, "no line leads over buckets without results"
    assert len(scores.findall("rect")) == 20
    assert len(slices.findall("rect")) == len(new["slices"])
    assert [each.get("class") for each in slices.findall("rect")].count("bar worse") == 1


def test_a_report_without_results_and_one_without_figures_have_pages() -> None:
    empty = make_figures([], [], Shape({}, None, None), PERIOD)
    assert "<svg" not in render_html(content([], figures=empty))
    assert "<svg" in render_html(content(both_views("pass", 3)))
    period = {"start": "2026-01-01T00:00:00+00:00", "end": "2026-01-02T00:00:00+00:00"}
    none = content(figures=None, examples=None, period=period, metrics_unavailable=True, sections=[], title="t")
    page = render_html(none)
    assert "2026-01-01 00:00" in page
    assert '<div class="tile">' not in page
    assert render_markdown(none).startswith("# t")


def test_a_slack_message_mentions_and_links_nothing() -> None:
    message = ReportMessage("i", "<!channel> & <https://evil.example|x>", "@here <@U1> " + "y" * 10_000, "", {})
    body = slack_body(message)
    text = str(body)
    assert "<" not in text
    assert "@" not in text
    assert len(text) < 4_000
