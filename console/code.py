"""JSON with its parts marked for the stylesheet. Its characters are those of the text, and hidden ones are seen."""

from __future__ import annotations

import re

from markupsafe import Markup

from console.shown import visible

_TEXT = r'"(?:\\[\s\S]|[^"\\])*+"?+'
"""A string; one without an end goes to the end of the text, so that each character is read once."""
_PART = re.compile(rf"(?P<k>{_TEXT}(?=:))|(?P<s>{_TEXT})|(?P<n>-?\d[\d.eE+-]*|\b(?:true|false|null)\b)")


def json_code(text: str) -> Markup:
    """Return indented JSON with marks for names, strings and other values."""
    found: list[Markup] = []
    end = 0
    for part in _PART.finditer(text):
        found.append(visible(text[end : part.start()]))
        found.append(Markup('<span class="{}">{}</span>').format(part.lastgroup, visible(part[0])))
        end = part.end()
    found.append(visible(text[end:]))
    return Markup("").join(found)
