"""Claims of a run that waits in a store which other tests use too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar


class Waiting(Protocol):
    """A run that whoever asks first may claim."""

    @property
    def id(self) -> str:
        """Its id."""


Run = TypeVar("Run", bound=Waiting)


def claim_only(claim: Callable[[], Run | None], wanted: str) -> Run:
    """Claim until it is the run `wanted`, and return it: a claim takes the oldest run, and other tests leave theirs."""
    while (found := claim()) is not None:
        if found.id == wanted:
            return found
    raise AssertionError(f"nobody can claim {wanted}")
