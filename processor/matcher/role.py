"""How the matcher role is put together from the settings."""

from __future__ import annotations

from processor.kafka import EMBEDDED_PARTITIONS
from processor.matcher.budget import TeamBudget
from processor.matcher.event_matcher import EventMatcher, InlineHog
from processor.matcher.late import destinations
from processor.matcher.pushback import TaskRoom
from processor.matcher.worker import MatcherWorker
from processor.role_context import RoleContext
from processor.role_topics import topics_read
from processor.stream.limits import StageLimits
from processor.stream.stage import Stage

_EMBEDDED_BATCH = 100
"""Events between two looks at the room that the embedded broker has."""


def build_matcher(context: RoleContext) -> Stage:
    """Return the matcher: events in, Hog results and judge tasks out."""
    settings = context.settings
    limits = settings.matcher
    to = destinations(context)
    events = EventMatcher(
        "matcher",
        to,
        inline=InlineHog(limits.inline_hog_limit_s, context.hog_failures(), TeamBudget(limits.team_budget_s)),
        metrics=context.metrics,
        judge_historical=settings.ingest.judge_historical,
        traces=context.traces,
    )
    embedded = settings.kafka.is_embedded
    room = TaskRoom(context.metrics, topics_read(settings, "judge"), EMBEDDED_PARTITIONS) if embedded else None
    worker = MatcherWorker(context.snapshots, events, to, context.guard(), room)
    return Stage(
        "matcher",
        topics_read(settings, "matcher"),
        context.clients.consumer("matcher"),
        context.committer("matcher"),
        worker,
        StageLimits(
            batch_records=min(limits.batch_size, _EMBEDDED_BATCH) if embedded else limits.batch_size,
            commit_interval_s=limits.commit_interval_s,
            max_records=limits.max_in_flight_records,
            max_bytes=limits.max_in_flight_bytes,
            drain_s=settings.watchdog.shutdown_s,
            rejoin_s=context.rejoin_s,
        ),
        context.metrics,
    )
