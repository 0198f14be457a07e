"""What `gavel init` makes and `gavel check` looks at: topics, store, ClickHouse tables, and the connections."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaException

from config.clickhouse import ClickHouseProblem, SchemaMismatch
from config.clickhouse import check as check_clickhouse
from config.clickhouse import connect as connect_clickhouse
from config.clickhouse import migrate as migrate_clickhouse
from config.migrations import check_current, upgrade
from config.settings import Settings
from config.store.engine import Database, StoreError
from processor.kafka import KafkaClients, TopicError, ensure_topics, missing_topics

_FAILURES = (KafkaException, TopicError, StoreError, ClickHouseProblem)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was made or looked at.

    Attributes:
        subject: `kafka`, `store`, `clickhouse` ….
        ok: whether all is well.
        detail: what was found or done.
        remedy: what to do if it is not.
    """

    subject: str
    ok: bool
    detail: str
    remedy: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the finding for `--json`."""
        return {"subject": self.subject, "ok": self.ok, "detail": self.detail, "remedy": self.remedy}


def initialise(settings: Settings, clients: KafkaClients, database: Database) -> list[Finding]:
    """Make what is missing; what exists is left as it is, so it may be run any number of times.

    The embedded broker's topics are made by the process that runs it.
    """

    def topics() -> str:
        if settings.kafka.is_embedded:
            return "embedded broker: topics are made when it starts"
        made = ensure_topics(clients, settings)
        return f"made {', '.join(made)}" if made else "all topics exist"

    def store() -> str:
        applied = upgrade(database)
        return f"applied {', '.join(applied)}" if applied else "up to date"

    def clickhouse() -> str:
        with closing(connect_clickhouse(settings.clickhouse.dsn.get_secret_value())) as client:
            applied = migrate_clickhouse(client)
        return f"applied {', '.join(f'{m.version:04}_{m.name}' for m in applied)}" if applied else "up to date"

    return [_attempt("kafka", topics), _attempt("store", store), _attempt("clickhouse", clickhouse)]


def inspect(settings: Settings, clients: KafkaClients, database: Database) -> list[Finding]:
    """Try every connection and look whether what `initialise` makes is there."""

    def kafka() -> str:
        if settings.kafka.is_embedded:
            return "embedded broker (for a first look; nothing is kept)"
        missing = missing_topics(clients, settings)
        if missing:
            raise TopicError(f"these topics do not exist: {', '.join(missing)}")
        return f"connected to {settings.kafka.bootstrap_servers}; all topics exist"

    def store() -> str:
        check_current(database)
        return f"connected ({database.dialect}); migrations are up to date"

    def clickhouse() -> str:
        with closing(connect_clickhouse(settings.clickhouse.dsn.get_secret_value())) as client:
            check_clickhouse(client)
            return f"connected (ClickHouse {client.server_version}); migrations are up to date"

    return [_attempt("kafka", kafka), _attempt("store", store), _attempt("clickhouse", clickhouse)]


def _attempt(subject: str, action: Callable[[], str]) -> Finding:
    try:
        return Finding(subject, True, action())
    except _FAILURES as error:
        detail = error.args[0].str() if isinstance(error, KafkaException) else str(error)
        return Finding(subject, False, detail, _remedy(subject, error))


def _remedy(subject: str, error: Exception) -> str:
    if isinstance(error, TopicError | SchemaMismatch) or "gavel init" in str(error):
        return "run `gavel init`"
    return {
        "kafka": "is GAVEL_KAFKA__BOOTSTRAP_SERVERS right, and do security_protocol and credentials fit the listener?",
        "store": "is GAVEL_STORE__DSN right, and does the database accept connections from here?",
        "clickhouse": "is GAVEL_CLICKHOUSE__DSN right, and is the server up? An embedded folder belongs to one process",
    }[subject]
