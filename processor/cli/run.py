"""`gavel run`, `gavel up`, `gavel init`, `gavel check`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from config.settings import Settings
    from processor.runtime import Runtime
    from processor.setup import Finding

ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="Settings file; GAVEL_CONFIG or gavel.yaml otherwise.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
EXIT_FAILED, EXIT_USAGE = 1, 2


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("up")(up)
    app.command("run")(run)
    app.command("init")(init)
    app.command("check")(check)


def settings_or_exit(config: Path | None) -> Settings:
    """Return the settings; on a problem print every one of them and exit with 2."""
    from config.settings import SettingsError, load_settings

    try:
        return load_settings(config)
    except SettingsError as error:
        for problem in error.problems:
            typer.echo(f"gavel: {problem}", err=True)
        raise typer.Exit(EXIT_USAGE) from None


def run(
    role: Annotated[
        list[str] | None, typer.Option("--role", help="matcher, judge or sink; may be repeated. All by default.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Run the roles against Kafka until SIGTERM.

    Needs what [bold]gavel init[/bold] makes. Each role scales by itself: run more processes.

        gavel run                        all roles in one process
        gavel run --role judge           one role
    """
    from config.settings.safety import ROLES, cautions, refuse_roles

    settings = settings_or_exit(config)
    roles = tuple(dict.fromkeys(role or ROLES))
    unknown = [name for name in roles if name not in ROLES]
    problem = f"--role: {unknown[0]} is no role; use {', '.join(ROLES)}" if unknown else refuse_roles(settings, roles)
    if problem:
        typer.echo(f"gavel: {problem}", err=True)
        raise typer.Exit(EXIT_USAGE)
    for caution in cautions(settings, roles):
        typer.echo(f"gavel: note: {caution}", err=True)
    raise typer.Exit(_serve(settings, roles, make=False))


def up(config: ConfigOption = None) -> None:
    """Start everything in one process on embedded defaults, and stay.

    Makes topics and tables first. Ctrl-C drains and ends.
    """
    from config.settings.safety import ROLES

    raise typer.Exit(_serve(settings_or_exit(config), ROLES, make=True))


def init(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Make topics, store tables and ClickHouse tables. May be run any number of times."""
    from config.store.engine import open_store
    from processor.kafka import KafkaClients
    from processor.setup import initialise

    settings = settings_or_exit(config)
    Path(settings.data_dir).mkdir(parents=True, exist_ok=True)
    _report(initialise(settings, KafkaClients(settings), open_store(settings)), as_json)


def check(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Test the configuration and every connection, and say what to do about each failure."""
    from config.settings.safety import cautions
    from config.store.engine import open_store
    from processor.kafka import KafkaClients
    from processor.setup import Finding, inspect

    settings = settings_or_exit(config)
    findings = [Finding("settings", True, "valid")]
    findings += [Finding("settings", True, f"note: {caution}") for caution in cautions(settings)]
    findings += inspect(settings, KafkaClients(settings), open_store(settings))
    _report(findings, as_json)


def _report(findings: list[Finding], as_json: bool) -> None:
    """Print the findings and exit with 1 if one is not well."""
    if as_json:
        typer.echo(json.dumps([finding.as_json() for finding in findings], indent=2))
    else:
        for finding in findings:
            mark = typer.style("ok    ", fg="green") if finding.ok else typer.style("FAILED", fg="red")
            typer.echo(f"{mark} {finding.subject:<11} {finding.detail}")
            if finding.remedy:
                typer.echo(f"       {'':<11} → {finding.remedy}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(EXIT_FAILED)


def _serve(settings: Settings, roles: tuple[str, ...], *, make: bool) -> int:
    """Run `roles` until a signal; with `make` also what `gavel init` does, and the services beside them."""
    from importlib.metadata import entry_points

    from confluent_kafka import KafkaException

    from config.clickhouse import ClickHouseProblem
    from config.store.engine import StoreError, open_store
    from processor.committer import CommitFailed
    from processor.kafka import EmbeddedBroker, KafkaClients, missing_topics
    from processor.logs import configure
    from processor.metrics import Metrics
    from processor.runtime import Runtime
    from processor.setup import initialise

    configure(settings.log.level, settings.log.format)
    Path(settings.data_dir).mkdir(parents=True, exist_ok=True)
    database = open_store(settings)
    embedded = EmbeddedBroker() if settings.kafka.is_embedded else None
    clients = KafkaClients(settings, embedded)
    if make:
        failed = [finding for finding in initialise(settings, clients, database) if not finding.ok]
        if failed:
            _report(failed, as_json=False)
    elif embedded is None:
        try:
            missing = missing_topics(clients, settings)
        except KafkaException as error:
            # The broker may come up later: librdkafka goes on trying, and /readyz says what is missing.
            typer.echo(f"gavel: note: Kafka does not answer yet: {error.args[0].str()}", err=True)
        else:
            if missing:
                typer.echo(f"gavel: topics do not exist: {', '.join(missing)}; run `gavel init`", err=True)
                return EXIT_FAILED
    services = (
        [point.load()(settings, database, clients.bootstrap_servers) for point in entry_points(group="gavel.services")]
        if make
        else []
    )
    runtime = Runtime(settings, roles, database, Metrics(), embedded=embedded, services=services)
    runtime.install_signal_handlers()
    try:
        runtime.start()
    except (CommitFailed, KafkaException, StoreError, ClickHouseProblem, OSError) as error:
        reason = error.args[0].str() if isinstance(error, KafkaException) else str(error)
        typer.echo(f"gavel: could not start: {reason}; `gavel check` tests every connection", err=True)
        return EXIT_FAILED
    if make:
        typer.echo(_welcome(settings, runtime), err=True)
    runtime.wait()
    return runtime.stop()


def _welcome(settings: Settings, runtime: Runtime) -> str:
    """Return where everything is, for the person who started it."""
    port = settings.http.port if runtime.health is None else runtime.health.port
    lines = {
        "events": f"produce to topic {settings.kafka.topics.events} at {runtime.clients.bootstrap_servers}",
        "api": f"http://{settings.api.host}:{settings.api.port}/api/docs",
        "metrics": f"http://{settings.http.host}:{port}/metrics",
        "data": str(settings.data_dir),
    }
    return "\n".join(["Gavel is up; Ctrl-C drains and ends.", *(f"  {name:<8} {text}" for name, text in lines.items())])
