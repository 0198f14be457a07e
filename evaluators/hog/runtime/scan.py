"""One pass over a text for several patterns at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from re2 import _re2

from evaluators.hog.runtime.context import Context
from evaluators.hog.runtime.errors import HogRegexError
from evaluators.hog.runtime.regex import LONG_TEXT, charge_search, compiled, encode, set_options

MOST_PATTERNS = 64
MOST_INSTRUCTIONS = 1500
"""Instructions of all patterns of one pass. An automaton of so many fits into its memory many times, so that the pass
never gives up and then seems to have found nothing."""

Scan = Callable[[Context, Any], list[int] | None]


@dataclass(frozen=True, slots=True)
class Sought:
    """A pattern of a pass.

    Attributes:
        pattern: for RE2.
        ignore_case, dot_nl: as `regex.compiled` takes them.
    """

    pattern: str
    ignore_case: bool = False
    dot_nl: bool = False

    def whole(self) -> str:
        """Return the pattern with its flags."""
        flags = "i" * self.ignore_case + "s" * self.dot_nl
        return f"(?{flags}:{self.pattern})" if flags else self.pattern


def scan_for(sought: Sequence[Sought]) -> Scan | None:
    """Return a function that gives the positions, in `sought`, of all patterns that a text holds.

    The function returns None for a value that is not a text, and nothing is in an empty text. None in its place if the
    patterns are not valid, too many or too large for one pass.
    """
    if len(sought) > MOST_PATTERNS:
        return None
    options = set_options()
    passed = _re2.Set(_re2.RE2.Anchor.UNANCHORED, options)
    size = 0
    for one in sought:
        try:
            size += compiled(one.pattern, one.ignore_case, False, one.dot_nl).ProgramSize()
        except HogRegexError:
            return None
        if size > MOST_INSTRUCTIONS or passed.Add(encode(one.whole())) < 0:
            return None
    if not passed.Compile():
        return None
    match = passed.Match

    def scan(context: Context, text: Any) -> list[int] | None:
        if type(text) is not str:
            return None
        if not text:
            return []
        if len(text) > LONG_TEXT:
            charge_search(context, text, size)
        found: list[int] = match(text.encode("utf-8", "surrogatepass"))
        return found

    return scan
