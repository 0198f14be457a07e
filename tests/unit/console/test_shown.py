"""Texts of strangers: what hides is seen, and what would be markup is text."""

from __future__ import annotations

import pytest

from api.schemas.trust import Figure
from console.shown import answer, brief, count, figure, lacking, percent, usd, visible


@pytest.mark.parametrize(
    "character", ["\u200b", "\u202e", "\u2066", "\u200d", "\x1b", "\x07", "\ufeff", "\u00ad", "\ue000"]
)
def test_a_character_that_hides_or_turns_the_text_is_marked(character: str) -> None:
    shown = str(visible(f"a{character}b"))
    assert character not in shown
    assert f"U+{ord(character):04X}" in shown


@pytest.mark.parametrize("text", ["plain", "Zeilen\nund\tTab", "שלום עולם", "日本語", "naïve – “quoted” …", "👍"])
def test_ordinary_text_of_every_script_stays(text: str) -> None:
    assert str(visible(text)) == text.replace("“", "“")


def test_markup_is_text() -> None:
    assert str(visible("<img src=x onerror=alert(1)>\u200b")).startswith("&lt;img")
    assert "<script" not in str(visible("\u202e<script>"))


def test_brief_is_one_line_of_limited_length() -> None:
    assert brief("a\n b\t c") == "a b c"
    assert len(brief("x" * 10_000_000)) == 200
    assert brief("x" * 201).endswith("…")


def test_figures() -> None:
    assert count(1234567) == "1\u202f234\u202f567"
    assert percent(0.9344) == "93.4\u202f%"
    assert percent(None) == "–"
    assert usd(0.00123) == "$0.0012"
    assert usd(1234.5) == "$1,234.50"


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        ({"unsure": True}, "unsure"), ({"applicable": False}, "N/A"), ({"applicable": True, "result": False}, "false"),
        ({"applicable": True, "score": 4.0}, "4"), ({"applicable": True, "categories": ["a", "b"]}, "a, b"),
    ],
)  # fmt: skip
def test_a_stored_verdict_in_a_word(verdict: dict[str, object], words: str) -> None:
    assert answer(verdict) == words


def test_a_figure_has_its_interval_or_says_what_it_lacks() -> None:
    assert figure(Figure(value=0.9, low=0.8, high=0.95)).replace("\u202f", " ") == "90.0 % (80.0 % to 95.0 %)"
    assert figure(Figure(value=0.5), share=False) == "0.500"
    assert figure(Figure(too_few=12)) == "12 more labels needed"
    assert figure(None) == figure(Figure()) == "–"
    needed = lacking({"labelled_pass": 3, "labelled_fail": 0, "labelled": 32})
    assert needed == "; more labels needed: 3 of judged passes, 32 in all"
    assert lacking({}) == ""
