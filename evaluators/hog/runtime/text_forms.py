"""Values as text: the print form, and what `||`, templates and `print` make of a value."""

from __future__ import annotations

import re

from evaluators.hog.runtime.errors import HogDepthExceeded, HogMemoryExceeded, HogTypeError
from evaluators.hog.runtime.meter import MAX_NESTING, Allowance, Meter, too_deep
from evaluators.hog.runtime.values import (
    MAX_DIGITS,
    HogDate,
    HogDateTime,
    HogError,
    HogFunction,
    HogInterval,
    Value,
    text_bytes,
)

MAX_TEXT_BITS = 256 * 1024
"""Bits of an integer that can be shown: the time that it takes grows with their square."""

LONG_TEXT = 256
"""Characters from which on a text is charged, and escaped in the way that suits long ones."""

_SHORT_INTEGER = 1 << 128
_PIECE_BYTES = 64
_CHUNK = 10**MAX_DIGITS
_PLAIN_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*\Z")
_ESCAPES = {
    "\\": "\\\\",
    "\b": "\\b",
    "\f": "\\f",
    "\r": "\\r",
    "\n": "\\n",
    "\t": "\\t",
    "\0": "\\0",
    "\a": "\\a",
    "\v": "\\v",
    "'": "\\'",
}
_ESCAPE_TABLE = str.maketrans(_ESCAPES)


def quote(text: str) -> str:
    """Return the text as a Hog string literal."""
    if len(text) <= LONG_TEXT:
        return "'" + text.translate(_ESCAPE_TABLE) + "'"
    for character, escape in _ESCAPES.items():  # ten times as fast as a translation; the backslash comes first
        text = text.replace(character, escape)
    return "'" + text + "'"


def integer_text(value: int) -> str:
    """Return the decimal digits of an integer of any size (the host alone refuses more than 4300)."""
    if -_CHUNK < value < _CHUNK:
        return str(value)
    if value.bit_length() > MAX_TEXT_BITS:
        raise HogMemoryExceeded(MAX_TEXT_BITS // 8, f"Integer of more than {MAX_TEXT_BITS} bits can not be shown")
    sign, rest, parts = ("-" if value < 0 else ""), abs(value), []
    while rest:
        rest, low = divmod(rest, _CHUNK)
        parts.append(str(low).rjust(MAX_DIGITS, "0") if rest else str(low))
    return sign + "".join(reversed(parts))


def float_text(value: float) -> str:
    """Return a float with its `.0`, or `nan`, `inf`, `-inf`."""
    return repr(value)


class _EnoughError(Exception):
    """As much is written as was asked for."""


class _Writer:
    """Writes the print form of one value as pieces of text.

    `longest`: characters after which it stops by `_EnoughError`, None to write all. Every container is charged
    when it is entered, and every long string, before their pieces are made.
    """

    def __init__(self, meter: Meter, longest: int | None = None) -> None:
        self.pieces: list[str] = []
        self.size = 0
        self.ascii = True
        self._meter = meter
        self._longest = longest
        self._path: list[int] = []

    def write(self, value: Value) -> None:
        """Add the pieces of a value."""
        kind = type(value)
        if kind is str:
            self.add(self._quoted(value))
        elif value is None:
            self.add("null")
        elif kind is bool:
            self.add("true" if value else "false")
        elif kind is int:
            bits = value.bit_length()
            if bits > LONG_TEXT:
                self._meter.step(bits >> 7)
                self._meter.charge(bits >> 1)
            self.add(integer_text(value))
        elif kind is float:
            self.add(float_text(value))
        elif kind is list or kind is tuple or kind is dict or kind is HogError:
            self._enter(value)
        else:
            self.add(_special(value))

    def add(self, piece: str) -> None:
        """Add one piece."""
        self.pieces.append(piece)
        self.size += len(piece)
        if not piece.isascii():
            self.ascii = False
        if self._longest is not None and self.size > self._longest:
            raise _EnoughError

    def text(self) -> str:
        """Join the pieces."""
        if self.size > LONG_TEXT:
            self._meter.charge(self.size if self.ascii else 4 * self.size)
            self._meter.step(self.size >> 8)
        return "".join(self.pieces)

    def _quoted(self, value: str) -> str:
        if self._longest is not None:
            value = value[: self._longest + 1]
        if len(value) > LONG_TEXT:
            self._meter.charge(text_bytes(2 * len(value), value))
            self._meter.step(len(value) >> 6)
        return quote(value)

    def _enter(self, value: Value) -> None:
        """Write a container or an error; a cycle is `null`."""
        path = self._path
        if id(value) in path:
            self.add("null")
            return
        if len(path) >= MAX_NESTING:
            raise too_deep()
        path.append(id(value))
        size = 1 if type(value) is HogError else len(value)
        count = size if self._longest is None else min(size, self._longest)
        self._meter.step(2 + count)
        self._meter.charge(_PIECE_BYTES * (1 + 2 * count))
        if type(value) is dict:
            self._write_object(value)
        elif type(value) is HogError:
            self._write_error(value)
        else:
            before, after = ("[", "]") if type(value) is list else ("(", ")") if size > 1 else ("tuple(", ")")
            self.add(before)
            for index, item in enumerate(value):
                if index:
                    self.add(", ")
                self.write(item)
            self.add(after)
        path.pop()

    def _write_object(self, value: dict[Value, Value]) -> None:
        between = "{"
        for key, item in value.items():
            self.add(between)
            self.write(key)
            self.add(": ")
            self.write(item)
            between = ", "
        self.add("}" if value else "{}")

    def _write_error(self, value: HogError) -> None:
        self.add(f"{value.type}(")
        self.add(self._quoted(value.message))
        if value.payload is not None:
            self.add(", ")
            self.write(value.payload)
        self.add(")")


def _special(value: Value) -> str:
    if isinstance(value, HogDate):
        return f"Date({value.year}, {value.month}, {value.day})"
    if isinstance(value, HogDateTime):
        return f"DateTime({float_text(float(value.epoch_s))}, {quote(value.zone)})"
    if isinstance(value, HogInterval):
        count = integer_text(value.value) if type(value.value) is int else float_text(value.value)
        return f"Interval({count}, {quote(value.unit)})"
    if isinstance(value, HogFunction):
        name = value.name if _PLAIN_NAME.match(value.name) else "`" + value.name.replace("`", "``") + "`"
        return f"fn<{name}({'...' if value.arity is None else value.arity})>"
    raise HogTypeError(f"Not a Hog value: {type(value).__name__}")


def show(value: Value, meter: Meter) -> str:
    """Return the print form: strings quoted, floats with their `.0`, a cycle as `null`."""
    kind = type(value)
    if kind is float:
        return repr(value)
    if kind is int and -_SHORT_INTEGER < value < _SHORT_INTEGER:
        return str(value)
    writer = _Writer(meter)
    pieces = writer.pieces  # a census of memory sees variables that hold values, and so this list
    writer.write(value)
    return writer.text() if len(pieces) > 1 else pieces[0]


def brief(value: Value, longest: int) -> str:
    """Return the beginning of the print form, at most `longest` characters and `…`, in little time."""
    writer = _Writer(Allowance(), longest)
    try:
        writer.write(value)
    except (_EnoughError, HogDepthExceeded, HogMemoryExceeded):  # the last: an integer that is too large to be shown
        return "".join(writer.pieces)[:longest] + "…"
    return "".join(writer.pieces)


def print_text(value: Value, meter: Meter) -> str:
    """Return what `print` writes: a string raw, anything else in its print form."""
    return value if type(value) is str else show(value, meter)


def text(value: Value, meter: Meter) -> str:
    """Return what `||`, templates and `concat` make of a value: null is `''`."""
    if type(value) is str:
        return value
    return "" if value is None else show(value, meter)
