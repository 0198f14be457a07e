"""`gavel run`, `gavel init`, `gavel check`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.api import api
from cli.ingest import ingest
from cli.local import with_local_secret_key
from cli.reports_role import build_reports_role
from cli.running import reached_through, running_or_exit
from cli.serving import note_cautions, opened_parts, refuse_missing_topics, serve
from cli.terminal import ConfigOption, JsonOption, fail, print_json, settings_or_exit
from cli.workers import WorkersOption, supervise
from processor.exit_codes import EXIT_FAILED, EXIT_USAGE

if TYPE_CHECKING:
    from config.settings import Settings
    from processor.runtime.setup import Finding
    from processor.workers.place import Place

SERVERS: dict[str, Callable[..., None]] = {"api": api, "ingest": ingest}
"""Roles that serve HTTP and have a command of their own."""


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("run")(run)
    app.command("init")(init)
    app.command("check")(check)


def run(
    role: Annotated[
        list[str] | None,
        typer.Option(
            "--role",
            help="matcher, judge, sink or reports; repeatable. Without it these four run. api or ingest runs alone.",
        ),
    ] = None,
    workers: WorkersOption = 1,
    config: ConfigOption = None,
) -> None:
    """Run the roles against Kafka until SIGTERM.

    The topics and tables must exist; `gavel init` makes them. Each role scales by itself: run more processes, or
    several workers under one supervisor, which restarts those that end and has one `/metrics` and one `/readyz`.

    \b
        gavel run                                 all roles in one process
        gavel run --role judge                    one role
        gavel run --role matcher --workers 4      four processes of one role
        gavel run --role api --workers 2          the same as gavel api --workers 2
    """
    from config.settings.safety import ROLES, refuse_roles

    roles = tuple(dict.fromkeys(role or ROLES))
    server = next((name for name in roles if name in SERVERS), None)
    if server is not None:
        if len(roles) > 1:
            fail(f"--role: {server} runs alone, because it has a port of its own", code=EXIT_USAGE)
        SERVERS[server](workers=workers, config=config)
        return
    settings = settings_or_exit(config)
    unknown = [name for name in roles if name not in ROLES]
    problem = (
        f"--role: {unknown[0]} is not a role; choose {', '.join((*ROLES, *SERVERS))}"
        if unknown
        else refuse_roles(settings, roles)
    )
    if problem:
        fail(problem, code=EXIT_USAGE)
    if workers > 1:
        words = [word for name in roles for word in ("--role", name)]
        supervise(settings, ",".join(roles), workers, ["run", *words], config)
    raise typer.Exit(run_roles(settings, roles))


def run_roles(settings: Settings, roles: Sequence[str], place: Place | None = None) -> int:
    """Run roles in this process until a signal, and return the exit code.

    Args:
        place: of this process, if it is a worker of a supervisor.
    """
    from processor.metrics import Metrics
    from processor.runtime.process import Runtime, RuntimeOptions

    number = None if place is None else place.number
    with opened_parts(with_local_secret_key(settings), worker=number) as parts:
        if not number:
            note_cautions(parts.settings, roles)
        refuse_missing_topics(parts, roles)
        runtime = Runtime(
            parts.settings,
            roles,
            parts.database,
            Metrics(),
            RuntimeOptions(
                embedded=parts.broker,
                services=[] if parts.front is None else [parts.front],
                beside={"reports": build_reports_role},
                problems=parts.problems,
                worker=number or 0,
                probes_at=None if place is None else place.socket,
            ),
        )
        return serve(runtime, started=parts.publish)


def init(
    make_events_topic: Annotated[
        bool,
        typer.Option("--make-events-topic", help="Make the events topic even if another topic has nearly its name."),
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make topics, store tables and ClickHouse tables. It can be run any number of times.

    gavel init --json
    """
    from processor.kafka import KafkaClients
    from processor.runtime.setup import initialise
    from storage.sql.engine import open_store

    settings = settings_or_exit(config)
    Path(settings.data_dir).mkdir(parents=True, exist_ok=True)
    made = initialise(settings, KafkaClients(settings), open_store(settings), make_events_topic=make_events_topic)
    report(made, as_json)


def check(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Test the configuration and every connection, and say what to do about each failure.

    If `gavel up` runs, it tests that process's broker and ClickHouse.

    \b
        gavel check --json
    """
    from config.settings.safety import cautions
    from processor.kafka import KafkaClients
    from processor.runtime.setup import Finding, inspect
    from storage.sql.engine import open_store

    settings = settings_or_exit(config)
    findings = [Finding("settings", True, "valid")]
    findings += [Finding("settings", True, f"note: {caution}") for caution in cautions(settings)]
    running = running_or_exit(settings)
    if running is not None:
        settings = reached_through(settings, running)
        findings.append(
            Finding("process", True, f"process {running.pid} runs on {settings.data_dir} (Gavel {running.version})")
        )
    findings += inspect(settings, KafkaClients(settings), open_store(settings), beside_up=running is not None)
    report(findings, as_json)


def report(findings: list[Finding], as_json: bool) -> None:
    """Print the findings; exit with 1 if one of them is a failure."""
    if as_json:
        print_json([finding.as_json() for finding in findings])
    else:
        for finding in findings:
            mark = typer.style("ok    ", fg="green") if finding.ok else typer.style("FAILED", fg="red")
            typer.echo(f"{mark} {finding.subject:<11} {finding.detail}")
            if finding.remedy:
                typer.echo(f"       {'':<11} → {finding.remedy}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(EXIT_FAILED)
