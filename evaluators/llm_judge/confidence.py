"""How sure a model is of its verdict: the probability of the verdict's token, among all classes.

The token is looked for behind the name of the contract's last field, because the reasoning before it may name verdicts
too. The model's own statement of certainty is not used.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from evaluators.llm_judge.caller import Token
from evaluators.llm_judge.output import OutputContract
from evaluators.verdict import Verdict
from quality.confidence import confidence, spelled

_AROUND = " \t\r\n\"'[:"
_NOT_APPLICABLE = "not_applicable"


def confidence_of(verdict: Verdict, contract: OutputContract, tokens: Sequence[Token]) -> float | None:
    """Return the probability of a verdict among all classes of the contract, or None if the tokens do not tell.

    Scores and several categories at once have no single token, and so no confidence.
    """
    chosen = _class_of(verdict, contract)
    token = _verdict_token(tokens, contract.field)
    if chosen is None or token is None:
        return None
    classes = _classes(contract)
    weights: dict[str, list[float]] = {}
    for text, value in token.alternatives:
        name = _meant(text, classes)
        if name is not None:
            weights.setdefault(name, []).append(value)
    if not weights:
        return None
    found = confidence(weights)
    return found.confidence if found.verdict == chosen else None


def _class_of(verdict: Verdict, contract: OutputContract) -> str | None:
    if contract.type == "boolean":
        if not verdict.applicable:
            return _NOT_APPLICABLE
        words = ("fail", "pass") if contract.allows_na else ("false", "true")
        return words[bool(verdict.result)]
    if contract.type == "categorical" and not contract.multiple and verdict.categories:
        return verdict.categories[0]
    return None


def _classes(contract: OutputContract) -> tuple[str, ...]:
    if contract.type == "boolean":
        return ("pass", "fail", _NOT_APPLICABLE) if contract.allows_na else ("true", "false")
    return tuple(key for key, _ in contract.options)


def _meant(text: str, classes: Sequence[str]) -> str | None:
    """Return the one class that a token spells or begins; None if it may be none of them, or several."""
    word = spelled(text.lstrip(_AROUND)).casefold()
    if not word:
        return None
    exact = [name for name in classes if name.casefold() == word]
    begun = exact or [name for name in classes if name.casefold().startswith(word)]
    return begun[0] if len(begun) == 1 else None


def _verdict_token(tokens: Sequence[Token], field: str) -> Token | None:
    """Return the first token of the value behind the last mention of `field`."""
    text = "".join(token.text for token in tokens)
    at = text.rfind(f'"{field}"')
    if at < 0:
        return None
    at += len(field) + 2
    while at < len(text) and text[at] in _AROUND:
        at += 1
    ends = accumulate(len(token.text) for token in tokens)
    return next((token for token, end in zip(tokens, ends, strict=True) if end > at), None)
