"""How the stand-in judges: by plain rules from the prompt alone, so that the same prompt gets the same verdict."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

NAMED = "(Stand-in judge, not a model.)"
"""The beginning of every reasoning, so that nobody takes such a verdict for a model's."""
VERDICT_FIELDS = ("verdict", "outcome", "score", "categories")

_FENCE = re.compile(r"</?([\w-]{8,})>")
_ABOUT_PRIVACY = re.compile(r"\b(personal|pii|secrets?|credentials?|leak\w*|privacy)\b", re.IGNORECASE)
_ABOUT_REFUSALS = re.compile(r"\brefus\w+", re.IGNORECASE)
_PERSONAL = re.compile(
    r"[\w.+-]+@[\w-]+\.\w{2,}|\b(?:\d[ -]?){13,16}\b|\b\d{3}-\d{2}-\d{4}\b|\bsk-[\w-]{8,}|\bAKIA[0-9A-Z]{16}\b"
)
_REFUSAL = re.compile(r"\b(I can(?:'|no)t (?:help|assist|do that|share)|I'm (?:sorry|unable)|I won't)", re.IGNORECASE)
_RUDE = re.compile(r"\b(stupid|idiot|shut up|obviously you|read the manual)\b", re.IGNORECASE)
_BROKEN = re.compile(r"Traceback \(most recent|undefined is not|NullPointerException|Internal Server Error")


def is_verdict_schema(schema: Mapping[str, Any]) -> bool:
    """Tell whether an answer of this schema is a verdict, as Gavel's judges ask for one."""
    properties = schema.get("properties", {})
    return "reasoning" in properties and any(name in properties for name in VERDICT_FIELDS)


def judge(criteria: str, judged: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a verdict that fits the schema.

    Args:
        criteria: the system message.
        judged: the user message, with input and output in their fences.
        schema: a JSON Schema with `reasoning` and one of `VERDICT_FIELDS`.
    """
    output = _without_fences(judged, criteria).rpartition("Output:")[2].strip()
    problem = _problem(_without_fences(criteria, criteria), output)
    properties = schema["properties"]
    draw = _draw(output)
    answer: dict[str, Any] = {"reasoning": ""}  # first, as models are told to write it
    if "verdict" in properties:
        answer["verdict"] = problem is None
    elif "outcome" in properties:
        answer["outcome"] = "not_applicable" if not output else "fail" if problem else "pass"
    elif "score" in properties:
        answer["score"] = _score(properties["score"], criteria, problem, draw)
    else:
        answer["categories"] = _categories(properties["categories"], draw)
    # A score without a problem can still be too low to pass.
    good = f"scores {answer['score']:g}" if "score" in answer else "meets the criteria"
    answer["reasoning"] = _reasoning(problem, good, output)
    return answer


def _problem(criteria: str, output: str) -> str | None:
    """Return what is wrong with the output, None if nothing is; a twelfth of the others fail by a draw."""
    if _ABOUT_PRIVACY.search(criteria):
        return "shows personal data or a secret" if _PERSONAL.search(output) else None
    if _ABOUT_REFUSALS.search(criteria):
        return "refuses to help" if _REFUSAL.search(output) else None
    if not output:
        return "says nothing"
    if _BROKEN.search(output):
        return "shows an internal error to the user"
    if _RUDE.search(output):
        return "speaks to the user without respect"
    return "leaves a part of the question open" if _draw(criteria + output) < 1 / 12 else None


def _reasoning(problem: str | None, good: str, output: str) -> str:
    words = " ".join(output.split()[:8])
    if problem:
        found = f"The output {problem}: “{words}…”." if words else f"The output {problem}."
    else:
        found = f"The output {good}, from “{words}…” on."
    return f"{NAMED} {found}"


def _score(schema: Mapping[str, Any], criteria: str, problem: str | None, draw: float) -> float:
    low, high = _bounds(schema, criteria)
    share = 0.35 * draw if problem else 0.6 + 0.4 * draw
    score = low + (high - low) * share
    return round(score, 2) if high - low < 20 else float(round(score))


def _bounds(schema: Mapping[str, Any], criteria: str) -> tuple[float, float]:
    for option in (schema, *schema.get("anyOf", ())):
        if "minimum" in option and "maximum" in option:
            return float(option["minimum"]), float(option["maximum"])
    number = r"(-?\d+(?:\.\d+)?)"
    found = re.search(rf"(?:between|from) {number} (?:and|to) {number}", f"{schema.get('description', '')} {criteria}")
    return (float(found[1]), float(found[2])) if found else (0.0, 10.0)


def _categories(schema: Mapping[str, Any], draw: float) -> list[str]:
    for option in (schema, *schema.get("anyOf", ())):
        keys = option.get("items", {}).get("enum")
        if keys:
            return [keys[int(draw * len(keys))]]
    return []


def _without_fences(text: str, criteria: str) -> str:
    """Drop the fences, which are what the system message shows in angle brackets: their nonce is new on every call."""
    for name in set(_FENCE.findall(criteria)):
        text = text.replace(f"<{name}>", "").replace(f"</{name}>", "")
    return text


def _draw(text: str) -> float:
    """Return a number of [0, 1) that depends on nothing but the text's words."""
    digest = hashlib.sha256(" ".join(text.split()).encode()).digest()
    return int.from_bytes(digest[:6]) / 2**48
