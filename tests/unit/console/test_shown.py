"""Texts of strangers: what hides is seen, and what would be markup is text."""

from __future__ import annotations

import pytest

from api.schemas.trust import Figure
from console.shown import answer, brief, count, figure, lacking, medium, percent, rate, size, usd, visible
from evaluators.messages import Attachment


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
    cost = Figure(value=0.0, low=-0.00021, high=0.000034)
    assert figure(cost, share=False) == "0.000 (-0.00021 to 0.000034)", "the cost of a run is not shown as zeros"
    assert figure(Figure(value=0.1 + 0.2 - 0.3), share=False) == "0.000"
    assert figure(Figure(too_few=12)) == "12 more labels needed"
    assert figure(None) == figure(Figure()) == "–"
    needed = lacking({"labelled_pass": 3, "labelled_fail": 0, "labelled": 32})
    assert needed == "; more labels needed: 3 of judged passes, 32 in all"
    assert lacking({}) == ""


@pytest.mark.parametrize(
    ("per_second", "text"), [(None, "–"), (0.0, "–"), (1234.0, "1\u202f234/s"), (0.5, "30/min"), (0.001, "3.6/h")]
)
def test_a_rate_is_per_second_or_per_the_unit_in_which_it_is_not_zero(per_second: float | None, text: str) -> None:
    assert rate(per_second) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (12_345, "12.3 kB"), (6_291_456, "6.3 MB")],
)
def test_a_size_is_in_powers_of_1000(number: int, text: str) -> None:
    assert size(number).replace("\u202f", " ") == text


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (Attachment("image", "image/png", 2000), "image/png, 2.0 kB"),
        (Attachment("image", "", 0), "0 bytes, type unknown"),
        (Attachment("image", "image/png", None, "https://a"), "image/png, a link, size unknown"),
        (Attachment("image", "", None, "https://a"), "a link, type and size unknown"),
        (Attachment("file"), "type and size unknown"),
        (None, "type and size unknown"),
    ],
)
def test_a_medium_says_what_is_not_known_of_it(found: Attachment | None, text: str) -> None:
    assert medium(found).replace("\u202f", " ") == text
