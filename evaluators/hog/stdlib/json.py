"""JSON: parsing, writing and reading along a path.

Parsing follows RFC 8259: no NaN, no trailing commas. Integers keep all their digits. A document nested more than
1024 levels deep is not JSON here, whatever the depth of the calls around it.
"""

from __future__ import annotations

import json
import math

import msgspec
import orjson

from evaluators.hog.runtime.context import FREE_CHARS, Context
from evaluators.hog.runtime.copies import to_json
from evaluators.hog.runtime.errors import HogInputError, HogJSONError
from evaluators.hog.runtime.functions import Function
from evaluators.hog.runtime.text_forms import integer_text
from evaluators.hog.runtime.values import MAX_DIGITS, Value
from evaluators.hog.stdlib.arguments import (
    CHARS_PER_STEP,
    as_integer,
    as_text,
    charge_text,
    shown,
)
from evaluators.hog.stdlib.conversion import to_float, to_int

_SAFE_CONTAINERS = 400
"""With at most so many brackets a document cannot be nested too deeply for any decoder."""
_ARRAY_BYTES = 64
_OBJECT_BYTES = 200
_MEMBER_BYTES = 48
_decode = msgspec.json.decode


def _parse(ctx: Context, text: str) -> Value:
    """Return the value of a JSON text. HogJSONError if it is none."""
    if len(text) > FREE_CHARS and _charge_document(ctx, text) > _SAFE_CONTAINERS:
        _parse_to_limit(text)  # its fixed limit of depth decides, not the stack at hand
    try:
        return _decode(text)
    except RecursionError:
        return _parse_to_limit(text)
    except (msgspec.MsgspecError, UnicodeEncodeError) as error:
        raise _not_json(error) from None


def _parse_to_limit(text: str) -> Value:
    """Parse with a limit of depth that is the same on any stack; integers of 20 digits and more become floats."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        if "infinity" in str(error):  # an integer of more than 308 digits, which the other decoder takes
            return None
        raise _not_json(error) from None


def _not_json(error: Exception) -> HogJSONError:
    if isinstance(error, UnicodeEncodeError):
        return HogJSONError("Not valid JSON: half of a surrogate pair")
    return HogJSONError(f"Not valid JSON: {str(error).removeprefix('JSON is malformed: ')}")


def _charge_document(ctx: Context, text: str) -> int:
    """Charge what a document becomes at most, by its punctuation, and return how many containers it has."""
    arrays, objects = text.count("["), text.count("{")
    members = text.count(",")
    ctx.charge(len(text) + arrays * _ARRAY_BYTES + objects * _OBJECT_BYTES + members * _MEMBER_BYTES)
    ctx.step(len(text) // CHARS_PER_STEP)
    return arrays + objects


def json_parse(ctx: Context, value: Value) -> Value:
    """Return the value of a JSON text; null gives null."""
    if value is None:
        return None
    return _parse(ctx, as_text("jsonParse", "its argument", value))


def is_valid_json(ctx: Context, value: Value) -> bool:
    """Whether a text is JSON; false if the value is not a text."""
    if type(value) is not str:
        return False
    try:
        _parse(ctx, value)
    except HogJSONError:
        return False
    return True


# ------------------------------------------------------------------------------------------------ writing


def json_stringify(ctx: Context, value: Value, indent: Value = None) -> str:
    """Return JSON with `", "` and `": "` between parts, characters beyond ASCII escaped, as PostHog writes it.

    A cycle, NaN and the infinities become null, tuples arrays, dates ISO 8601, functions their print form.
    """
    width = 0 if indent is None else as_integer("jsonStringify", "the indent", indent)
    width = min(max(width, 0), 10)
    if type(value) is str or type(value) is int or value is None or type(value) is bool:
        charge_text(ctx, 6 * len(value) if type(value) is str else 0)
        return integer_text(value) if type(value) is int else json.dumps(value)
    plain = to_json(value, ctx)
    if type(plain) is dict or type(plain) is list:
        ctx.charge(_written_bytes(ctx, plain, width))
    try:
        return json.dumps(plain, indent=width or None)
    except ValueError:  # to_json leaves nothing else that the encoder refuses
        raise HogInputError(f"jsonStringify got an integer of more than {MAX_DIGITS} digits") from None


def _written_bytes(ctx: Context, plain: Value, width: int) -> int:
    """Return about how long the JSON of a plain value is at most."""
    total, level, depth = 0, [plain], 1
    while level:
        below: list[Value] = []
        for item in level:
            members = item.values() if type(item) is dict else item
            ctx.step(1 + len(members))
            total += (len(members) + 1) * (2 + (1 + width * depth if width else 0))
            if type(item) is dict:
                total += sum(map(_leaf_bytes, item))
            for member in members:
                if type(member) is dict or type(member) is list:
                    below.append(member)
                else:
                    total += _leaf_bytes(member)
        level, depth = below, depth + 1
    return total


def _leaf_bytes(leaf: Value) -> int:
    if type(leaf) is str:
        return 2 + (2 * len(leaf) if leaf.isascii() else 6 * len(leaf))
    return leaf.bit_length() // 3 + 2 if type(leaf) is int else 24


# --------------------------------------------------------------------------------------------- along a path

_MISSING = object()


def _document(ctx: Context, value: Value) -> Value:
    """Return the value, decoded if it is a text; `_MISSING` if the text is not JSON."""
    if type(value) is not str:
        return value
    try:
        return _parse(ctx, value)
    except HogJSONError:
        return _MISSING


def _member(value: Value, key: Value) -> Value:
    """Return the element at a 1-based position or the value of a key; `_MISSING` if there is none, as for 0."""
    if type(value) is dict:
        return value.get(key, _MISSING) if type(key) is str or type(key) is int else _MISSING
    if (type(value) is list or type(value) is tuple) and type(key) is int and key and -len(value) <= key <= len(value):
        return value[key - 1 if key > 0 else key]
    return _MISSING


def _at(ctx: Context, value: Value, path: tuple[Value, ...]) -> Value:
    """Return the value at the end of a path into a value or a JSON text, or None."""
    current = _document(ctx, value)
    for key in path:
        current = _member(current, key)
    return None if current is _MISSING else current


def json_has(ctx: Context, value: Value, *path: Value) -> bool:
    """Whether there is anything at the end of a path; texts on the way are read as JSON."""
    current = _document(ctx, value)
    for key in path:
        current = _member(_document(ctx, current), key)
        if current is _MISSING:
            return False
    return current is not _MISSING and value is not None


def json_length(ctx: Context, value: Value, *path: Value) -> int:
    """Count the elements or keys at the end of a path; 0 if there is no array or object."""
    found = _at(ctx, value, path)
    return len(found) if type(found) is list or type(found) is dict or type(found) is tuple else 0


def json_extract(ctx: Context, value: Value, *path_and_type: Value) -> Value:
    """Return the value at the end of a path. The last argument, a ClickHouse type, is not looked at."""
    return _at(ctx, value, path_and_type[:-1])


def json_extract_string(ctx: Context, value: Value, *path: Value) -> str | None:
    """Return the value at the end of a path as text, or null."""
    found = _at(ctx, value, path)
    return None if found is None else shown(ctx, found)


def json_extract_int(ctx: Context, value: Value, *path: Value) -> int | None:
    """Return the value at the end of a path as `toInt` gives it."""
    return to_int(_at(ctx, value, path))


def json_extract_float(ctx: Context, value: Value, *path: Value) -> float | None:
    """Return the value at the end of a path as `toFloat` gives it."""
    found = to_float(_at(ctx, value, path))
    return found if found is None or math.isfinite(found) else None


def json_extract_bool(ctx: Context, value: Value, *path: Value) -> bool | None:
    """Whether there is a true at the end of a path; null at position 0, as for the whole family."""
    if any(type(key) is int and not key for key in path):
        return None
    return _at(ctx, value, path) is True


def json_extract_array_raw(ctx: Context, value: Value, *path: Value) -> list[Value] | None:
    """Return the array at the end of a path, or null."""
    found = _at(ctx, value, path)
    return list(found) if type(found) is list or type(found) is tuple else None


FUNCTIONS = {
    "jsonParse": Function(json_parse, 1, 1, needs_context=True),
    "isValidJSON": Function(is_valid_json, 1, 1, needs_context=True),
    "jsonStringify": Function(json_stringify, 1, 2, needs_context=True),
    "JSONHas": Function(json_has, 1, None, needs_context=True),
    "JSONLength": Function(json_length, 1, None, needs_context=True),
    "JSONExtract": Function(json_extract, 2, None, needs_context=True),
    "JSONExtractString": Function(json_extract_string, 1, None, needs_context=True),
    "JSONExtractInt": Function(json_extract_int, 1, None, needs_context=True),
    "JSONExtractFloat": Function(json_extract_float, 1, None, needs_context=True),
    "JSONExtractBool": Function(json_extract_bool, 1, None, needs_context=True),
    "JSONExtractArrayRaw": Function(json_extract_array_raw, 1, None, needs_context=True),
}
