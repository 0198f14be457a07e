"""JSON with marks: no character is lost, none becomes markup, hidden ones are seen."""

from __future__ import annotations

import re
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.code import json_code


@given(st.text(alphabet='"\\{}[]:, \n<>&abc019.-eE' + "truefalsn"))
def test_all_characters_stay(text: str) -> None:
    html = str(json_code(text))
    assert unescape(re.sub(r'</?span(?: class="[ksn]")?>', "", html)) == text


@pytest.mark.parametrize("text", ['{"a": "<img src=x onerror=y>"}', '"</span><script>"', '{"\u202e": 1}'])
def test_none_becomes_markup(text: str) -> None:
    html = str(json_code(text))
    assert re.findall(r"<(?!/?span)", html) == []
    assert "\u202e" not in html


def test_names_texts_and_values_are_told_apart() -> None:
    assert str(json_code('{"a": "b", "c": -1.5e3}')) == (
        '{<span class="k">&#34;a&#34;</span>: <span class="s">&#34;b&#34;</span>, '
        '<span class="k">&#34;c&#34;</span>: <span class="n">-1.5e3</span>}'
    )
