"""The page of a run shows any text as text, and loads nothing."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

from reports.clustering.clusters import as_json, cluster_items
from reports.clustering.plot import page
from reports.clustering.text import distinct
from reports.clustering.vectors import lsa_vectors
from tests.unit.reports.clustering.test_clusters import sample

HOSTILE = "</title><script>alert('x')</script>\u202e\x00\"><img src=x onerror=alert(1)>" + "A" * 1_000_000


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs


def result(**changes: Any) -> dict[str, Any]:
    items = sample(120)
    found = cluster_items(items, lsa_vectors(list(distinct(items))), "auto", before={}, next_number=0)
    return {
        "level": "generation",
        "window_start": "2026-01-01T00:00:00+00:00",
        "window_end": "2026-01-08T00:00:00+00:00",
        "items": 120,
        "method": "hdbscan",
        "vectors": "tfidf",
        "notes": [],
        "clusters": [as_json(cluster) for cluster in found.clusters],
    } | changes


def test_a_page_has_a_point_per_item_and_a_row_per_cluster() -> None:
    read = Tags()
    read.feed(page("Daily", result()))
    assert read.tags.count("circle") == 120
    assert read.tags.count("tr") == len(result()["clusters"]) + 1


def test_only_the_largest_clusters_have_their_number_in_the_plot() -> None:
    made = result()
    cluster = made["clusters"][0]
    many = [cluster | {"cluster_id": number} for number in range(60)]
    text = page("n", made | {"clusters": many})
    assert text.count("<text ") == 20
    assert text.count("<tr>") == 61
    assert "2026-01-01 00:00 to 2026-01-08 00:00 UTC" in text


def test_texts_of_a_stranger_are_text_and_short() -> None:
    shown = result(notes=[HOSTILE], vectors=HOSTILE)
    for cluster in shown["clusters"]:
        cluster["title"] = cluster["description"] = HOSTILE
    html = page(HOSTILE, shown)
    read = Tags()
    read.feed(html)
    assert not {"script", "img"} & set(read.tags)
    assert not [name for name, _ in read.attributes if name.startswith("on") or name in ("src", "href")]
    assert "\u202e" not in html
    assert "\x00" not in html
    assert len(html) < 200_000


def test_a_page_without_items_says_so() -> None:
    html = page("Empty", result(clusters=[], items=0))
    assert "no items with text" in html
    assert "<svg" not in html
