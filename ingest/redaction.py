"""Redaction before Kafka: parts of texts that must not be stored are replaced by the name of what they were.

Every pattern is RE2, so a text of a stranger costs linear time. A redaction that fails never lets the text through.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import msgspec
import re2

from ingest.disguises import in_base64, plain_characters, unescaped
from ingest.rows import Properties

PATTERNS: dict[str, str] = {
    "email": r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}",
    "card": r"\b\d(?:[ -]?\d){12,}\b",
    "phone": r"(?:\+\d{1,3}[ .-]?)(?:\(\d{1,4}\)[ .-]?)?\d{2,4}(?:[ .-]?\d{2,4}){1,4}\b",
    "api_key": r"\b(?:sk|pk|rk|gvl|gvt|phx|phc|ghp|gho|xoxb|xoxp|AKIA|AIza)[-_]?[A-Za-z0-9_-]{16,}",
}
"""Ready patterns by name. A card number must also pass the check of Luhn."""

_CARD_DIGITS = range(13, 20)
_CARD_GROUPS = ((4, 4, 4, 4), (4, 4, 4, 4, 1), (4, 4, 4, 4, 2), (4, 4, 4, 4, 3), (4, 6, 5), (4, 6, 4))
"""How the digits of a card are written in groups, so that a card is found among other numbers."""
_find_digits = re.compile(r"\d+", re.ASCII).finditer
_NO_SEPARATORS = str.maketrans("", "", " -")
_DOUBLED = str.maketrans("0123456789", "0246813579")
"""The digits of twice a digit, added up."""
_PERSON = ("$set", "$set_once")


class RedactionFailed(Exception):
    """The properties could not be redacted; the event must not be written. The message holds nothing of them."""


class _Rule(NamedTuple):
    """A pattern, and what replaces a match; a replacement that is equal to the match is none."""

    pattern: Any
    replace: Callable[[Any], str]


class Redactor:
    """Replaces what the settings name in the properties of events.

    Args:
        rules: property → names of patterns, separated by blanks.
        patterns: further RE2 patterns by name.

    Raises:
        ValueError: a name that does not exist, or a pattern that RE2 refuses; says which.
    """

    def __init__(self, rules: Mapping[str, str], patterns: Mapping[str, str]) -> None:
        known = {**PATTERNS, **patterns}
        compiled = {name: _compile(name, known) for rule in rules.values() for name in rule.split()}
        self._rules = {
            name: tuple(_Rule(compiled[each], _REPLACE.get(each) or _label(each)) for each in rule.split())
            for name, rule in rules.items()
        }
        self._of_person = tuple(rule for name in _PERSON for rule in self._rules.get(name, ()))

    @property
    def active(self) -> bool:
        """Whether anything is redacted, so that bytes which cannot be must not be kept either."""
        return bool(self._rules)

    def redact(self, text: bytes) -> bytes:
        """Return the JSON text of properties, redacted.

        Raises:
            RedactionFailed: it could not be done.
        """
        if not self.active:
            return text
        try:
            properties = Properties(text)
            for name, rules in self._rules.items():
                raw = properties.raw(name)
                if raw is not None:
                    properties.set(name, _clean(msgspec.json.decode(raw), rules))
            return properties.as_json()
        except Exception as error:  # the kind does not matter: the text may still hold a secret
            raise _failed(error) from error

    def redact_person(self, text: bytes | None) -> bytes | None:
        """Return the JSON text of a person's properties, redacted by the rules of `$set` and `$set_once`.

        Raises:
            RedactionFailed: it could not be done.
        """
        if text is None or not self._of_person:
            return text
        try:
            return msgspec.json.encode(_clean(msgspec.json.decode(text), self._of_person))
        except Exception as error:  # the text may still hold a secret, whatever the kind
            raise _failed(error) from error


def _failed(error: Exception) -> RedactionFailed:
    return RedactionFailed(f"the properties could not be redacted ({type(error).__name__})")


def _clean(value: Any, rules: Sequence[_Rule]) -> Any:
    """Return a JSON value with every text in it redacted: keys and numbers too."""
    if isinstance(value, str):
        return _clean_text(value, rules)
    if isinstance(value, list):
        return _clean_across([_clean(each, rules) for each in value], rules)
    if isinstance(value, dict):
        return {_clean_text(key, rules): _clean(each, rules) for key, each in value.items()}
    if isinstance(value, bool) or value is None:
        return value
    written = str(value)
    cleaned = _clean_text(written, rules)
    return value if cleaned == written else cleaned


def _clean_text(text: str, rules: Sequence[_Rule]) -> str:
    text = _replaced(text, rules)
    for view in (unescaped, plain_characters):
        seen = view(text)
        if seen != text and (cleaned := _replaced(seen, rules)) != seen:
            text = cleaned
    return in_base64(text, lambda inner: _replaced(plain_characters(inner), rules))


def _replaced(text: str, rules: Sequence[_Rule]) -> str:
    for pattern, replace in rules:
        text = pattern.sub(replace, text)
    return text


def _clean_across(items: list[Any], rules: Sequence[_Rule]) -> list[Any]:
    """Redact what the neighbours of a list make together: parts of one content are read without a gap."""
    for slots in _neighbours(items):
        texts: list[str] = [holder[key] for holder, key in slots]
        for rule in rules:
            texts = _cut(texts, rule)
        for (holder, key), text in zip(slots, texts, strict=True):
            holder[key] = text
    return items


def _neighbours(items: list[Any]) -> Iterator[list[tuple[Any, Any]]]:
    """Yield runs of two texts or more that follow each other, each as the object that holds it and its key there."""
    run: list[tuple[Any, Any]] = []
    for place, item in enumerate(items):
        slot = _slot(items, place, item)
        if slot is not None:
            run.append(slot)
            continue
        if len(run) > 1:
            yield run
        run = []
    if len(run) > 1:
        yield run


def _slot(items: list[Any], place: int, item: Any) -> tuple[Any, Any] | None:
    if isinstance(item, str):
        return items, place
    if isinstance(item, dict) and "role" not in item:  # a message is not read on with the next one
        return next(((item, key) for key in ("text", "content") if isinstance(item.get(key), str)), None)
    return None


def _cut(texts: list[str], rule: _Rule) -> list[str]:
    """Return texts without the matches that reach from one into the next; the first part keeps the replacement."""
    ends = list(accumulate(map(len, texts)))
    found = []
    for match in rule.pattern.finditer("".join(texts)):
        first, last = match.span()
        if ends[bisect_right(ends, first)] < last and (replacement := rule.replace(match)) != match.group(0):
            found.append((first, last, replacement))
    if not found:
        return texts
    cleaned: list[str] = []
    at = 0
    for text, end in zip(texts, ends, strict=True):
        start, kept, pieces = end - len(text), end - len(text), []
        while at < len(found) and found[at][0] < end:
            first, last, replacement = found[at]
            if first >= start:
                pieces += [text[kept - start : first - start], replacement]
            kept = min(last, end)
            if last > end:
                break
            at += 1
        cleaned.append("".join([*pieces, text[kept - start :]]))
    return cleaned


def is_card_number(text: str) -> bool:
    """Return whether the digits of `text` pass the check of Luhn (ISO/IEC 7812-1, annex B)."""
    digits = text.translate(_NO_SEPARATORS)
    return (sum(map(int, digits[-1::-2])) + sum(map(int, digits[-2::-2].translate(_DOUBLED)))) % 10 == 0


def _replace_card(match: Any) -> str:
    """Return digits with the cards in them replaced: the whole, or groups that are written as a card's are."""
    found: str = match.group(0)
    groups = [each.span() for each in _find_digits(found)]
    lengths = [end - start for start, end in groups]
    if sum(lengths) in _CARD_DIGITS and is_card_number(found):
        return "[card]"
    pieces: list[str] = []
    kept = at = 0
    while at < len(groups):
        count = _card_at(found, groups, lengths, at)
        if count:
            pieces += [found[kept : groups[at][0]], "[card]"]
            kept = groups[at + count - 1][1]
        at += count or 1
    return "".join([*pieces, found[kept:]])


def _card_at(text: str, groups: Sequence[tuple[int, int]], lengths: Sequence[int], at: int) -> int:
    """Return how many groups from `at` on are a card, or 0."""
    if lengths[at] < _CARD_GROUPS[0][0]:
        return 0
    counts = [len(shape) for shape in _CARD_GROUPS if tuple(lengths[at : at + len(shape)]) == shape]
    if lengths[at] in _CARD_DIGITS:
        counts.append(1)
    for count in counts:
        if is_card_number(text[groups[at][0] : groups[at + count - 1][1]]):
            return count
    return 0


def _label(name: str) -> Callable[[Any], str]:
    return lambda _match: f"[{name}]"


_REPLACE: dict[str, Callable[[Any], str]] = {"card": _replace_card}


def _compile(name: str, known: Mapping[str, str]) -> Any:
    if name not in known:
        raise ValueError(f"ingest.redact: there is no pattern {name!r}; choose {', '.join(known)}")
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(known[name], options)
    except re2.error as error:
        raise ValueError(f"ingest.redact_patterns: RE2 refuses {name!r}: {error}") from error
