"""One row of the table of refusals."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import re2

from evaluators.llm_judge.failures import FailureKind

StatusCodes = frozenset[int]
UNKNOWN_STATUS = 0
"""The status of an error object inside a 200 that names none."""
REFUSED: StatusCodes = frozenset({UNKNOWN_STATUS, *range(400, 500)})
ANY: StatusCodes = REFUSED | frozenset(range(500, 600))
NOT_AUTH: StatusCodes = ANY - {401, 403}


@dataclass(frozen=True)
class RefusalRule:
    """One row of the table.

    Attributes:
        kind: what a reply that the rule applies to means.
        evidence: (provider, example of its words) for every wording of the rule.
        statuses: HTTP statuses that it applies to.
        codes: values in lower case of the error's `code`, `type`, `status`, `reason` and similar fields.
        params: names of request parameters, as the error's `param` field or the path of a validation error gives them.
        words: RE2 pattern without case, searched in the error's words.
    """

    kind: FailureKind
    evidence: tuple[tuple[str, str], ...]
    statuses: StatusCodes = ANY
    codes: frozenset[str] = frozenset()
    params: frozenset[str] = frozenset()
    words: str = ""

    @cached_property
    def _pattern(self) -> Any:
        return re2.compile(f"(?is){self.words}")

    def applies(self, status: int, codes: frozenset[str], params: frozenset[str], words: str) -> bool:
        """Return whether the rule applies. Linear in the length of `words`."""
        if status not in self.statuses:
            return False
        if not (self.codes or self.params or self.words):
            return True
        if not self.codes.isdisjoint(codes) or not self.params.isdisjoint(params):
            return True
        return bool(self.words) and self._pattern.search(words) is not None


def statuses(*found: int) -> StatusCodes:
    """Return a set of statuses."""
    return frozenset(found)


def names_of(text: str) -> frozenset[str]:
    """Return the names in a text, which are separated by white space."""
    return frozenset(text.split())
