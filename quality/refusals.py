"""Why a figure is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Reason = Literal[
    "too_few",  # there are fewer labels than the method needs; `missing` says how many of which
    "judge_no_better_than_chance",  # sensitivity + specificity − 1 may be 0, so nothing can be corrected by them
    "inconsistent",  # the corrected rate lies outside of 0 to 1: the golden set does not describe this window
    "not_transportable",  # the window's own labels contradict the golden set's error rates
    "other_version",  # the labels were compared with another fingerprint of the judge
]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A reason in place of a figure, with the numbers that led to it.

    `missing` is the number of labels still needed, by name of the count; it is empty unless the reason is `too_few`.
    """

    reason: Reason
    missing: Mapping[str, int] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)


def shortfall(needs: Mapping[str, tuple[int, int]]) -> Refusal | None:
    """Return `too_few` for the counts (name → what there is, what is needed) that fall short, or None."""
    missing = {name: needed - there for name, (there, needed) in needs.items() if there < needed}
    return Refusal("too_few", missing) if missing else None
