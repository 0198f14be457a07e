"""`gavel up`: everything in one process, for a first look and for development."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from cli.ingest import curl_line, first_token
from cli.local import with_local_secret_key
from cli.reports_role import build_reports_role
from cli.run import report
from cli.serving import ProcessParts, opened_parts, serve
from cli.terminal import ConfigOption, fail, say, settings_or_exit
from processor.exit_codes import EXIT_USAGE

if TYPE_CHECKING:
    from config.files import FileEvaluation
    from config.settings import Settings
    from ingest.embedded import EventRoom
    from ingest.serve import IngestServer
    from processor.metrics import Metrics
    from processor.runtime.process import Runtime

_TEAM = 1
_STAND_IN_RUNS = 1_000_000
_FIRST_TOKENS_WITHIN_S = 10.0


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("up")(up)


def up(
    examples: Annotated[
        bool, typer.Option("--examples", help="Apply the example evaluators, so that the first event has verdicts.")
    ] = False,
    stand_in: Annotated[
        bool,
        typer.Option(
            "--stand-in", help="Judge by a local stand-in instead of a model. It needs no key, and follows fixed rules."
        ),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print no line per verdict and dead letter.")] = False,
    config: ConfigOption = None,
) -> None:
    """Start everything in one process on embedded defaults.

    It makes topics and tables first, and prints how to send an event. Ctrl-C finishes the work in progress and ends it.

    \b
        gavel up --examples --stand-in      verdicts of code and of a stand-in judge, without any key
        gavel results --follow              shows verdicts in another terminal
    """
    with ExitStack() as stack:
        settings = with_local_secret_key(settings_or_exit(config))
        parts = stack.enter_context(opened_parts(settings))
        if stand_in:
            settings = parts.settings = _judged_by_stand_in(settings, stack)
        raise typer.Exit(_run(parts, examples=examples, stand_in=stand_in, quiet=quiet))


def _run(parts: ProcessParts, *, examples: bool, stand_in: bool, quiet: bool) -> int:
    from api.serve import ApiServer
    from cli.letter_desk import KafkaLetterDesk
    from cli.verdicts import VerdictLines
    from config.settings.safety import ROLES
    from console.app import Console
    from ingest.serve import IngestServer
    from processor.kafka import KafkaClients
    from processor.metrics import Metrics
    from processor.runtime.process import Runtime, RuntimeOptions, Service
    from processor.runtime.setup import initialise

    settings, database = parts.settings, parts.database
    clients = KafkaClients(settings, parts.broker)
    failed = [finding for finding in initialise(settings, clients, database) if not finding.ok]
    if failed:
        report(failed, as_json=False)
    applied = _apply_examples(parts, with_judges=stand_in) if examples else 0
    metrics = Metrics()
    try:
        room = _event_room(settings, metrics) if parts.broker is not None else None
        door = IngestServer(settings, database, metrics, clients.bootstrap_servers, room)
    except ValueError as error:
        fail(str(error), code=EXIT_USAGE)
    services: list[Service] = [] if parts.front is None else [parts.front]
    letters = KafkaLetterDesk(settings, clients)
    pages = partial(Console, letters=letters, metrics=metrics) if settings.console.enabled else None
    services += [door, ApiServer(settings, database, clients.bootstrap_servers, door.app, pages, metrics)]
    if not quiet:
        services.append(VerdictLines(settings, clients, database))
    runtime = Runtime(
        settings,
        ROLES,
        database,
        metrics,
        RuntimeOptions(
            embedded=parts.broker,
            services=services,
            beside={"reports": build_reports_role},
            problems=parts.problems,
        ),
    )
    door.on_fatal = runtime.request_stop
    token = first_token(settings, database)  # before the door opens, so that the token works at once

    def started() -> None:
        from api.services.console_access import local_sign_in_path

        door.await_tokens(_FIRST_TOKENS_WITHIN_S)  # the printed line is for the moment in which it is printed
        events = f"http://{settings.ingest.host}:{door.port}"
        parts.publish(api=f"http://{settings.api.host}:{settings.api.port}", events=events)
        link = local_sign_in_path(database, _TEAM, now=datetime.now(UTC)) if settings.console.enabled else ""
        say_welcome(settings, runtime, door, token, applied=applied, stand_in=stand_in, console=link)

    def ending() -> None:
        if runtime.signalled == signal.SIGTERM:  # Ctrl-C comes from a terminal, not from a balancer
            door.drain()
        elif runtime.signalled == signal.SIGINT:
            say("the work in progress is finished first; a second Ctrl-C ends at once")

    code = serve(runtime, started=started, ending=ending)
    if door.failure is not None:
        fail(f"the front door ended: {door.failure}")
    return code


def _event_room(settings: Settings, metrics: Metrics) -> EventRoom:
    """Return what holds senders back while the embedded broker has no room for their events."""
    from config.settings.safety import ROLES
    from ingest.embedded import EventRoom
    from processor.kafka import EMBEDDED_PARTITIONS
    from processor.role_topics import topics_read

    events = settings.kafka.topics.events
    readers = tuple(role for role in ROLES if events in topics_read(settings, role))
    return EventRoom(metrics, events, readers, EMBEDDED_PARTITIONS)


def _judged_by_stand_in(settings: Settings, stack: ExitStack) -> Settings:
    """Start the stand-in in a process of its own, and return settings by which teams without a key are judged by it."""
    from pydantic import SecretStr

    from examples.stand_in.client import StandInServer

    if settings.judge.trial_api_key is not None:
        fail("--stand-in: judge.trial_api_key names a real provider's key; leave one of both out", code=EXIT_USAGE)
    server = StandInServer()
    stack.callback(server.close)
    judge = settings.judge.model_copy(
        update={
            "trial_api_key": SecretStr("stand-in"),
            "trial_provider": "openai",
            "trial_base_url": server.base_url,
            "trial_eval_limit": _STAND_IN_RUNS,
        }
    )
    return settings.model_copy(update={"judge": judge})


def _apply_examples(parts: ProcessParts, *, with_judges: bool) -> int:
    """Apply the example evaluators to team 1, and return how many there are. LLM judges need a judge that answers."""
    from datetime import UTC, datetime

    from config.files import read_definitions
    from examples import EVALUATORS, JUDGES
    from storage.apply import apply_definitions

    wanted, problems = read_definitions([EVALUATORS])
    if with_judges:
        judges, more = read_definitions([JUDGES])
        wanted, problems = [*wanted, *(_on_every_event(each) for each in judges)], [*problems, *more]
    if problems:
        fail(*(str(problem) for problem in problems))
    apply_definitions(parts.database, _TEAM, wanted, actor="gavel up --examples", now=datetime.now(UTC))
    return len(wanted)


def _on_every_event(judge: FileEvaluation) -> FileEvaluation:
    """Return a judge without sampling: the stand-in costs nothing, and the first event should have its verdict."""
    sets = tuple(each.model_copy(update={"rollout_percentage": 100.0}) for each in judge.draft.conditions)
    return replace(judge, draft=judge.draft.model_copy(update={"conditions": sets}))


def say_welcome(
    settings: Settings,
    runtime: Runtime,
    door: IngestServer,
    token: str,
    *,
    applied: int,
    stand_in: bool,
    console: str = "",
) -> None:
    """Print the addresses of everything, and how to send a first event, for the person who started it.

    Args:
        console: path of the link that signs in to the console once; empty if the console is not served.
    """
    port = settings.http.port if runtime.health is None else runtime.health.port
    url = f"http://{settings.ingest.host}:{door.port}"
    lines = {
        "events": f"{url} (PostHog SDKs, OTLP/HTTP), or produce to topic {settings.kafka.topics.events} at "
        f"{runtime.clients.bootstrap_servers}",
        "token": token,
        "api": f"http://{settings.api.host}:{settings.api.port}/api/docs",
        **({"console": f"http://{_browsable(settings.api.host)}:{settings.api.port}{console}"} if console else {}),
        "metrics": f"http://{settings.http.host}:{port}/metrics",
        "data": str(settings.data_dir),
        "judged by": _judged_by(applied, stand_in=stand_in),
    }
    text = [
        "Gavel is up. Ctrl-C finishes the work in progress and ends it.",
        *(f"  {name:<9} {value}" for name, value in lines.items()),
        "Send a first event:",
        f"  {curl_line(url, token)}",
        "Then see `gavel results --follow` in another terminal.",
    ]
    typer.echo("\n".join(text))  # not on standard error, where the log is


def _browsable(host: str) -> str:
    """Return a name by which a browser of this machine reaches a server that listens on `host`."""
    return "localhost" if host in ("0.0.0.0", "::", "127.0.0.1") else host  # noqa: S104  # compared, not bound


def _judged_by(applied: int, *, stand_in: bool) -> str:
    if not applied:
        return "the evaluations in the store; `gavel up --examples` comes with ready ones"
    kind = ", LLM judges by the stand-in, which is not a model" if stand_in else ""
    return f"{applied} example evaluations of team {_TEAM}{kind}"
