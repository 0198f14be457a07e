"""Matching an event for which the matcher had no time left, on a thread of the judge role."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from conditions import RowError
from processor.dead_letters.letter import dead_letter
from processor.events.message import Message
from processor.events.output import Output
from processor.matcher.event_matcher import Destinations, EventMatcher, InlineHog
from processor.role_context import RoleContext

_ROLE = "judge"


def destinations(context: RoleContext) -> Destinations:
    """Return where the outputs of live events go."""
    kafka = context.settings.kafka
    topics = kafka.topics
    return Destinations(
        results=topics.results,
        tasks=topics.tasks,
        dead_letters=topics.dead_letters,
        max_message_bytes=kafka.max_message_bytes,
    )


def late_matcher(context: RoleContext) -> Callable[[Message], list[Output]]:
    """Return a function that matches one event as the matcher does, but without a time limit for its team.

    It blocks for as long as the team's filters and Hog code take, one event at a time, and may be called from any
    thread. Its outputs have the identities that the matcher would have given them.
    """
    to, lock = destinations(context), Lock()
    events = EventMatcher(
        _ROLE,
        to,
        inline=InlineHog(context.settings.judge.hog_limit_s, context.hog_failures()),
        metrics=context.metrics,
        traces=context.traces,
    )

    def refuse(message: Message, error: RowError) -> Output:
        events.counts["dead_letter", "decode"] += 1
        return dead_letter(
            to.dead_letters,
            message,
            stage=_ROLE,
            reason="decode",
            detail=str(error),
            max_bytes=to.max_message_bytes,
        )

    def match(message: Message) -> list[Output]:
        snapshot = context.snapshots.current
        if snapshot is None:
            raise RuntimeError("the judge was started without definitions")
        with lock:
            outputs = events.take([message], snapshot, refuse)
            events.flush_counts()
        return outputs

    return match
