"""Source text to tokens.

Tokens are kept in parallel lists, because a program has many and each is looked at a few times only. The kind
of a token is `number`, `string`, `name`, `quoted` (an identifier in backticks or double quotes), `end`, or
the operator itself. A template string becomes `f'`, then `text` tokens and expressions between `f{` and
`f}`, then `'f`.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Any, NoReturn

from evaluators.hog.runtime.errors import HogCompileError, excerpt
from evaluators.hog.runtime.values import integer_of

MAX_SOURCE = 256 * 1024
"""Characters that a source may have."""

MAX_TEMPLATES = 50
"""Levels of template strings within template strings."""

_TOKEN = re.compile(
    r"""
      (?P<space>(?:[ \t\r\n\f\v\ufeff]+|//[^\n]*|--[^\n]*|/\*(?:[^*]|\*(?!/))*\*/)+)
    | (?P<template>f')
    | (?P<name>[A-Za-z_$][A-Za-z0-9_$]*)
    | (?P<number>0[xX][0-9a-fA-F]+|0[bB][01]+|[0-9]+)
    | (?P<string>'(?:[^'\\]|\\.|'')*')
    | (?P<quoted>`(?:[^`\\]|\\.|``)+`|"(?:[^"\\]|\\.|"")+")
    | (?P<op>!~\*|=~\*|->|:=|==|!=|<>|<=|>=|=~|!~|~\*|\|\||\?\?|\?\.|[-+*/%<>=~()\[\]{},.:;?])
    """,
    re.VERBOSE | re.DOTALL,
)
_FRACTION = re.compile(r"(?:\.[0-9]+|\.(?![A-Za-z_$.]))?(?:[eE][+-]?[0-9]+)?")
_POINT_FIRST = re.compile(r"\.[0-9]+(?:[eE][+-]?[0-9]+)?")
_NAME_CHARACTER = re.compile(r"[A-Za-z0-9_$]")
_TEMPLATE_TEXT = re.compile(r"(?:[^'\\{]|\\.|'')*", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)|''", re.DOTALL)
_NAME_ESCAPE = re.compile(r"\\(.)|``|\"\"", re.DOTALL)
_ESCAPED = {
    "b": "\b", "f": "\f", "r": "\r", "n": "\n", "t": "\t", "0": "\0", "a": "\a", "v": "\v", "\\": "\\", "'": "'",
}  # fmt: skip
_ESCAPED_IN_TEMPLATE = {**_ESCAPED, "{": "{"}
_OPENING = {"(": ")", "[": "]", "{": "}", "f{": "f}"}
_CLOSING = frozenset(_OPENING.values())
_BEFORE_OPERAND = frozenset(
    {"return", "throw", "in", "and", "or", "not", "like", "ilike", "between", "case", "when", "then", "else"}
)
ENDS_OPERAND = frozenset({"name", "quoted", "number", "string", ")", "]", "}", "'f"})


@dataclass(slots=True)
class SourceText:
    """A source text and where its lines begin."""

    text: str
    starts: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.starts = [0, *(m.end() for m in re.finditer("\n", self.text))]

    def place(self, offset: int) -> tuple[int, int]:
        """Return line and column, both 1-based."""
        line = bisect_right(self.starts, offset)
        return line, offset - self.starts[line - 1] + 1

    def fail(self, message: str, offset: int) -> NoReturn:
        """Raise the HogCompileError for a place in the text."""
        line, column = self.place(min(offset, len(self.text)))
        raise HogCompileError(message, line, column, excerpt(self.text, line, column))


@dataclass(slots=True)
class Tokens:
    """The tokens of a source. `match[i]` is the index of the bracket that closes the one at `i`, else -1."""

    kinds: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    match: list[int] = field(default_factory=list)


def tokenize(source: SourceText) -> Tokens:
    """Return the tokens of a source. HogCompileError where a character has no meaning."""
    if len(source.text) > MAX_SOURCE:
        raise HogCompileError(f"The source is longer than {MAX_SOURCE} characters", 1, 1)
    return _Lexer(source).run()


class _Lexer:
    """One pass over a source. `open` holds the indices of the brackets that are not closed yet."""

    def __init__(self, source: SourceText) -> None:
        self.source = source
        self.text = source.text
        self.at = 0
        self.tokens = Tokens()
        self.open: list[int] = []
        self.templates = 0

    def run(self) -> Tokens:
        text, length = self.text, len(self.text)
        while self.at < length:
            found = _TOKEN.match(text, self.at)
            if found is None:
                self.refuse()
            kind = found.lastgroup
            if kind == "space":
                self.at = found.end()
            elif kind == "name":
                self.add("name", found.group(), self.at)
                self.at = found.end()
            elif kind == "op":
                self.operator(found.group())
            elif kind == "number":
                self.number(found)
            elif kind == "string":
                self.add("string", self.unescape(found.group()[1:-1], self.at + 1), self.at)
                self.at = found.end()
            elif kind == "quoted":
                self.add("quoted", self.unescape_name(found.group(), self.at), self.at)
                self.at = found.end()
            else:
                self.open_template()
        if self.templates:
            self.source.fail("Template string is not closed", self.tokens.offsets[self.open[-1]])
        self.add("end", None, length)
        return self.tokens

    def add(self, kind: str, value: Any, offset: int) -> None:
        tokens = self.tokens
        tokens.kinds.append(kind)
        tokens.values.append(value)
        tokens.offsets.append(offset)
        tokens.match.append(-1)

    def refuse(self) -> NoReturn:
        """Raise for a character with which no token begins."""
        text, at = self.text, self.at
        if text[at] == "'":
            self.source.fail("String is not closed", at)
        if text[at] in '`"':
            self.source.fail("Quoted identifier is empty or not closed", at)
        self.source.fail(f"Character {text[at]!r} has no meaning here", at)

    def operator(self, op: str) -> None:
        kinds, at = self.tokens.kinds, self.at
        if op == "." and not self.after_operand():
            fraction = _POINT_FIRST.match(self.text, at)
            if fraction:
                self.add("number", float(fraction.group()), at)
                self.at = fraction.end()
                return
        if op == "/" and self.text.startswith("/*", at):
            self.source.fail("Comment is not closed", at)
        self.at = at + len(op)
        if op in _OPENING:
            self.open.append(len(kinds))
        elif op in _CLOSING and self.open:
            if op == "}" and kinds[self.open[-1]] == "f{":
                self.close("f}", at)
                self.template_text()
                return
            self.close(op, at)
            return
        self.add(op, op, at)

    def after_operand(self) -> bool:
        """Whether an operand ends here, so that a point means access rather than a number."""
        kinds, values = self.tokens.kinds, self.tokens.values
        if not kinds or kinds[-1] not in ENDS_OPERAND:
            return False
        return kinds[-1] != "name" or values[-1].lower() not in _BEFORE_OPERAND or kinds[-2:-1] == ["."]

    def close(self, op: str, at: int) -> None:
        opened = self.open[-1]
        if _OPENING[self.tokens.kinds[opened]] == op:
            self.open.pop()
            self.tokens.match[opened] = len(self.tokens.kinds)
        self.add(op, op, at)

    def number(self, found: re.Match[str]) -> None:
        digits, at, end = found.group(), self.at, found.end()
        value: int | float
        kinds = self.tokens.kinds
        if kinds and kinds[-1] in (".", "?."):
            value = integer_of(digits) if digits.isdigit() else 0
        elif digits[:2] in ("0x", "0X"):
            value = int(digits, 16)
        elif digits[:2] in ("0b", "0B"):
            value = int(digits, 2)
        else:
            fraction = _FRACTION.match(self.text, end)
            if fraction and fraction.group():
                end = fraction.end()
                value = float(self.text[at:end])
            else:
                value = integer_of(digits)
        if _NAME_CHARACTER.match(self.text, end):
            self.source.fail("Malformed number", at)
        self.add("number", value, at)
        self.at = end

    def unescape(self, body: str, offset: int, escaped: dict[str, str] = _ESCAPED) -> str:
        if "\\" not in body and "''" not in body:
            return body

        def character(found: re.Match[str]) -> str:
            mark = found.group(1)
            if mark is None:
                return "'"
            return self.plain(mark, offset + found.start(), escaped)

        return _ESCAPE.sub(character, body)

    def unescape_name(self, quoted: str, offset: int) -> str:
        """Return the name in backticks or double quotes, where the mark is doubled or escaped."""
        mark = quoted[0]
        table = {**_ESCAPED, mark: mark}

        def character(found: re.Match[str]) -> str:
            escape = found.group(1)
            if escape is None:
                return mark if found.group() == mark * 2 else found.group()
            return self.plain(escape, offset + 1 + found.start(), table)

        return _NAME_ESCAPE.sub(character, quoted[1:-1])

    def plain(self, escape: str, offset: int, table: dict[str, str]) -> str:
        """Return the character that an escape stands for. HogCompileError if it stands for none."""
        plain = table.get(escape)
        if plain is None:
            self.source.fail(f"Unknown escape \\{escape} in a string; write \\\\ for a backslash", offset)
        return plain

    def open_template(self) -> None:
        self.templates += 1
        if self.templates > MAX_TEMPLATES:
            self.source.fail("Template strings are nested too deeply", self.at)
        self.open.append(len(self.tokens.kinds))
        self.add("f'", None, self.at)
        self.at += 2
        self.template_text()

    def template_text(self) -> None:
        """Read text up to the next `{` or the end of the template."""
        found = _TEMPLATE_TEXT.match(self.text, self.at)
        body = found.group() if found else ""
        if body:
            self.add("text", self.unescape(body, self.at, _ESCAPED_IN_TEMPLATE), self.at)
        self.at += len(body)
        if self.at >= len(self.text) or self.text[self.at] == "\\":
            self.source.fail("Template string is not closed", self.tokens.offsets[self.open[-1]])
        if self.text[self.at] == "{":
            self.open.append(len(self.tokens.kinds))
            self.add("f{", "f{", self.at)
            self.at += 1
            return
        self.open.pop()
        self.templates -= 1
        self.add("'f", None, self.at)
        self.at += 1
