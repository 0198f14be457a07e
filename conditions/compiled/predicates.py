"""Filters that no index answers, compiled to tests of one value.

Each says the same as `conditions.operators.holds`, with the filter's side worked out beforehand and the
value's text, case-folded text and bytes made at most once for an event.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from re2 import _re2

from conditions import dates
from conditions.operators import NEGATIVES, alternatives, compile_pattern, holds, text_bytes
from conditions.values import folded, text_of

Test = Callable[["Seen"], bool]

_ANYWHERE = _re2.RE2.Anchor.UNANCHORED
_NO_MATCH = (-1, -1)


class Seen:
    """A field's value within one event, None if absent, with the forms of it that tests ask for.

    `now` is the event's own time in microseconds since 1970, None if it has none.
    """

    __slots__ = ("_bytes", "_folded", "_text", "now", "x")

    def __init__(self, x: Any, now: int | None) -> None:
        self.x = x
        self.now = now
        self._text: str | None = None
        self._folded: str | None = None
        self._bytes: bytes | None = None

    def text(self) -> str:
        """Return the value's text."""
        if self._text is None:
            self._text = text_of(self.x)
        return self._text

    def folded(self) -> str:
        """Return the text for comparison without regard to case."""
        if self._folded is None:
            self._folded = folded(self.text())
        return self._folded

    def bytes(self) -> bytes:
        """Return the text as RE2 searches it."""
        if self._bytes is None:
            self._bytes = text_bytes(self.text())
        return self._bytes


def compile_test(operator: str, value: object) -> Test:
    """Return the test of a filter. `operator` must not be an alias."""
    positive = NEGATIVES.get(operator, operator)
    make = _MAKERS.get(positive)
    if make is None:
        return lambda seen: holds(operator, seen.x, value, seen.now)
    test = make([text_of(v) for v in alternatives(value)])
    if positive == operator:
        return lambda seen: seen.x is not None and test(seen)
    return lambda seen: seen.x is None or not test(seen)


def _icontains(values: list[str]) -> Test:
    needles = [folded(v) for v in values]
    if len(needles) == 1:
        needle = needles[0]
        return lambda seen: needle in seen.folded()
    return lambda seen: any(needle in seen.folded() for needle in needles)


def _starts_with(values: list[str]) -> Test:
    prefixes = tuple(folded(v) for v in values)
    return lambda seen: seen.folded().startswith(prefixes)


def _ends_with(values: list[str]) -> Test:
    suffixes = tuple(folded(v) for v in values)
    return lambda seen: seen.folded().endswith(suffixes)


def _regex(values: list[str]) -> Test:
    # The RE2 object below re2's own wrapper: its search makes match objects and is six times as slow.
    searches = [compile_pattern(v)._regexp.Match for v in values]  # noqa: SLF001  # see above

    def test(seen: Seen) -> bool:
        text = seen.bytes()
        return any(search(_ANYWHERE, text, 0, len(text))[0] != _NO_MATCH for search in searches)

    return test


_MAKERS: dict[str, Callable[[list[str]], Test]] = {
    "icontains": _icontains,
    "starts_with": _starts_with,
    "ends_with": _ends_with,
    "regex": _regex,
}


def depends_on_time(operator: str, value: object) -> bool:
    """Tell whether a filter asks for the event's own time, so that its answer is not one of the value alone."""
    return operator.startswith("is_date_") and any(dates.is_relative(v) for v in alternatives(value))
