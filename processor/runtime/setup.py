"""The work of `gavel init` and `gavel check`: topics, store, ClickHouse tables, and the connections."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException

from config.settings import Settings
from config.settings.safety import ROLES
from processor.kafka import KafkaClients
from processor.kafka_access import forbidden_groups, missing_rights, remedy_of, rights_needed
from processor.kafka_topics import EventsTopicMistyped, TopicError, TopicForbidden, ensure_topics, missing_topics
from processor.topic_settings import unfit_topics
from storage.clickhouse import ClickHouseProblem, RightsMissing, SchemaMismatch
from storage.clickhouse import check as check_clickhouse
from storage.clickhouse import connect as connect_clickhouse
from storage.clickhouse import migrate as migrate_clickhouse
from storage.clickhouse.retention import set_retention
from storage.clickhouse.rights import check_rights, rights_expected
from storage.clock import REMEDY as CLOCK_REMEDY
from storage.clock import distance_in_words
from storage.disk import REMEDY as DISK_REMEDY
from storage.disk import full_disk
from storage.sql.engine import Database, StoreError
from storage.sql.heartbeats import Heartbeats
from storage.sql.migrations import check_current, upgrade
from storage.sql.turns import TurnTakesTooLong, turn


class TopicsUnfit(RuntimeError):
    """Topics have settings under which records are lost or refused; the message says which and what to do."""


_FAILURES = (TopicsUnfit, KafkaException, TopicError, StoreError, ClickHouseProblem)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was made or looked at.

    Attributes:
        subject: `kafka`, `store`, `clickhouse` ….
        ok: whether all is well.
        detail: the finding, or the work done.
        remedy: the next step if not all is well.
    """

    subject: str
    ok: bool
    detail: str
    remedy: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the finding for `--json`."""
        return {"subject": self.subject, "ok": self.ok, "detail": self.detail, "remedy": self.remedy}


def initialise(
    settings: Settings, clients: KafkaClients, database: Database, *, make_events_topic: bool = False
) -> list[Finding]:
    """Make missing parts and leave existing ones alone, so that it can be run any number of times and by many at once.

    Processes that share a store take turns at ClickHouse, so its tables are left alone while the store is away.
    The embedded broker's topics are made by the process that runs it.
    """

    def topics() -> str:
        if settings.kafka.is_embedded:
            return "embedded broker: topics are made when it starts"
        made = ensure_topics(clients, settings, make_events_topic=make_events_topic)
        return f"made {', '.join(made)}" if made else "all topics exist"

    def store() -> str:
        applied = upgrade(database)
        return f"applied {', '.join(applied)}" if applied else "up to date"

    def clickhouse() -> str:
        dsn = settings.clickhouse.dsn.get_secret_value()
        with turn(database), closing(connect_clickhouse(dsn)) as client, rights_expected():
            applied = [f"{m.version:04}_{m.name}" for m in migrate_clickhouse(client)]
            kept = set_retention(client, settings.clickhouse)
        told = [f"applied {', '.join(applied)}"] if applied else []
        told += [f"changed {', '.join(kept)}"] if kept else []
        return "; ".join(told) or "up to date"

    return [_attempt("kafka", topics), _attempt("store", store), _attempt("clickhouse", clickhouse)]


def inspect(settings: Settings, clients: KafkaClients, database: Database, *, beside_up: bool = False) -> list[Finding]:
    """Try every connection and look whether what `initialise` makes is there.

    Args:
        beside_up: the broker and ClickHouse are those of a running `gavel up`, whose topics have no settings, and whose
            ClickHouse lets other processes only read.
    """

    def kafka() -> str:
        if settings.kafka.is_embedded:
            return "embedded broker (for a first look; nothing is kept)"
        missing = missing_topics(clients, settings)
        if missing:
            raise TopicError(f"these topics do not exist: {', '.join(missing)}")
        hidden = forbidden_groups(clients.admin(), [settings.kafka.group(role) for role in ROLES])
        if hidden:
            raise TopicForbidden(
                f"this user may not use the consumer groups {', '.join(hidden)}; grant it Read on groups with the "
                f"prefix {settings.kafka.group_prefix!r}"
            )
        lacking = missing_rights(clients.admin(), rights_needed(settings))
        if lacking:
            raise TopicForbidden(f"this user lacks rights on topics: {', '.join(lacking)}; grant them")
        return f"connected to {settings.kafka.bootstrap_servers}; all topics exist"

    def store() -> str:
        check_current(database)
        return f"connected ({database.dialect}); migrations are up to date"

    def clickhouse() -> str:
        with closing(connect_clickhouse(settings.clickhouse.dsn.get_secret_value())) as client:
            with rights_expected():
                check_clickhouse(client)
            if not beside_up:
                check_rights(client)
            return f"connected (ClickHouse {client.server_version}); migrations are up to date"

    def topics() -> str:
        problems = unfit_topics(clients.admin(), settings, [name for _, name in settings.kafka.topics])
        if problems:
            raise TopicsUnfit("; ".join(problems))
        return "their settings lose nothing"

    found = [_attempt("kafka", kafka), _attempt("store", store), _attempt("clickhouse", clickhouse)]
    if found[0].ok and not beside_up and not settings.kafka.is_embedded:
        found.append(_attempt("topics", topics))
    full = full_disk(Path(settings.data_dir))
    found += _clock(database)
    disk = [] if full is None else [Finding("disk", False, full, DISK_REMEDY)]
    return [*found, *disk, *_senders_without_content(database)]


def _clock(database: Database) -> list[Finding]:
    """Return a finding if the clock of this host is not that of the store's server."""
    try:
        differs = distance_in_words(Heartbeats(database).ahead_s(datetime.now(UTC)))
    except StoreError:
        return []  # the store's own finding says so
    return [] if differs is None else [Finding("clock", False, f"this host: {differs}", CLOCK_REMEDY)]


def _senders_without_content(database: Database) -> list[Finding]:
    """Return a note for each team whose generations lately came without input and output, by the front doors' word."""
    try:
        beats = Heartbeats(database).read(now=datetime.now(UTC))
    except StoreError:
        return []  # the store's own finding says so
    shares: dict[str, Counter[str]] = {}
    for beat in beats:
        if beat.role == "ingest" and beat.vitals.state not in ("stopped", "failed") and not beat.missing:
            for team, (empty, total) in beat.vitals.details.get("empty_generations", {}).items():
                shares.setdefault(team, Counter()).update(empty=empty, total=total)
    return [
        Finding(
            "events",
            True,
            f"team {team}: {share['empty']} of {share['total']} generations came without input and output in the last "
            "one to two hours, so judges see nothing",
            "tell its instrumentation to record content (OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=SPAN_ONLY; "
            "docs/sending-events.md)",
        )
        for team, share in shares.items()
    ]


def _attempt(subject: str, action: Callable[[], str]) -> Finding:
    try:
        return Finding(subject, True, action())
    except _FAILURES as error:
        detail = error.args[0].str() if isinstance(error, KafkaException) else str(error)
        return Finding(subject, False, detail, _remedy(subject, error))


def _remedy(subject: str, error: Exception) -> str:
    if isinstance(error, EventsTopicMistyped | TopicForbidden | TopicsUnfit | RightsMissing | TurnTakesTooLong):
        return ""  # its message has the way out
    if isinstance(error, KafkaException) and (known := remedy_of(error)):
        return known
    if isinstance(error, TopicError | SchemaMismatch) or "gavel init" in str(error):
        return "run `gavel init`"
    if isinstance(error, StoreError):
        subject = "store"  # ClickHouse waits for it
    return {
        "topics": "does the broker answer, and may this user describe its topics?",
        "kafka": "is GAVEL_KAFKA__BOOTSTRAP_SERVERS right, and do security_protocol and credentials fit the listener?",
        "store": "is GAVEL_STORE__DSN right, and does the database accept connections from here?",
        "clickhouse": "is GAVEL_CLICKHOUSE__DSN right, and is the server up? An embedded folder belongs to one process",
    }[subject]
