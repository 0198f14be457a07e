"""A stranger's Markdown as safe HTML: no HTML of its own, no images, links as text beside a button that opens them."""

from __future__ import annotations

import re
from functools import lru_cache
from html import unescape
from urllib.parse import urlsplit

import nh3
from markdown_it import MarkdownIt
from markupsafe import Markup

from console.shown import brief, visible

MAX_CHARS = 64 * 1024
_TAGS = {
    "p", "br", "strong", "em", "s", "code", "pre", "ul", "ol", "li", "blockquote", "hr", "table", "thead", "tbody",
    "tr", "th", "td", "a",
    "h3", "h4", "h5", "h6",
}  # fmt: skip
_LINK_REL = "noopener noreferrer nofollow"
_LINK = re.compile(rf'<a(?: href="([^"]*)")? rel="{_LINK_REL}">(.*?)</a>', re.DOTALL)
"""A link as `nh3` writes it; one that leads nowhere has no address left."""


@lru_cache(maxsize=1)
def _renderer() -> MarkdownIt:
    made = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable(["table", "strikethrough"])
    made.disable(["image", "html_inline", "html_block"])
    return made


def to_html(text: str) -> Markup:
    """Return `text` rendered, at most its first 64 Ki characters. Only `nh3`'s output leaves this function."""
    rendered = _renderer().render(text[:MAX_CHARS])
    for level in (1, 2):  # the page has its own headings of these levels
        rendered = rendered.replace(f"<h{level}>", "<h3>").replace(f"</h{level}>", "</h3>")
    clean = nh3.clean(
        rendered,
        tags=_TAGS,
        attributes={"a": {"href"}},
        url_schemes={"http", "https"},
        link_rel=_LINK_REL,
    )
    return Markup(_LINK.sub(_text_and_link, clean))  # noqa: S704  # sanitised in the line above


def _text_and_link(link: re.Match[str]) -> str:
    """Return the text of a link, behind it a link that names its host: the text alone may name another one."""
    address, text = link.groups()
    if address is None:
        return text
    host = visible(brief(_host(unescape(address)), 80))
    return f'{text} <a href="{address}" rel="{_LINK_REL}">[open {host}]</a>'


def _host(address: str) -> str:
    try:
        return urlsplit(address).hostname or address
    except ValueError:
        return address
