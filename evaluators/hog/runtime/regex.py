"""RE2 and `like`, compiled once per pattern.

The low-level object of the RE2 binding is used: its Python wrapper costs more than most searches. Without
groups RE2 need not run its slower engines, so a test compiles the pattern apart from an extraction.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from re2 import _re2

from evaluators.hog.runtime.context import Context
from evaluators.hog.runtime.errors import HogRegexError

CACHED = 512
"""Patterns that stay compiled, of each kind."""

MAX_PATTERN = 64 * 1024
"""Characters that a pattern may have."""

LONG_TEXT = 2048
"""Characters from which on a search is charged."""

SECONDS_PER_INSTRUCTION = 3e-9
"""About half of what RE2 takes for one byte and one instruction of the pattern's program when it has to give up
its automaton, which a pattern such as `[01]*1[01]{900}` makes it do: its time is linear in the text all the same,
but up to a thousand times that of an ordinary search."""

_UNANCHORED = _re2.RE2.Anchor.UNANCHORED
_NO_MATCH = (-1, -1)
Test = Callable[[Context, str], bool]
_MEMORY_BYTES = 4 * 1024 * 1024


@lru_cache(maxsize=CACHED)
def compiled(pattern: str, ignore_case: bool = False, capture: bool = True, dot_nl: bool = False) -> Any:
    """Return the RE2 object of a pattern. HogRegexError with RE2's own words if it is none."""
    if len(pattern) > MAX_PATTERN:
        raise HogRegexError(f"Invalid regex pattern: longer than {MAX_PATTERN} characters")
    options = set_options()
    options.case_sensitive = not ignore_case
    options.never_capture = not capture
    options.dot_nl = dot_nl
    found = _re2.RE2(encode(pattern), options)
    if not found.ok():
        reason = found.error()
        raise HogRegexError(f"Invalid regex pattern: {reason.decode() if isinstance(reason, bytes) else reason}")
    return found


def set_options() -> Any:
    """Return the options of a pattern that needs no groups, silent and bounded in memory."""
    options = _re2.RE2.Options()
    options.log_errors = False
    options.never_capture = True
    options.max_mem = _MEMORY_BYTES
    return options


def encode(text: str) -> bytes:
    """Return UTF-8; half a surrogate pair, which JSON can carry, becomes bytes that match nothing."""
    return text.encode("utf-8", "surrogatepass")


@lru_cache(maxsize=CACHED)
def searcher(pattern: str, ignore_case: bool = False, dot_nl: bool = False) -> Test:
    """Return a function that says whether the pattern is found anywhere in a text."""
    found = compiled(pattern, ignore_case, False, dot_nl)
    match, size = found.Match, found.ProgramSize()

    def test(
        context: Context, text: str, match: Any = match, anchor: Any = _UNANCHORED, nothing: Any = _NO_MATCH
    ) -> bool:
        if len(text) > LONG_TEXT:
            charge_search(context, text, size)
        data = text.encode("utf-8", "surrogatepass")
        return bool(match(anchor, data, 0, len(data))[0] != nothing)

    return test


def charge_search(context: Context, text: str, size: int) -> None:
    """Charge a search of a text by a program of `size` instructions before it begins."""
    context.charge(len(text) if text.isascii() else 4 * len(text))
    context.step(len(text) >> 8 if text.isascii() else len(text) >> 6)
    context.foresee(len(text) * size * SECONDS_PER_INSTRUCTION)


def extract(context: Context, text: str, pattern: str) -> str:
    """Return the first group of the first match, else the match, else `''`."""
    return extractor(pattern)(context, text)


@lru_cache(maxsize=CACHED)
def extractor(pattern: str) -> Callable[[Context, str], str]:
    """Return a function that gives the first group of the first match in a text, else the match, else `''`."""
    found = compiled(pattern)
    match, size, group = found.Match, found.ProgramSize(), min(found.NumberOfCapturingGroups(), 1)

    def first(context: Context, text: str) -> str:
        if len(text) > LONG_TEXT:
            charge_search(context, text, size)
        data = text.encode("utf-8", "surrogatepass")
        start, end = match(_UNANCHORED, data, 0, len(data))[group]
        return str(data[start:end], "utf-8", "surrogatepass") if start >= 0 else ""

    return first


@lru_cache(maxsize=CACHED)
def liker(pattern: str, ignore_case: bool = False) -> Test:
    """Return a function that says whether a text is `like` the pattern.

    `%` is any text, `_` one character, and the pattern may begin anywhere: so a pattern without `_` asks for
    its pieces one after the other.
    """
    if "_" in pattern or (ignore_case and not pattern.isascii()):
        return searcher(like_regex(pattern), ignore_case, dot_nl=True)
    pieces = [piece for piece in pattern.split("%") if piece]
    if ignore_case:
        lowered = [piece.lower() for piece in pieces]
        by_regex = searcher(like_regex(pattern), True, True)

        def search_any_case(context: Context, text: str) -> bool:
            if not text.isascii():
                return by_regex(context, text)
            if len(text) > LONG_TEXT:
                context.charge(len(text))
                context.step(len(text) >> 6)
            return _in_order(text.lower(), lowered)

        return search_any_case

    def search(context: Context, text: str) -> bool:
        if len(text) > LONG_TEXT:
            context.step(len(text) >> 7)
        return _in_order(text, pieces)

    return search


def like_regex(pattern: str) -> str:
    """Return the regex that finds what a `like` pattern finds, where a dot matches a line break."""
    quoted = _re2.RE2.QuoteMeta(encode(pattern)).decode("utf-8", "surrogatepass")
    return str(quoted).replace("\\%", ".*").replace("\\_", ".").replace("%", ".*").replace("_", ".")


def _in_order(text: str, pieces: list[str]) -> bool:
    at = 0
    for piece in pieces:
        at = text.find(piece, at)
        if at < 0:
            return False
        at += len(piece)
    return True
