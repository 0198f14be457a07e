"""The verdict whose reading a conversation is marked with, and the limit up to which its judge read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from api.services.conversations import Verdicts, VerdictShown
from api.services.resources import Services
from storage.clickhouse.steps import HowJudged


@dataclass(frozen=True, slots=True)
class JudgesReading:
    """How much of a conversation the judge of one verdict was given.

    Attributes:
        limit: characters.
        is_known: whether the result says so; otherwise it is the limit of today's settings.
        is_least: other models that had a part in the verdict may have read more.
    """

    verdict: VerdictShown
    limit: int
    is_known: bool
    is_least: bool


def reading_of(
    services: Services, verdicts: Verdicts, how: Mapping[str, HowJudged], wanted: str
) -> JudgesReading | None:
    """Return the reading that the page marks, or None if its judge read everything.

    Args:
        wanted: the id of the verdict; if it is empty, the newest one counts whose judge read a shortened conversation.
    """
    cut = {each.result.id: each for each in verdicts.rows if each.result.id in how and how[each.result.id].truncated}
    chosen = wanted or next(iter(cut), "")
    if chosen not in cut:
        return None
    found = how[chosen]
    limit = found.truncated_to or services.settings.judge.max_prompt_chars
    return JudgesReading(cut[chosen], limit, found.truncated_to is not None, bool(found.steps))
