"""`gavel ingest`: the front door alone, as a role that scales by itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cli.terminal import ConfigOption, fail, opened_store, refuse_embedded_broker, settings_or_exit
from cli.workers import WorkersOption, listener_of, probes_of, supervise
from processor.exit_codes import EXIT_FAILED, EXIT_USAGE

if TYPE_CHECKING:
    from config.settings import Settings
    from ingest.serve import IngestServer
    from processor.metrics import Metrics
    from processor.workers.place import Place
    from storage.sql.engine import Database

_FIRST_TEAM = 1
_TOKEN_FILE = "project_token"  # noqa: S105  # the name of a file


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("ingest")(ingest)


def ingest(workers: WorkersOption = 1, config: ConfigOption = None) -> None:
    """Take events of applications over HTTP until SIGTERM. `gavel up` does it too.

    It needs the topics and tables that `gavel init` makes. The protocols are in docs/sending-events.md. Workers share
    the port, and `ingest.max_bytes` counts for each of them.

    \b
        gavel ingest --config gavel.yaml
        gavel ingest --workers 4
    """
    settings = settings_or_exit(config)
    refuse_embedded_broker(settings)
    if workers > 1:
        listen = (settings.ingest.host, settings.ingest.port)
        supervise(settings, "ingest", workers, ["ingest"], config, listen=listen)
    serve_ingest(settings)


def serve_ingest(settings: Settings, place: Place | None = None) -> None:
    """Serve the front door in this process until a signal.

    Args:
        place: of this process, if it is a worker of a supervisor.
    """
    import signal
    from functools import partial
    from time import sleep

    import structlog

    from ingest.serve import IngestServer
    from processor.metrics import Metrics
    from processor.runtime.births import process_born, store_observer
    from processor.runtime.garbage import tune_collector
    from processor.runtime.logs import configure
    from processor.runtime.vitals import service_vitals
    from storage.heartbeat import HeartbeatWriter

    problems = configure(settings.log.level, settings.log.format, worker=None if place is None else place.number)
    metrics = Metrics()
    process_born(metrics, settings)
    asked: list[int] = []  # not an Event: a handler may interrupt the thread that holds its lock
    with ExitStack() as stack:
        database = stack.enter_context(opened_store(settings))
        database.observe = store_observer(metrics)
        try:
            server = IngestServer(
                settings,
                database,
                metrics,
                listener=listener_of(place, settings.ingest.host),
                probes=None if place is None else probes_of(place),
            )
        except ValueError as error:
            fail(str(error), code=EXIT_USAGE)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, _frame: asked.append(number))
        tune_collector()
        try:
            server.start()
            if place is not None:
                stack.enter_context(_answering_supervisor(place, server, metrics))
        except OSError as error:
            fail(str(error))
        probe = partial(service_vitals, "ingest", metrics, problems, server.condition)
        heartbeat = HeartbeatWriter(database, {"ingest": probe})
        heartbeat.start()
        address = f"http://{settings.ingest.host}:{server.port}"
        structlog.get_logger("gavel.cli").info("front_door_serves", address=address)
        while server.running() and not asked:
            sleep(0.2)
        server.drain()
        server.stop()
        heartbeat.stop({} if asked else {"ingest": server.failure or "its server stopped"})
        if not asked:
            fail(f"the front door ended: {server.failure or 'its server stopped'}", code=EXIT_FAILED)


@contextmanager
def _answering_supervisor(place: Place, server: IngestServer, metrics: Metrics) -> Iterator[None]:
    """Serve the probes of this worker to its supervisor."""
    from ingest.probes import own_readiness
    from processor.runtime.health import HealthServer

    health = HealthServer(
        "",
        0,
        live=lambda: (server.running(), {}),
        ready=lambda: (server.door.ready, dict(own_readiness(server.door))),
        registry=metrics.registry,
        at=place.socket,
    )
    health.start()
    try:
        yield
    finally:
        health.stop()


def first_token(settings: Settings, database: Database) -> str:
    """Return the project token of team 1 that `gavel up` shows; make one if there is none that works.

    Its text is kept in `data_dir`, because the store holds only its hash. A project token is not a secret: it can
    write events and nothing else.
    """
    from storage.sql.project_tokens import ProjectTokens, token_hash

    tokens = ProjectTokens(database)
    file = Path(settings.data_dir) / _TOKEN_FILE
    text = file.read_text(encoding="ascii", errors="replace").strip() if file.is_file() else ""
    active = tokens.active(None)
    if text and active is not None and token_hash(text) in active.by_hash:
        return text
    _, text = tokens.create(team_id=_FIRST_TEAM, name="gavel up", now=datetime.now(UTC))
    file.touch(mode=0o600)
    file.write_text(text + "\n", encoding="ascii")
    return text


def curl_line(url: str, token: str) -> str:
    """Return a command that sends one generation."""
    event = {
        "api_key": token,
        "event": "$ai_generation",
        "distinct_id": "me",
        "properties": {
            "$ai_model": "gpt-5-mini",
            "$ai_input": [{"role": "user", "content": "What is the capital of France?"}],
            "$ai_output_choices": [{"role": "assistant", "content": "The capital of France is Paris."}],
        },
    }
    return f"curl {url}/capture -d '{json.dumps(event)}'"
