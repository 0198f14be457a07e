"""How sure a judge is of its verdict, from the log probabilities of the verdict token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp

_AROUND = " \t\r\n\"'`*.,:;"


@dataclass(frozen=True, slots=True)
class Confidence:
    """The class with the highest probability, and that probability among all classes."""

    verdict: str
    confidence: float


def spelled(token: str) -> str:
    """Return the class that a token spells: without the spaces, quotes and marks around it."""
    return token.strip(_AROUND)


def confidence(logprobs: Mapping[str, Sequence[float]]) -> Confidence:
    """Return the leading class of at least one, summed over its spellings.

    Args:
        logprobs: token → natural logarithms of its probabilities. `"pass"`, `" Pass"` and `'"PASS"'` are one class,
            which has the name of the first of them.
    """
    top = max(value for values in logprobs.values() for value in values)
    weights: dict[str, float] = {}
    names: dict[str, str] = {}
    for token, values in logprobs.items():
        name = names.setdefault(spelled(token).casefold(), spelled(token))
        weights[name] = weights.get(name, 0.0) + sum(exp(value - top) for value in values)
    verdict = max(weights, key=weights.__getitem__)
    return Confidence(verdict, weights[verdict] / sum(weights.values()))
