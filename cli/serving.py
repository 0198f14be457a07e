"""How the processes of `gavel run` and `gavel up` are put together: embedded parts, roles and services."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from cli.running import AlreadyRunning, Running, RunningFile
from cli.terminal import fail
from processor.exit_codes import EXIT_USAGE

if TYPE_CHECKING:
    import structlog

    from config.settings import Settings
    from processor.kafka import EmbeddedBroker
    from processor.runtime.logs import RecentProblems
    from processor.runtime.process import Runtime
    from storage.clickhouse.front import EmbeddedFront
    from storage.sql.engine import Database


@dataclass
class ProcessParts:
    """The parts of a process besides its roles.

    Attributes:
        broker, front: None where Kafka or ClickHouse is a server.
        file: None if nothing is embedded, because then no command needs this process.
    """

    settings: Settings
    database: Database
    problems: RecentProblems
    broker: EmbeddedBroker | None
    front: EmbeddedFront | None
    file: RunningFile | None

    def publish(self, *, api: str = "", events: str = "") -> None:
        """Tell other commands where the embedded parts are. Call it when they serve."""
        if self.file is not None:
            kafka = "" if self.broker is None else self.broker.bootstrap_servers
            clickhouse = "" if self.front is None else self.front.dsn
            self.file.publish(
                Running(os.getpid(), version("gavel"), kafka=kafka, clickhouse=clickhouse, api=api, events=events)
            )


@contextmanager
def opened_parts(settings: Settings, worker: int | None = None) -> Iterator[ProcessParts]:
    """Yield the embedded parts and the store, and configure the log; exit with 1 if another process has them.

    Args:
        worker: number that each line of the log names.
    """
    from processor.kafka import EmbeddedBroker
    from processor.runtime.logs import configure
    from processor.runtime.traces import refuse_traces
    from storage.clickhouse.dsn import EmbeddedDsn, parse_dsn
    from storage.clickhouse.front import EmbeddedFront
    from storage.sql.engine import open_store

    problem = refuse_traces(settings)
    if problem:
        fail(problem, code=EXIT_USAGE)
    Path(settings.data_dir).mkdir(parents=True, exist_ok=True)
    dsn = settings.clickhouse.dsn.get_secret_value()
    has_chdb = isinstance(parse_dsn(dsn), EmbeddedDsn)
    file = RunningFile(Path(settings.data_dir)) if has_chdb or settings.kafka.is_embedded else None
    if file is not None:
        try:
            file.claim()
        except AlreadyRunning as error:
            fail(str(error))
    try:
        yield ProcessParts(
            settings,
            open_store(settings),
            configure(settings.log.level, settings.log.format, worker=worker),
            EmbeddedBroker() if settings.kafka.is_embedded else None,
            EmbeddedFront(dsn) if has_chdb else None,
            file,
        )
    finally:
        if file is not None:
            file.release()


def serve(runtime: Runtime, *, started: Callable[[], None], ending: Callable[[], None] = lambda: None) -> int:
    """Run until a signal, and return the exit code.

    Args:
        started: called when everything serves.
        ending: called when the end was asked for, while everything still serves.
    """
    from confluent_kafka import KafkaException

    from processor.stream.transactions import CommitFailed
    from storage.clickhouse import ClickHouseProblem
    from storage.sql.engine import StoreError

    runtime.install_signal_handlers()
    try:
        runtime.start()
    except (CommitFailed, KafkaException, StoreError, ClickHouseProblem, OSError) as error:
        reason = error.args[0].str() if isinstance(error, KafkaException) else str(error)
        fail(f"could not start: {reason}; `gavel check` tests every connection")
    started()
    runtime.wait()
    ending()
    return runtime.stop()


def note_cautions(settings: Settings, roles: Sequence[str]) -> None:
    """Log the settings that are allowed but worth a thought, as lines of the log among its others."""
    from config.settings.safety import cautions

    for caution in cautions(settings, roles):
        _log().info("setting_to_consider", setting=caution)


def _log() -> structlog.stdlib.BoundLogger:
    import structlog

    log: structlog.stdlib.BoundLogger = structlog.get_logger("gavel.cli")
    return log


def refuse_missing_topics(parts: ProcessParts, roles: Sequence[str]) -> None:
    """Exit with 1 if a topic does not exist, or if a role may not read or write one.

    A broker that does not answer is only noted, because it may come up.
    """
    from confluent_kafka import KafkaException

    from processor.kafka import KafkaClients
    from processor.kafka_access import missing_rights, remedy_of, rights_needed
    from processor.kafka_topics import TopicError, missing_topics

    if parts.broker is not None:
        return
    clients = KafkaClients(parts.settings)
    try:
        missing = missing_topics(clients, parts.settings)
        lacking = missing_rights(clients.admin(), rights_needed(parts.settings, roles))
    except KafkaException as error:
        # librdkafka keeps trying, and meanwhile /readyz says that the topics are missing.
        remedy = remedy_of(error) or "is the broker up, and is kafka.bootstrap_servers right? It is tried again"
        _log().warning("kafka_does_not_answer_yet", error=error.args[0].str(), remedy=remedy)
    except TopicError as error:
        fail(str(error))
    else:
        if missing:
            fail(f"topics do not exist: {', '.join(missing)}; run `gavel init`")
        if lacking:
            fail(f"this user lacks rights on topics: {', '.join(lacking)}; grant them")
