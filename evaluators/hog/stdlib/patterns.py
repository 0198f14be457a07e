"""Regexes (RE2, in linear time) and `like` patterns as functions: what the operators do."""

from __future__ import annotations

from evaluators.hog.runtime import operations
from evaluators.hog.runtime.context import Context
from evaluators.hog.runtime.functions import Function
from evaluators.hog.runtime.regex import extract
from evaluators.hog.runtime.values import Value
from evaluators.hog.stdlib.arguments import as_text


def match(ctx: Context, value: Value, pattern: Value) -> bool:
    """Return what `value =~ pattern` gives: false if either is null or empty."""
    return operations.regex(ctx, pattern, value)


def extract_regex(ctx: Context, value: Value, pattern: Value) -> str:
    """Return the first group of the first match, the match if there are no groups, `''` if it does not match."""
    if value is None or pattern is None:
        return ""
    haystack = as_text("extractRegex", "the text", value)
    return extract(ctx, haystack, as_text("extractRegex", "the pattern", pattern))


def like(ctx: Context, value: Value, pattern: Value) -> bool:
    """Return what `value like pattern` gives."""
    return operations.like(ctx, pattern, value)


def ilike(ctx: Context, value: Value, pattern: Value) -> bool:
    """Return what `value ilike pattern` gives."""
    return operations.ilike(ctx, pattern, value)


def not_like(ctx: Context, value: Value, pattern: Value) -> bool:
    """Return what `value not like pattern` gives."""
    return not operations.like(ctx, pattern, value)


def not_ilike(ctx: Context, value: Value, pattern: Value) -> bool:
    """Return what `value not ilike pattern` gives."""
    return not operations.ilike(ctx, pattern, value)


FUNCTIONS = {
    "match": Function(match, 2, 2, needs_context=True),
    "extractRegex": Function(extract_regex, 2, 2, needs_context=True),
    "like": Function(like, 2, 2, needs_context=True),
    "ilike": Function(ilike, 2, 2, needs_context=True),
    "notLike": Function(not_like, 2, 2, needs_context=True),
    "notILike": Function(not_ilike, 2, 2, needs_context=True),
}
