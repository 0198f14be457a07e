"""Links of strangers: their text stays text, and a link behind it names the host that it leads to."""

from __future__ import annotations

import pytest

from console.markdown import to_html

REL = 'rel="noopener noreferrer nofollow"'


@pytest.mark.parametrize(
    ("text", "html"),
    [
        (
            "[https://bank.example](https://evil.example/a?b=1&c=2)",
            f'https://bank.example <a href="https://evil.example/a?b=1&amp;c=2" {REL}>[open evil.example]</a>',
        ),
        (
            "[a **b**](http://c.example:8080/)",
            f'a <strong>b</strong> <a href="http://c.example:8080/" {REL}>[open c.example]</a>',
        ),
        ("[x](http://a@b.example)", f'x <a href="http://a@b.example" {REL}>[open b.example]</a>'),
        ("[x](ftp://a.example)", "x"),
        (f'`<a href="http://x" {REL}>y</a>`', f'<code>&lt;a href="http://x" {REL}&gt;y&lt;/a&gt;</code>'),
    ],
)  # fmt: skip
def test_a_link_is_its_text_and_an_address_that_is_named(text: str, html: str) -> None:
    assert str(to_html(text)).strip() == f"<p>{html}</p>"
