"""Functions of strings. Null in, null out, where a string is expected; positions are 1-based and in characters."""

from __future__ import annotations

from evaluators.hog.runtime.context import FREE_CHARS, Context
from evaluators.hog.runtime.functions import Function
from evaluators.hog.runtime.values import Value
from evaluators.hog.stdlib.arguments import (
    ELEMENT_BYTES,
    ELEMENTS_PER_STEP,
    as_integer,
    as_text,
    charge_elements,
    charge_text,
    expect_null,
    shown,
    wrong_type,
)


def concat(ctx: Context, *values: Value) -> str:
    """Join the texts of all values; null counts as an empty string."""
    parts = [value if type(value) is str else "" if value is None else shown(ctx, value) for value in values]
    size = sum(map(len, parts))
    if size > FREE_CHARS:
        charge_text(ctx, size, *parts)
    return "".join(parts)


def length(value: Value) -> int | None:
    """Count characters, elements or keys."""
    kind = type(value)
    if kind is str or kind is list or kind is dict or kind is tuple:
        return len(value)
    if value is None:
        return None
    raise wrong_type("length", "a string, an array or an object", value)


def lower(ctx: Context, value: Value) -> str | None:
    """Return the text in small letters."""
    if type(value) is not str:
        expect_null("lower", value)
        return None
    if len(value) > FREE_CHARS:
        charge_text(ctx, len(value), value)
    return value.lower()


def upper(ctx: Context, value: Value) -> str | None:
    """Return the text in capitals."""
    if type(value) is not str:
        expect_null("upper", value)
        return None
    if len(value) > FREE_CHARS:
        charge_text(ctx, len(value), value)
    return value.upper()


def reverse(ctx: Context, value: Value) -> Value:
    """Return the text, or the array, from its end to its beginning."""
    if type(value) is str:
        charge_text(ctx, len(value), value)
        return value[::-1]
    if type(value) is list or type(value) is tuple:
        charge_elements(ctx, len(value))
        return list(value[::-1])
    expect_null("reverse", value)
    return None


def trim(ctx: Context, value: Value, characters: Value = "") -> str | None:
    """Remove white space, or one given character, at both ends."""
    return _strip(ctx, "trim", value, characters, left=True, right=True)


def trim_left(ctx: Context, value: Value, characters: Value = "") -> str | None:
    """Remove white space, or one given character, at the beginning."""
    return _strip(ctx, "trimLeft", value, characters, left=True, right=False)


def trim_right(ctx: Context, value: Value, characters: Value = "") -> str | None:
    """Remove white space, or one given character, at the end."""
    return _strip(ctx, "trimRight", value, characters, left=False, right=True)


def _strip(ctx: Context, name: str, value: Value, character: Value, *, left: bool, right: bool) -> str | None:
    """Strip `character` (`''`: white space, null: the space); more than one character gives `''`, as in PostHog."""
    if type(value) is not str:
        expect_null(name, value)
        return None
    unwanted = " " if character is None else as_text(name, "the character to remove", character) or None
    if unwanted is not None and len(unwanted) > 1:
        return ""
    charge_text(ctx, len(value), value)
    if left and right:
        return value.strip(unwanted)
    return value.lstrip(unwanted) if left else value.rstrip(unwanted)


def split_by_string(ctx: Context, separator: Value, value: Value, most: Value = None) -> list[str] | None:
    """Split into at most `most` parts, dropping the rest; an empty separator splits into characters."""
    between = separator if type(separator) is str else as_text("splitByString", "the separator", separator)
    if type(value) is not str:
        expect_null("splitByString", value)
        return None
    limit = -1 if most is None else as_integer("splitByString", "the number of parts", most)
    parts = value.count(between) + (1 if between else -1)
    if 0 <= limit < parts:
        parts = limit
    if parts > ELEMENTS_PER_STEP:
        charge_elements(ctx, parts, ELEMENT_BYTES)
    if len(value) > FREE_CHARS:
        charge_text(ctx, len(value), value)
    if not between:
        return list(value if limit < 0 else value[:limit])
    if limit < 0 or limit > len(value):
        return value.split(between)
    return value.split(between, limit)[:limit]


def replace_one(ctx: Context, value: Value, old: Value, new: Value) -> str | None:
    """Replace the first occurrence of a text."""
    return _replace(ctx, "replaceOne", value, old, new, 1)


def replace_all(ctx: Context, value: Value, old: Value, new: Value) -> str | None:
    """Replace every occurrence of a text."""
    return _replace(ctx, "replaceAll", value, old, new, -1)


def _replace(ctx: Context, name: str, value: Value, old: Value, new: Value, most: int) -> str | None:
    if type(value) is not str:
        expect_null(name, value)
        return None
    before = as_text(name, "the text to replace", old)
    after = as_text(name, "the replacement", new)
    times = 1 if most == 1 else value.count(before)
    charge_text(ctx, len(value) + times * max(len(after) - len(before), 0), value, after)
    return value.replace(before, after, most)


def position(ctx: Context, value: Value, part: Value, start: Value = 1) -> int:
    """Return where `part` begins, searching from `start`; 0 if it is not there."""
    if type(value) is not str or part is None:
        return 0
    wanted = part if type(part) is str else shown(ctx, part)
    return value.find(wanted, _offset("position", start)) + 1


def position_case_insensitive(ctx: Context, value: Value, part: Value, start: Value = 1) -> int:
    """Return where `part` begins in any case, searching from `start`; 0 if it is not there."""
    if type(value) is not str or part is None:
        return 0
    charge_text(ctx, len(value), value)
    wanted = _same_length_lower(shown(ctx, part))
    return _same_length_lower(value).find(wanted, _offset("positionCaseInsensitive", start)) + 1


def _offset(name: str, start: Value) -> int:
    return 0 if start is None else max(as_integer(name, "where to start", start) - 1, 0)


def _same_length_lower(value: str) -> str:
    """Lower each character by itself: the few whose small letter is two characters stay, so positions hold."""
    lowered = value.lower()
    if len(lowered) == len(value):
        return lowered
    return "".join([small if len(small := character.lower()) == 1 else character for character in value])


def substring(ctx: Context, value: Value, start: Value, count: Value = None) -> str | None:
    """Return `count` characters (default: all) from `start`; `''` where there are none."""
    if type(value) is not str:
        expect_null("substring", value)
        return None
    begin = as_integer("substring", "the start", start) - 1
    taken = len(value) if count is None else as_integer("substring", "the length", count)
    if begin < 0 or taken <= 0 or begin >= len(value):
        return ""
    charge_text(ctx, min(taken, len(value) - begin), value)
    return value[begin : begin + taken]


def starts_with(value: Value, prefix: Value) -> bool:
    """Whether a text begins with another; false if either is not a text."""
    return type(value) is str and type(prefix) is str and value.startswith(prefix)


def multi_search_any_case_insensitive(ctx: Context, value: Value, needles: Value) -> int:
    """Return 1 if any of the texts is in the value, in any case; else 0."""
    if value is None or (type(needles) is not list and type(needles) is not tuple):
        return 0
    haystack = shown(ctx, value).lower()
    charge_text(ctx, len(haystack), haystack)
    for needle in needles:
        if needle is not None and shown(ctx, needle).lower() in haystack:
            return 1
        ctx.step(1 + len(haystack) // 4096)
    return 0


FUNCTIONS = {
    "concat": Function(concat, 1, None, needs_context=True),
    "length": Function(length, 1, 1, cheap=True),
    "lower": Function(lower, 1, 1, needs_context=True),
    "upper": Function(upper, 1, 1, needs_context=True),
    "reverse": Function(reverse, 1, 1, needs_context=True),
    "trim": Function(trim, 1, 2, needs_context=True),
    "trimLeft": Function(trim_left, 1, 2, needs_context=True),
    "trimRight": Function(trim_right, 1, 2, needs_context=True),
    "splitByString": Function(split_by_string, 2, 3, needs_context=True),
    "replaceOne": Function(replace_one, 3, 3, needs_context=True),
    "replaceAll": Function(replace_all, 3, 3, needs_context=True),
    "position": Function(position, 2, 3, needs_context=True),
    "positionCaseInsensitive": Function(position_case_insensitive, 2, 3, needs_context=True),
    "substring": Function(substring, 2, 3, needs_context=True),
    "startsWith": Function(starts_with, 2, 2),
    "multiSearchAnyCaseInsensitive": Function(multi_search_any_case_insensitive, 2, 2, needs_context=True),
}
