"""Answers of a strategy that a parked run carries, so that no step is paid twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from evaluators.llm_judge.outcome import SampleAnswer

MAX_CHARS = 60_000
"""Longest text of answers in a header; with more the run begins again."""
_REASONING_CHARS = 2_000


class _Written(msgspec.Struct, frozen=True):
    """Answers and the definition that they are from."""

    fingerprint: str
    answers: tuple[SampleAnswer, ...]


def written_answers(fingerprint: str, answers: Sequence[SampleAnswer]) -> str:
    """Return answers as the text of a header; empty if they are too long."""
    text = msgspec.json.encode(_Written(fingerprint, tuple(map(_shortened, answers)))).decode()
    return text if len(text) <= MAX_CHARS else ""


def read_answers(text: str, fingerprint: str) -> tuple[SampleAnswer, ...]:
    """Return the answers of an earlier try; none if they are another definition's or cannot be read."""
    if not text or len(text) > MAX_CHARS:
        return ()
    try:
        found = msgspec.json.decode(text, type=_Written)
    except (msgspec.DecodeError, RecursionError):
        return ()
    return found.answers if found.fingerprint == fingerprint else ()


def _shortened(answer: SampleAnswer) -> SampleAnswer:
    verdict, skip = answer.verdict, answer.skip
    if verdict is not None and len(verdict.reasoning) > _REASONING_CHARS:
        verdict = msgspec.structs.replace(verdict, reasoning=verdict.reasoning[:_REASONING_CHARS])
    if skip is not None and len(skip.detail) + len(skip.reasoning) > _REASONING_CHARS:
        skip = replace(skip, detail=skip.detail[:_REASONING_CHARS], reasoning="")
    return msgspec.structs.replace(answer, verdict=verdict, skip=skip)
