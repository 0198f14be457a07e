"""Binary data and embedding vectors in texts become marks: no prompt carries them.

RE2 finds candidates in linear time; whether a candidate is data is decided by its characters. Everything works on
UTF-8 bytes, because positions in characters would have to be counted anew for every hit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import groupby, islice
from typing import Any
from urllib.parse import unquote_to_bytes

import re2

LONG_RUN = 256
"""Characters without a blank from which on a text may be encoded data."""

MANY_NUMBERS = 64
"""Numbers in a row from which on they may be a vector."""

_MANY_BYTES = 256
"""Numbers of 0 to 255 in a row from which on they are a file's bytes."""

_MOST_URLS = 2000
_DATA_URL = re2.compile(rb"(?i)data:(?:[a-z]+/[a-z0-9.+*-]+)?(?: ?; ?[a-z0-9=_.+-]+)*,[a-z0-9+/=_%.~!*\\-]*")
_RUN = re2.compile(rb"(?:[A-Za-z0-9+/_-]|\\/|%2[BFbf]){60,}(?:=|%3[Dd]){0,2}")
_NUMBERS = re2.compile(rb"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?:\s*,\s*-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?){7,}")
_BYTES = re2.compile(rb"(?:\s*-?(?:[01]?\d?\d|2[0-4]\d|25[0-5])\s*(?:,|$))+")
_KEYED_BYTES = re2.compile(rb'"\d+"\s*:\s*\d{1,3}(?:\s*,\s*"\d+"\s*:\s*\d{1,3}){7,}')
_ESCAPED_BYTES = re2.compile(rb"(?:\\\\?x[0-9a-fA-F]{2}[ -\[\]-~]{0,3}){32,}")
_LAST_LINE = re2.compile(rb"((?:\r?\n[ \t]*|(?:\\r)?\\n)([A-Za-z0-9+/]{1,60}={0,2}))(?:\s|\\|[\"'`)]|$)")
_LINE_BREAK = re2.compile(rb"[ \t]{0,2}(?:\r?\n[ \t]*(?:[>|#*]+[ \t]*)*|\\(?:r\\)?|[ \t])")
"""Separators of the lines of wrapped Base64: also in JSON (where the `n` of `\\\\n` counts as data), with an
indentation, quoted as in a mail, or joined by blanks."""
_QUOTED_BREAK = re2.compile(rb"\\?[\"'][ \t]{0,2}[+,.\\]?\s*\\?[\"']")
"""The same where each line is a text in quotation marks, in a list or in code."""
_Span = tuple[int, int]
_Edit = tuple[int, int, bytes]
"""The first byte of a replaced piece, the byte behind it, and its replacement."""
_MOST_BREAK = 24
_SHORT_LINES = (
    rb"(?:[ \t]{0,12}(?:[>|#*]+[ \t]{0,4})*[A-Za-z0-9+/_-]{16,59}[ \t]{0,2}(?:\r?\n|(?:\\r)?\\n)){4,}"
    rb"[ \t]{0,12}(?:[>|#*]+[ \t]{0,4})*(?:[A-Za-z0-9+/_-]{1,59}={0,2})?"
)
_SHORT_LINE = re2.compile(rb"[A-Za-z0-9+/_-]+={0,2}")
_NEW_LINE = re2.compile(rb"\r?\n|(?:\\r)?\\n")
_PERCENT = rb"(?:%[0-9A-Fa-f]{2}[A-Za-z0-9_.~!*()'-]?){8,}"
_HEX_PAIRS = rb"(?:(?:0[xX])?[0-9a-fA-F]{2}(?:[ \t]{0,2}[,:;][ \t]{0,2}|[ \t]{1,2})?(?:\r?\n[ \t]*)?){8,}"
_HEX_DUMP = (
    rb"(?m:(?:^[ \t>|]{0,12}[0-9a-fA-F]{4,16}:?[ \t]{1,4}(?:[0-9a-fA-F]{2,8}[ \t]{1,3}){4,16}[^\n]{0,40}(?:\n|$)){4,})"
)
_WRITTEN_OUT = re2.compile(b"|".join(b"(%s)" % each for each in (_SHORT_LINES, _HEX_DUMP, _HEX_PAIRS, _PERCENT)))
"""Data in another form than one long run, in one pass."""
_GROUP_BREAK = rb"(?:[ \t]{1,2}|[ \t]{0,2}(?:\r?\n|(?:\\r)?\\n)[ \t]{0,12})"
_GROUPS = re2.compile(
    rb"(?:(?:[A-Za-z0-9+/_-]{4}){1,14}%(b)s){4,}[A-Za-z0-9+/_-]{2,56}={0,2}"
    rb"|(?:(?:[A-Za-z0-9+/_-]{5}){1,8}%(b)s){4,}[A-Za-z0-9+/_-]{2,40}={0,2}" % {b"b": _GROUP_BREAK}
)
"""Base64 in groups of equal length. Words of four, eight or twelve letters seldom follow each other."""
_GROUP = re2.compile(rb"(?:\\[rn])?([A-Za-z0-9+/_-]+={0,2})")
_BASE85 = re2.compile(rb"<~[!-uz\s]{200,}~>|[0-9A-Za-z!#$%&()*+;<=>?@^_`{|}~./:\[\]-]{256,}")
"""Ascii85 in its frame, and the alphabets of base85 that quotation marks end: RFC 1924's, Git's and ZeroMQ's."""
_DECIMAL_BYTES = re2.compile(rb"\b\d{1,3}(?:(?:[ \t]{1,3}\d{1,3}){255,}|(?:\r?\n\d{1,3}){255,})\b")
"""Numbers on one line, or one a line. Several a line are a table."""
_SAMPLE = 4096
_MOST_OF_ONE = 0.05
"""Share of one character above which a text is not encoded data: letters of a language and marks of code have more."""
_LEAST_KINDS, _MOST_IN_SHORT = 60, 14
_SMALL, _CAPITAL, _DIGITS = b"abcdefghijklmnopqrstuvwxyz", b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", b"0123456789"
_HEX_WORD = re2.compile(rb"\b[0-9a-fA-F]{2,8}\b")
_BEGINNINGS = (
    (b"iVBORw0KGgo", "image"), (b"/9j/", "image"), (b"R0lGOD", "image"), (b"Qk", "image"), (b"PHN2Zy", "image"),
    (b"SUkq", "image"), (b"UklGR", "image"), (b"JVBERi0", "file"), (b"UEsDB", "file"), (b"SUQz", "audio"),
    (b"//uQ", "audio"), (b"T2dnU", "audio"), (b"ZkxhQ", "audio"), (b"AAAAIGZ0eX", "video"), (b"AAAAGGZ0eX", "video"),
    (b"AAAAHGZ0eX", "video"), (b"GkXfo", "video"),
)  # fmt: skip
"""The beginnings of Base64 of known file formats."""


def scrubbed(text: str) -> str:
    """Return `text` with data URLs, Base64, hexadecimal dumps and vectors as marks such as `[image]`. Linear time."""
    return _scrub(text)[0]


def scrubbed_with_origin(text: str) -> tuple[str, Callable[[int], int]]:
    """Return `scrubbed(text)`, and a function from the characters before a place in it to those before it in `text`.

    A place within a mark is where its data begins.
    """
    made, passes = _scrub(text)

    def origin(at: int) -> int:
        byte = len(made[:at].encode("utf-8", "surrogatepass"))
        for edits in reversed(passes):
            byte = _before(edits, byte)
        return len(text.encode("utf-8", "surrogatepass")[:byte].decode("utf-8", "surrogatepass")) if passes else at

    return made, origin


def without_data_urls(text: str) -> str:
    """Return `text` with `[image]`, `[audio]`, `[video]` or `[file]` in the place of data URLs."""
    return _without_data_urls(text)[0]


def _scrub(text: str) -> tuple[str, list[list[_Edit]]]:
    """Return the scrubbed text, and the edits of each pass over its bytes that changed something."""
    text, edits = _without_data_urls(text)
    passes = [edits] if edits else []
    if len(text) < LONG_RUN:
        return text, passes
    data = before = text.encode("utf-8", "surrogatepass")

    def take(edits: list[_Edit]) -> None:
        nonlocal data
        if edits:
            passes.append(edits)
            data = _edited(data, edits)

    take(_encoded(data))
    take(_edits(data, _WRITTEN_OUT, _lines_mark, _dump_mark, _pairs_mark, _percent_mark))
    take(_group_edits(data))
    take(_edits(data, _BASE85, _base85_mark))
    take(_edits(data, _DECIMAL_BYTES, _decimal_mark))
    if b"\\x" in data:
        take(_edits(data, _ESCAPED_BYTES, _data_mark))
    if data.count(b",") >= MANY_NUMBERS - 1:
        take(_edits(data, _NUMBERS, _numbers_mark))
        take(_edits(data, _KEYED_BYTES, _keyed_mark))
    return (text if data is before else data.decode("utf-8", "surrogatepass")), passes


def _without_data_urls(text: str) -> tuple[str, list[_Edit]]:
    if "data:" not in text and "data:" not in text.lower():
        return text, []
    data = text.encode("utf-8", "surrogatepass")
    edits = _edits(data, _DATA_URL, _url_mark)
    return (_edited(data, edits).decode("utf-8", "surrogatepass") if edits else text), edits


def split_data_urls(text: str) -> list[str]:
    """Return `text` in pieces: every second one is a data URL of 256 characters or more.

    Linear time. Only the first 2000 URLs are looked at.
    """
    if len(text) < LONG_RUN or "data:" not in text:
        return [text]
    data = text.encode("utf-8", "surrogatepass")
    pieces, at = [], 0
    for found in islice(_DATA_URL.finditer(data), _MOST_URLS):
        start, end = found.span()
        if end - start >= LONG_RUN:
            pieces += [data[at:start], data[start:end]]
            at = end
    return [each.decode("utf-8", "surrogatepass") for each in (*pieces, data[at:])] if pieces else [text]


def _edited(data: bytes, edits: list[_Edit]) -> bytes:
    pieces: list[bytes] = []
    at = 0
    for start, end, new in edits:
        pieces += [data[at:start], new]
        at = end
    return b"".join([*pieces, data[at:]])


def _before(edits: list[_Edit], at: int) -> int:
    """Return the place before `edits` that `at` behind them comes from."""
    for start, end, new in edits:
        if at <= start:
            return at
        if at < start + len(new):
            return start
        at += end - start - len(new)
    return at


def _encoded(data: bytes) -> list[_Edit]:
    """Return marks for encoded data, which may be wrapped into lines."""
    edits: list[_Edit] = []
    start = end = begun = 0
    spans = [found.span() for found in _RUN.finditer(data)]
    for index, (first, last) in enumerate(spans):
        if not end or not _goes_on(data, spans[index - 1], (first, last), spans[begun]):
            start, begun = first, index
        end = last
        if index + 1 < len(spans) and _goes_on(data, (first, last), spans[index + 1], spans[begun]):
            continue  # the next line of the same data
        mark = _encoded_mark(data[start:end]) if end - start >= LONG_RUN else None
        if mark is not None:
            edits.append((start, end + (_last_line(data, end) if start != first else 0), mark))
    return edits


def _goes_on(data: bytes, line: _Span, following: _Span, first: _Span) -> bool:
    """Whether the data of a line goes on in the following one; quoted lines must be as long as the first one."""
    between = data[line[1] : following[0]] if following[0] - line[1] <= _MOST_BREAK else b"longer"
    if _LINE_BREAK.fullmatch(between):
        return True
    length = first[1] - first[0]
    is_slice = line[1] - line[0] == length and following[1] - following[0] <= length
    return is_slice and _QUOTED_BREAK.fullmatch(between) is not None


def _last_line(data: bytes, end: int) -> int:
    """Return the length of the last, shorter line of wrapped data that ends at `end`, with the break before it."""
    found = _LAST_LINE.match(data[end : end + 80])
    if found is None:
        return 0
    return int(found.end(1)) if _ends_data(found[2]) else 0


def _ends_data(line: bytes) -> bool:
    """Whether a shorter line may be the last one of wrapped data."""
    mixed = line.lower() != line and line.upper() != line and line[1:].lower() != line[1:]
    return len(line) % 4 == 0 and (mixed or line.endswith(b"="))


def _edits(data: bytes, pattern: Any, *marks: Callable[[bytes], bytes | None]) -> list[_Edit]:
    """Return the marks of all hits that have one.

    With several `marks`, the pattern has as many groups, one of which is the hit.
    """
    edits: list[_Edit] = []
    for found in pattern.finditer(data):
        start, end = found.span()  # RE2 takes several times as long for the text of a hit
        new = marks[(found.lastindex or 1) - 1 if len(marks) > 1 else 0](data[start:end])
        if new is not None:
            edits.append((start, end, new))
    return edits


def _url_mark(hit: bytes) -> bytes | None:
    head = hit[5 : hit.find(b",")].lower()
    kind = head.partition(b"/")[0].decode("ascii")
    if hit.endswith(b",") or (len(hit) < LONG_RUN and not head.endswith(b"base64")):
        return None
    return f"[{kind if kind in ('image', 'audio', 'video') else 'file'}]".encode()


def _encoded_mark(hit: bytes) -> bytes | None:
    for beginning, kind in _BEGINNINGS:
        if hit.startswith(beginning):
            return f"[{kind}]".encode()
    if not hit.strip(b"A="):
        return b"[data]"  # zeros
    digits = any(0x30 <= byte <= 0x39 for byte in hit[:1024])
    lower, upper = hit.upper() != hit, hit.lower() != hit
    if not digits or not (lower or upper):
        return None
    is_hex = not hit.strip(b"0123456789abcdefABCDEF")
    return b"[data]" if (lower and upper) or is_hex else None


def _lines_mark(hit: bytes) -> bytes | None:
    """Return `hit` with a mark for its lines of equal length, which Base64 has when it is wrapped."""
    lines = [found[0] for found in _SHORT_LINE.finditer(_NEW_LINE.sub(b"\n", hit))]
    if len(lines[-1]) != len(lines[0]) and not _ends_data(lines[-1]):
        del lines[-1]
    joined = b"".join(lines)
    if (
        len(joined) < LONG_RUN
        or any(len(line) != len(lines[0]) for line in lines[:-1])
        or len(lines[-1]) > len(lines[0])
    ):
        return None
    is_hex = not joined.strip(b"0123456789abcdefABCDEF")
    mark = None if is_hex else _encoded_mark(joined)
    return None if mark is None else mark + hit[hit.rfind(lines[-1]) + len(lines[-1]) :]


def _group_edits(data: bytes) -> list[_Edit]:
    """Return marks for Base64 in groups, without words of the same length before and behind it."""
    edits: list[_Edit] = []
    for found in _GROUPS.finditer(data):
        hit, begin = found[0], found.start()
        if hit in (hit.lower(), hit.upper()):
            continue
        spans = [each.span(1) for each in _GROUP.finditer(hit)]
        for length, run in groupby(range(len(spans)), key=lambda index: spans[index][1] - spans[index][0]):
            indexes = list(run)
            groups = [hit[slice(*spans[index])] for index in indexes]
            if len(indexes) * length < LONG_RUN or sum(map(_is_mixed, groups)) * 2 < len(groups):
                continue
            ends = [place for place, group in enumerate(groups) if not _is_word(group)]
            first, last = indexes[ends[0]], indexes[ends[-1]]
            if ends[-1] == len(groups) - 1 and last + 1 < len(spans):
                behind = hit[slice(*spans[last + 1])]
                last += len(behind) < length and _ends_data(behind)
            mark = _encoded_mark(b"".join(hit[slice(*span)] for span in spans[first : last + 1]))
            if mark is not None:
                edits.append((begin + spans[first][0], begin + spans[last][1], mark))
    return edits


def _is_mixed(group: bytes) -> bool:
    """Whether a group has small and capital letters in an order that no word has."""
    return group[1:].lower() != group[1:] and group.upper() != group


def _is_word(group: bytes) -> bool:
    return group.isalpha() and (group.islower() or group.istitle())


def _base85_mark(hit: bytes) -> bytes | None:
    """Return the mark of base85, in which all characters are about as frequent; None for code and all other texts."""
    sample = b"".join(hit[:_SAMPLE].split())
    if len(set(sample)) < _LEAST_KINDS:
        return None
    seen = Counter(sample)
    if max(seen.values()) > max(_MOST_OF_ONE * len(sample), _MOST_IN_SHORT):
        return None
    classes = [sum(seen[each] for each in kind) for kind in (_SMALL, _CAPITAL, _DIGITS)]
    marks = len(sample) - sum(classes)
    return b"[data]" if all(count * 20 > len(sample) for count in (*classes, marks)) else None


def _decimal_mark(hit: bytes) -> bytes | None:
    """Return the mark of bytes that are written as numbers between blanks; None for other numbers of this size."""
    numbers = [int(number) for number in hit.split()]
    has_range = min(numbers) < 32 and 192 <= max(numbers) < 256 and len(set(numbers)) >= MANY_NUMBERS
    return f"{len(numbers)} numbers".encode() if has_range and numbers != sorted(numbers) else None


def _dump_mark(hit: bytes) -> bytes | None:
    """Return the mark of a hexadecimal dump; None for a table of numbers, which has no letters."""
    words = _HEX_WORD.findall(hit)
    return b"[data]" if sum(not word.isdigit() for word in words) * 4 >= len(words) and _are_bytes(words) else None


def _pairs_mark(hit: bytes) -> bytes | None:
    """Return the mark of bytes that are written as hexadecimal numbers; None for decimal ones, for one number, and for
    order numbers.
    """
    words = _HEX_WORD.findall(hit) if b"x" not in hit and b"X" not in hit else []
    if words and (len(words) < MANY_NUMBERS or not _are_bytes(words)):
        return None
    return b"[data]" if words or hit.lower().count(b"0x") >= MANY_NUMBERS else None


def _are_bytes(words: list[bytes]) -> bool:
    """Whether hexadecimal words have letters and digits in the same place. Order numbers such as `AB95` have not."""
    coded = [word for word in words if len(word) == 2 or not word.isdigit()]  # a table has other numbers too
    for place in range(max(map(len, words))):
        column = [word[place] for word in coded if len(word) > place]
        letters = sum(byte > _DIGITS[-1] for byte in column)
        if min(letters, len(column) - letters) * 16 >= len(words):
            return True
    return False


def _percent_mark(hit: bytes) -> bytes | None:
    """Return the mark of percent-encoded bytes; None if they are a text, as in the address of a page, or few."""
    if hit.count(b"%") < MANY_NUMBERS:
        return None
    try:
        return None if unquote_to_bytes(hit).decode("utf-8").isprintable() else b"[data]"
    except UnicodeDecodeError:
        return b"[data]"


def _numbers_mark(hit: bytes) -> bytes | None:
    count = hit.count(b",") + 1
    if count < MANY_NUMBERS:
        return None
    if hit.count(b".") * 2 >= count:
        return f"{count} numbers".encode()
    is_bytes = count >= _MANY_BYTES and _BYTES.fullmatch(hit) is not None
    return f"{count} numbers".encode() if is_bytes else None


def _data_mark(_hit: bytes) -> bytes:
    return b"[data]"


def _keyed_mark(hit: bytes) -> bytes | None:
    """Return the mark of bytes that a typed array was logged as, `{"0":137,"1":80,...}`."""
    return b'"data":"[data]"' if hit.count(b":") >= MANY_NUMBERS else None
