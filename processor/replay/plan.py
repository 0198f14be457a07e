"""The plan of a replay, kept in a file so that the replay can be resumed unchanged."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer
from prometheus_client import CollectorRegistry

from config.model_resolution import NO_KEYS, StoredKeys, TeamKeys, keys_by_team
from config.prices import load_prices
from config.settings import Settings
from processor.events.identity import Trigger
from processor.hog_failures import HogFailures
from processor.kafka import FETCHING, KafkaClients
from processor.matcher.event_matcher import Destinations, EventMatcher, InlineHog
from processor.matcher.known import RunOrigin
from processor.metrics import Metrics
from processor.replay.estimate import make_estimator
from processor.replay.replay import Replay, ReplayReport, ReplaySender, restrict
from processor.replay.sources import (
    ArchiveSource,
    ReplayError,
    ReplaySource,
    TopicSource,
    existing_in,
    ranges_by_time,
)
from storage.clickhouse import connect
from storage.snapshot import Snapshot, build_snapshot
from storage.sql.changes import read_changes
from storage.sql.engine import Database
from storage.sql.provider_keys import ProviderKeys

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client


@dataclass(slots=True, kw_only=True)
class ReplayPlan:
    """One replay.

    Attributes:
        id: its name: of the consumer group that keeps its place, and of the backfill if it is a rerun.
        source: `topic` or `clickhouse`.
        ranges: partition to (first, behind the last) offset, fixed at the start; of a topic.
        after, before: ISO-8601; of the archive.
        rerun: runs get identities of their own, so that all is judged again.
        to_topic: where outputs go instead of the configured topics.
        over_budget: the ranges of runs over budget that it fills; see `processor.replay.over_budget`.
        done: whether it came to its end.
    """

    id: str
    source: str
    topic: str
    ranges: dict[int, tuple[int, int]] = field(default_factory=dict)
    after: str | None = None
    before: str | None = None
    evaluations: list[str] = field(default_factory=list)
    teams: list[int] = field(default_factory=list)
    rerun: bool = False
    to_topic: str | None = None
    rate: float | None = None
    over_budget: list[dict[str, Any]] = field(default_factory=list)
    report: dict[str, Any] = field(default_factory=dict)
    done: bool = False

    @staticmethod
    def path(settings: Settings, replay_id: str) -> Path:
        """Return where the plan of a replay is kept."""
        return Path(settings.data_dir) / "replays" / f"{replay_id}.json"

    def save(self, settings: Settings) -> None:
        """Write the plan; whole or not at all."""
        path = self.path(settings, self.id)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial_path = path.with_suffix(".partial")
        partial_path.write_text(json.dumps(asdict(self)))
        partial_path.replace(path)

    @classmethod
    def load(cls, settings: Settings, replay_id: str) -> ReplayPlan:
        """Return a plan that was saved.

        Raises:
            ReplayError: there is none.
        """
        try:
            fields = json.loads(cls.path(settings, replay_id).read_text())
        except FileNotFoundError as error:
            raise ReplayError(
                f"no replay {replay_id} was begun with this data_dir ({settings.data_dir}); give the id that a replay "
                "printed at its start"
            ) from error
        fields["ranges"] = {int(partition): (start, end) for partition, (start, end) in fields["ranges"].items()}
        return cls(**fields)


def replay_consumer(clients: KafkaClients, settings: Settings, replay_id: str) -> Consumer:
    """Return a consumer of the replay's own group, which nothing joins."""
    return Consumer(
        {
            **FETCHING,
            "queued.max.messages.kbytes": 32 * 1024,  # a batch of usual events, while the one before is worked through
            **clients.base("replay"),
            "group.id": f"{settings.kafka.group_prefix}-replay-{replay_id}",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
        }
    )


def replay_sender(clients: KafkaClients, settings: Settings, consumer: Consumer, transactional_id: str) -> ReplaySender:
    """Return what writes a replay's batches. Blocks until an earlier process with the same id is fenced.

    Raises:
        ReplayError: Kafka does not answer.
    """
    return ReplaySender(
        {
            **clients.producer_config(),
            "transactional.id": transactional_id,
            "transaction.timeout.ms": int(settings.kafka.transaction_timeout_s * 1000),
        },
        consumer,
    )


def time_ranges(
    clients: KafkaClients, settings: Settings, plan: ReplayPlan, after: datetime | None, before: datetime | None
) -> dict[int, tuple[int, int]]:
    """Return the offsets of `plan.topic` between two times, as they stand now."""
    consumer = replay_consumer(clients, settings, plan.id)
    try:
        return ranges_by_time(consumer, plan.topic, after, before)
    finally:
        consumer.close()


def open_replay(
    plan: ReplayPlan, settings: Settings, database: Database, clients: KafkaClients, *, dry_run: bool
) -> tuple[Replay, ReplaySource]:
    """Return the replay of `plan`, at the place where it stopped.

    Raises:
        ReplayError: source, evaluations or teams are not there.
    """
    with ExitStack() as undo:  # opened parts are closed again if a later one fails
        consumer = replay_consumer(clients, settings, plan.id)
        undo.callback(consumer.close)
        client = connect(settings.clickhouse.dsn.get_secret_value())
        undo.callback(client.close)
        opened = _open(plan, settings, database, clients, consumer, client, dry_run=dry_run)
        undo.pop_all()
    return opened


def _open(
    plan: ReplayPlan,
    settings: Settings,
    database: Database,
    clients: KafkaClients,
    consumer: Consumer,
    client: Client,
    *,
    dry_run: bool,
) -> tuple[Replay, ReplaySource]:
    snapshot = restrict(load_snapshot(database), teams=plan.teams, evaluations=plan.evaluations)
    sender = None
    if not dry_run:
        transactional_id = f"{settings.kafka.group_prefix}-replay-{plan.id}"
        sender = replay_sender(clients, settings, consumer, transactional_id)
    source: ReplaySource
    if plan.source == "clickhouse":
        team = plan.teams[0] if len(plan.teams) == 1 else None
        after, before = (None if t is None else datetime.fromisoformat(t) for t in (plan.after, plan.before))
        place_topic = settings.kafka.topics.results
        source = ArchiveSource(client, consumer, place_topic, after=after, before=before, team_id=team)
    else:
        source = TopicSource(consumer, plan.topic, plan.ranges, client)
    replay = Replay(
        source,
        snapshot,
        event_matcher(
            plan.id,
            settings,
            trigger="backfill" if plan.rerun else "replay",
            rerun=plan.rerun,
            to_topic=plan.to_topic,
        ),
        existing=None if plan.rerun else existing_in(client),
        sender=sender,
        estimate=make_estimator(
            snapshot, team_keys_of(settings, database), settings.judge, load_prices(settings.judge.prices_path)
        ),
        rate=plan.rate,
        report=ReplayReport.from_note(source.note) or (ReplayReport(**plan.report) if plan.report else None),
    )
    return replay, source


def load_snapshot(database: Database) -> Snapshot:
    """Return the definitions as they are now."""
    changes = read_changes(database, None)
    if changes is None:
        raise ReplayError("the definition store did not answer; `gavel check` tests it")
    return build_snapshot(None, changes)


def event_matcher(
    replay_id: str, settings: Settings, *, trigger: Trigger, rerun: bool, to_topic: str | None = None
) -> EventMatcher:
    """Return what the live matcher does with an event, under the identity of a replay or a backfill."""
    topics = settings.kafka.topics
    return EventMatcher(
        "replay",
        Destinations(
            results=to_topic or topics.results,
            tasks=to_topic or topics.tasks,
            dead_letters=topics.dead_letters,
            max_message_bytes=settings.kafka.max_message_bytes,
        ),
        # The past does not switch an evaluation off.
        inline=InlineHog(settings.judge.hog_limit_s, HogFailures(lambda *_run: None)),
        metrics=Metrics(CollectorRegistry()),
        origin=RunOrigin(trigger, replay_id, rerun),
        now=lambda: datetime.now(UTC),
    )


def team_keys_of(settings: Settings, database: Database) -> Callable[[int], TeamKeys]:
    """Return a function that gives the keys of a team, as they are now."""
    keys = ProviderKeys.of(settings, database)
    stored = StoredKeys(keys.open_all(), keys.configs())
    teams = keys_by_team(stored, {config.team_id: config for config in stored.configs})
    return lambda team_id: teams.get(team_id, NO_KEYS)
