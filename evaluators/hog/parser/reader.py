"""Tokens one after the other, with a way back, and the messages for tokens that do not fit."""

from __future__ import annotations

from typing import NoReturn

from evaluators.hog.parser.lexer import ENDS_OPERAND, SourceText, tokenize

MAX_NESTING = 150
"""Levels of nesting that a source may have, and levels that its tree may have."""

CONSTANTS = {"true": True, "false": False, "null": None, "inf": float("inf"), "nan": float("nan")}
"""Names that stand for a value."""


class TokenReader:
    """Reads tokens from left to right. `kind` is that of the token at `index`."""

    def __init__(self, text: str) -> None:
        self.source = SourceText(text)
        tokens = tokenize(self.source)
        self.kinds = tokens.kinds
        self.values = tokens.values
        self.offsets = tokens.offsets
        self.match = tokens.match
        self.index = 0
        self.kind = self.kinds[0]
        self.depth = 0
        self.not_calls: set[int] = set()

    @property
    def at(self) -> int:
        """Return the offset of the token here."""
        return self.offsets[self.index]

    def next(self) -> None:
        """Go on by one token."""
        self.index += 1
        self.kind = self.kinds[self.index]

    def go_back(self, index: int) -> None:
        """Return to an earlier token."""
        self.index = index
        self.kind = self.kinds[index]

    def accept(self, kind: str) -> bool:
        """Pass a token of that kind, if it is here."""
        if self.kind != kind:
            return False
        self.next()
        return True

    def expect(self, kind: str) -> None:
        """Pass a token of that kind, which must be here."""
        if self.kind != kind:
            self.unexpected(f"'{kind}'")
        self.next()

    def word(self) -> str:
        """Return the keyword-like token here in lower case, or ''."""
        return str(self.values[self.index]).lower() if self.kind == "name" else ""

    def accept_word(self, word: str) -> bool:
        """Pass that keyword, if it is here."""
        if self.kind == "name" and self.word() == word:
            self.next()
            return True
        return False

    def expect_word(self, word: str) -> None:
        """Pass that keyword, which must be here."""
        if not self.accept_word(word):
            self.unexpected(f"'{word}'")

    def identifier(self) -> str:
        """Read a name."""
        if self.kind not in ("name", "quoted"):
            self.unexpected("a name")
        if self.kind == "name" and self.word() in CONSTANTS:
            self.source.fail(f"'{self.values[self.index]}' can not be a name", self.at)
        name = str(self.values[self.index])
        self.next()
        return name

    def unexpected(self, wanted: str = "") -> NoReturn:
        """Refuse the token here."""
        names = {"end": "end of the source", "string": "string", "f'": "template string", "'f": "end of the template"}
        found = names.get(self.kind) or f"'{self.values[self.index]}'"
        self.source.fail(f"Unexpected {found}" + (f", expected {wanted}" if wanted else ""), self.at)

    def deeper(self) -> None:
        """Count one level of nesting. HogCompileError if they are too many."""
        self.depth += 1
        if self.depth > MAX_NESTING:
            self.source.fail(f"Nested more than {MAX_NESTING} levels deep", self.at)

    def last_bracket(self, start: int) -> int | None:
        """Return the index of the last `(` since `start` that follows an operand and is not within other brackets."""
        index, found = start + 1, None
        while index < self.index:
            if self.kinds[index] == "(" and self.kinds[index - 1] in ENDS_OPERAND:
                found = index
            index = max(self.match[index], index) + 1
        return found
