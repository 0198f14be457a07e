"""The text that an item is clustered by, and the words in it. Both take time linear in a bounded text."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

MAX_CHARS = 4_000
"""Characters of an item's text; more is cut in the middle, because beginnings and ends tell the most."""
_LONGEST_WORD = 40
_MOST_WORDS = 1_000


@dataclass(frozen=True, slots=True)
class Item:
    """One trace, generation or evaluation result.

    Attributes:
        id: of the trace, the generation or the result.
        trace_id: empty if it has none.
        text: clean and bounded; see `clean`.
    """

    id: str
    trace_id: str
    text: str


def clean(text: str, limit: int = MAX_CHARS) -> str:
    """Return a text without control characters and marks that turn its direction, cut to `limit` characters."""
    if len(text) > limit:
        half = limit // 2
        text = f"{text[:half]} … {text[-half:]}"
    kept = (" " if char.isspace() else char for char in text if char.isspace() or _shown(char))
    return " ".join("".join(kept).split())


def _shown(char: str) -> bool:
    """Whether a character is neither a control, a format mark, a surrogate nor unassigned."""
    return unicodedata.category(char)[0] != "C"


def words(text: str) -> list[str]:
    """Return the words of a clean text in lower case, at most a thousand; runs of CJK characters give pairs."""
    found: list[str] = []
    for word in _runs(text.lower()):
        if len(found) >= _MOST_WORDS:
            break
        if _is_cjk(word[0]) and len(word) > 2:
            found.extend(word[at : at + 2] for at in range(min(len(word), _LONGEST_WORD) - 1))
        elif len(word) > 1 and not word.isdigit():
            found.append(word[:_LONGEST_WORD])
    return found


def _runs(text: str) -> Iterator[str]:
    start = None
    for at, char in enumerate(text):
        if char.isalnum():
            start = at if start is None else start
        elif start is not None:
            yield text[start:at]
            start = None
    if start is not None:
        yield text[start:]


def _is_cjk(char: str) -> bool:
    return "\u3040" <= char <= "\u9fff" or "\uac00" <= char <= "\ud7a3"


STOP_WORDS = frozenset(
    [
        "a",
        "about",
        "after",
        "all",
        "also",
        "an",
        "and",
        "any",
        "are",
        "as",
        "at",
        "be",
        "because",
        "been",
        "but",
        "by",
        "can",
        "could",
        "did",
        "do",
        "does",
        "for",
        "from",
        "get",
        "had",
        "has",
        "have",
        "he",
        "her",
        "his",
        "how",
        "i",
        "if",
        "in",
        "into",
        "is",
        "it",
        "its",
        "just",
        "like",
        "me",
        "more",
        "my",
        "no",
        "not",
        "of",
        "on",
        "one",
        "or",
        "other",
        "our",
        "out",
        "please",
        "she",
        "should",
        "so",
        "some",
        "such",
        "than",
        "that",
        "the",
        "their",
        "them",
        "then",
        "there",
        "these",
        "they",
        "this",
        "to",
        "up",
        "us",
        "use",
        "user",
        "was",
        "we",
        "were",
        "what",
        "when",
        "which",
        "who",
        "will",
        "with",
        "would",
        "yes",
        "you",
        "your",
        "assistant",
        "system",
        "content",
        "role",
        "text",
        "type",
    ]
)
"""Words that name no topic. They are left out of titles, and of the vectors of TF-IDF."""


def topic_words(text: str) -> list[str]:
    """Return the words of a text that may name its topic."""
    return [word for word in words(text) if word not in STOP_WORDS]


def distinct(items: Iterable[Item]) -> dict[str, list[int]]:
    """Return the positions of the items by text, in the order in which the texts come first."""
    places: dict[str, list[int]] = {}
    for at, item in enumerate(items):
        places.setdefault(item.text, []).append(at)
    return places
