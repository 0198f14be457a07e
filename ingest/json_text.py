"""JSON of strangers: repaired where one bad value must not cost a batch, and bounded in depth, all in linear time.

msgspec checks JSON without making values of it, so nested containers cost no memory. It refuses what some clients do
send: `NaN`, lone surrogates. Such a text is repaired as text and read again.
"""

from __future__ import annotations

import codecs
import re
import threading
from collections.abc import Iterator
from itertools import accumulate
from typing import TypeVar

import msgspec
import re2

from ingest.answers import Refusal, invalid
from ingest.limits import MAX_DEPTH, MAX_ELEMENTS, MAX_EVENTS, MAX_FIELD_CHARS

_T = TypeVar("_T")
_utf8_decoder = codecs.getincrementaldecoder("utf-8")
_PIECE = 1024 * 1024
_decode_string = msgspec.json.Decoder(str).decode
_REPLACEMENT = b"\\ufffd"
_ESCAPED_BYTES = len(r"\ud83d\ude00")
"""The longest way to write one character."""
_find_nul_escape = re2.compile(rb"\\u0000").search
"""`in` takes three times as long as the whole of decoding does, because it does not use vector instructions."""
# Every alternative begins with a different character or cannot fail half-way, so the scan never goes back far.
_ESCAPES = re.compile(
    rb"\\\\"
    rb"|\\u(?:0000|[dD][89abAB][0-9a-fA-F]{2}(?:\\u[dD][c-fC-F][0-9a-fA-F]{2})?|[dD][c-fC-F][0-9a-fA-F]{2})"
)
_find_not_finite = re2.compile(rb"-?Infinity|NaN").finditer
_NO_STRUCTURE = bytes(set(range(256)) - set(b'[]{},"'))
_COMMA = ord(",")
_SHORT_ARRAY = 1024 * 1024
_MAX_STRUCTURE, _MAX_QUOTES = 4_000_000, 2_000_000
"""Brackets and commas, and quotes, of an array whose elements are counted; more take too much time and memory."""
_MEMBER_BYTES = len('"":1,')
_MAX_REPAIRED = 1_000_000
"""Strings, escapes and numbers of a text that is repaired; each takes up to a microsecond."""
_NO_BRACKETS = bytes(set(range(256)) - set(b'[]{}"'))
_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_STEP_OF = [0] * 256
_STEP_OF[ord("[")], _STEP_OF[ord("]")] = 1, -1
_STRUCTURE_PIECE = 64 * 1024
"""Bytes that are looked at in one step, between which other threads may go on."""
_FLATTENED = 4
"""Levels that are taken away from the inside before the others are counted one bracket after the other."""


def decode(text: bytes, decoder: msgspec.json.Decoder[_T]) -> tuple[_T, bytes]:
    """Return what `decoder` makes of `text`, and the text that it was made of, which may be a repaired one.

    NUL and lone surrogates become U+FFFD, numbers that are not finite become null.

    Raises:
        Refusal: 400, it is not JSON, or nested too deeply; 413, it has too many elements.
        msgspec.ValidationError: it is JSON, but of another shape than the decoder's.
    """
    reset_count()
    _check_utf8(text)
    if b"\0" in text or has_nul_escape(text):
        text = repair(text)
    try:
        return decoder.decode(text), text
    except msgspec.ValidationError:
        raise
    except TooMany as error:
        raise too_many() from error
    except RecursionError as error:
        raise too_deep() from error
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    text = repair(text)
    reset_count()
    try:
        return decoder.decode(text), text
    except msgspec.ValidationError:
        raise
    except TooMany as error:
        raise too_many() from error
    except RecursionError as error:
        raise too_deep() from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise invalid("parse_error", f"The body is not JSON: {_where(error)}.") from error


def has_nul_escape(text: bytes) -> bool:
    """Return whether JSON text may hold the character NUL as an escape."""
    return _find_nul_escape(text) is not None


def is_too_deep(text: bytes) -> bool:
    """Return whether valid JSON is nested over the limit."""
    left = MAX_DEPTH
    for opening in (b"{", b"["):  # few are found faster than they are counted
        at = text.find(opening)
        while at >= 0 and left >= 0:
            left -= 1
            at = text.find(opening, at + 1)
    if left >= 0:
        return False
    brackets = b"".join(_structure(text, _NO_BRACKETS))
    for _ in range(_FLATTENED):
        brackets = brackets.replace(b"[]", b"")
    depth = deepest = 0
    for start in range(0, len(brackets), _STRUCTURE_PIECE):
        depths = _depths(brackets[start : start + _STRUCTURE_PIECE], depth)
        depth = depths[-1]
        deepest = max(deepest, *depths)
    return deepest > MAX_DEPTH - _FLATTENED


def _structure(text: bytes, others: bytes) -> Iterator[bytes]:
    """Yield the brackets, all written `[` and `]`, and the commas that are not inside strings, in pieces.

    Args:
        others: the characters that are not wanted; quotes are not among them.
    """
    text = text.replace(rb"\\", b"").replace(rb"\"", b"")  # every quote that is left begins or ends a string
    inside = 0
    for start in range(0, len(text), _STRUCTURE_PIECE):
        piece = text[start : start + _STRUCTURE_PIECE].translate(_ONE_KIND, others)
        parts = piece.replace(b'""', b"").split(b'"')
        yield b"".join(parts[inside::2])
        inside ^= (len(parts) - 1) & 1


def _depths(structure: bytes, before: int) -> list[int]:
    """Return the depth before the first character and behind each."""
    return list(accumulate(map(_STEP_OF.__getitem__, structure), initial=before))


class Counted(msgspec.Struct, gc=False):
    """A struct of which one text may hold only so many: 64 MiB of `{},` would make gigabytes of structs.

    `decode` begins to count anew for each text; each thread has a counter of its own.
    """

    def __post_init__(self) -> None:
        _counter.left -= 1
        if _counter.left < 0:
            raise TooMany


class TooMany(Exception):
    """A text holds more elements than a request may."""


class _Counter(threading.local):
    left = MAX_ELEMENTS


_counter = _Counter()


def reset_count() -> None:
    """Begin to count elements anew, for a text that is decoded without `decode`."""
    _counter.left = MAX_ELEMENTS


def check_elements(text: bytes) -> None:
    """Return if a JSON array has no more elements than a request may have.

    Raises:
        TooMany: it has more. Short texts are not looked at, because their elements are few enough for the memory.
    """
    if len(text) < _SHORT_ARRAY:
        return
    if _has_more(text, MAX_ELEMENTS):
        raise TooMany


def has_more_members(text: bytes, limit: int) -> bool:
    """Return whether a JSON object has more members than `limit`, without making any of them."""
    return len(text) > _MEMBER_BYTES * limit and text.count(b":") > limit and _has_more(text, limit)


def _has_more(text: bytes, limit: int) -> bool:
    """Return whether a JSON array or object has more than `limit` elements, or too many to be counted at all."""
    if text.count(b'"') > _MAX_QUOTES:
        return True
    depth = found = size = 0
    for structure in _structure(text, _NO_STRUCTURE):
        depths = _depths(structure, depth)
        depth = depths[-1]
        size += len(structure)
        found += sum(here == 1 and char == _COMMA for here, char in zip(depths, structure, strict=False))
        if found >= limit or size > _MAX_STRUCTURE:
            return True
    return False


def too_deep() -> Refusal:
    """Return the refusal of a body whose values are nested over the limit."""
    return invalid("too_deep", f"The body is nested more than {MAX_DEPTH} levels deep.")


def too_many() -> Refusal:
    """Return the refusal of a body with more elements than a request may have."""
    return Refusal(413, "too_many_events", f"The request holds more than {MAX_EVENTS} events. Split it.", "batch")


def string_of(raw: bytes) -> str:
    """Return a JSON string's text, and any other JSON value as the JSON that it is written in."""
    if raw[:1] == b'"':
        return _decode_string(raw)
    return str(raw, "utf-8")


def start_of(raw: bytes) -> str:
    """Return the first characters of a JSON string's text, or of any other JSON value as it is written.

    They are enough for every field that has a limit. The whole text could take four times its bytes.
    """
    if len(raw) <= MAX_FIELD_CHARS:
        return string_of(raw)
    piece = raw[: 1 + _ESCAPED_BYTES * MAX_FIELD_CHARS]
    if raw[:1] != b'"':
        return str(piece, "utf-8", "ignore")[:MAX_FIELD_CHARS]
    if len(piece) == len(raw):
        return _decode_string(raw)[:MAX_FIELD_CHARS]
    for end in range(len(piece), len(piece) - _ESCAPED_BYTES, -1):
        try:
            return _decode_string(piece[:end] + b'"')[:MAX_FIELD_CHARS]
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue  # the cut is inside a character
    raise AssertionError("a character of valid JSON has twelve bytes at the most")


def _check_utf8(text: bytes) -> None:
    """Return if a text is UTF-8. It is decoded piece by piece, because one emoji makes four bytes of each character."""
    if text.isascii():
        return
    decoder, view = _utf8_decoder(), memoryview(text)
    try:
        for start in range(0, len(text), _PIECE):
            decoder.decode(view[start : start + _PIECE])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise invalid("parse_error", "The body is not UTF-8.") from error


def repair(text: bytes) -> bytes:
    """Return JSON text with U+FFFD for NUL and lone surrogates, and null for numbers that are not finite.

    Raises:
        Refusal: 413, it has so many strings or escapes that others would wait for seconds.
    """
    if max(map(text.count, (b'"', b"\\", b"\0", b"NaN", b"Infinity"))) > _MAX_REPAIRED:
        detail = (
            "The body holds NUL, lone surrogates, NaN or Infinity, and is too large to be repaired. Send fewer events."
        )
        raise Refusal(413, "request_too_large", detail)
    text = text.replace(b"\0", "\ufffd".encode())
    if b"\\u" in text:
        text = _ESCAPES.sub(_mend_escape, text)
    if b"NaN" in text or b"Infinity" in text:
        text = _mend_numbers(text)
    return text


def _mend_escape(match: re.Match[bytes]) -> bytes:
    found = match[0]
    return found if found == b"\\\\" or len(found) == 12 else _REPLACEMENT


def _mend_numbers(text: bytes) -> bytes:
    """Return JSON text with null for the numbers that are not finite. The same words inside strings stay."""
    # It has the same length, and every quote in it begins or ends a string.
    flat = text.replace(rb"\\", b"  ").replace(rb"\"", b"  ")
    pieces: list[bytes] = []
    kept = looked = inside = 0
    for match in _find_not_finite(text):
        start, end = match.span()
        inside ^= flat.count(b'"', looked, start) & 1
        looked = start
        if not inside:
            pieces += (text[kept:start], b"null")
            kept = end
    return b"".join((*pieces, text[kept:]))


def _where(error: Exception) -> str:
    text = str(error).removeprefix("JSON is malformed: ")
    return text if len(text) < 100 else "it is damaged"
