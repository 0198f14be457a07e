"""`gavel api` and `gavel keys`."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.local import with_local_secret_key
from cli.terminal import (
    ConfigOption,
    JsonOption,
    console,
    fail,
    opened_store,
    print_json,
    refuse_embedded_broker,
    say,
    settings_or_exit,
)
from cli.workers import WorkersOption, listener_of, supervise
from processor.exit_codes import EXIT_FAILED, EXIT_USAGE

if TYPE_CHECKING:
    from config.settings import Settings
    from processor.workers.place import Place
    from storage.sql.api_keys import ApiKey


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("api")(api)
    keys = typer.Typer(help="Personal API keys: who may call the HTTP API.", no_args_is_help=True)
    keys.command("create")(create)
    keys.command("list")(list_keys)
    keys.command("revoke")(revoke)
    keys.command("new-secret")(new_secret)
    keys.command("rotate-secret")(rotate_secret)
    app.add_typer(keys, name="keys")


def api(workers: WorkersOption = 1, config: ConfigOption = None) -> None:
    """Serve the HTTP API until SIGTERM. `gavel up` serves it too.

    `/livez`, `/readyz` and `/metrics` are on `http.port`, as for every role. Limits on requests count per worker.

    \b
        gavel api --config gavel.yaml
        gavel api --workers 4
    """
    settings = settings_or_exit(config)
    refuse_embedded_broker(settings)
    if workers > 1:
        supervise(settings, "api", workers, ["api"], config, listen=(settings.api.host, settings.api.port))
    serve_api(settings)


def serve_api(settings: Settings, place: Place | None = None) -> None:
    """Serve the API in this process until a signal.

    Args:
        place: of this process, if it is a worker of a supervisor.
    """
    import signal
    import sys
    from functools import partial

    import structlog

    from api.http.precedence import SWITCH_S
    from api.serve import ApiServer
    from cli.letter_desk import KafkaLetterDesk
    from console.app import Console
    from processor.kafka import KafkaClients
    from processor.metrics import Metrics
    from processor.runtime.births import process_born, store_observer
    from processor.runtime.garbage import tune_collector
    from processor.runtime.health import HealthServer
    from processor.runtime.logs import configure
    from processor.runtime.vitals import service_vitals
    from storage.heartbeat import HeartbeatWriter

    settings = with_local_secret_key(settings)
    sys.setswitchinterval(SWITCH_S)
    problems = configure(settings.log.level, settings.log.format, worker=None if place is None else place.number)
    with opened_store(settings) as database:
        metrics = Metrics()
        process_born(metrics, settings)
        database.observe = store_observer(metrics)
        letters = KafkaLetterDesk(settings, KafkaClients(settings))
        pages = partial(Console, letters=letters, metrics=metrics) if settings.console.enabled else None
        server = ApiServer(
            settings, database, console=pages, metrics=metrics, listener=listener_of(place, settings.api.host)
        )
        try:
            tune_collector()
            server.start()
            health = HealthServer(
                settings.http.host,
                settings.http.port,
                live=server.live,
                ready=server.ready,
                registry=metrics.registry,
                at=None if place is None else place.socket,
            )
        except OSError as error:
            fail(str(error))
        health.start()
        heartbeat = HeartbeatWriter(database, {"api": partial(service_vitals, "api", metrics, problems)})
        heartbeat.start()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: server.ask_to_stop())
        address = f"http://{settings.api.host}:{server.port}/api/docs"
        structlog.get_logger("gavel.cli").info("api_serves", address=address)
        if settings.console.enabled and not (place and place.number):
            say(f"console on http://{settings.api.host}:{server.port}/console/")
        server.wait()
        heartbeat.stop()
        health.stop()
        server.stop()


def create(
    team: Annotated[int | None, typer.Option("--team", min=1, help="Team whose objects the key may use.")] = None,
    scope: Annotated[
        list[str] | None, typer.Option("--scope", help="Such as evaluation:write, or * for all; repeatable.")
    ] = None,
    operator: Annotated[
        bool,
        typer.Option("--operator", help="A key for the console's operations pages; it belongs to no team."),
    ] = False,
    label: Annotated[str, typer.Option("--label", help="Name of the owner, which `created_by` shows.")] = "API key",
    email: Annotated[str, typer.Option("--email", help="Address of the owner.")] = "",
    expires_in_days: Annotated[
        int | None, typer.Option("--expires-in-days", min=1, max=3650, help="Without it the key does not expire.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a personal API key. It is shown only once.

    \b
        gavel keys create --team 1 --scope evaluation:write --scope query:read
        gavel keys create --operator
    """
    from storage.sql.api_keys import OPERATOR_SCOPES, ApiKeys, UnknownScope
    from storage.sql.audit import OPERATOR_TEAM

    if operator == (team is not None):
        fail("give either --team or --operator", code=EXIT_USAGE)
    if not operator and not scope:
        fail("--scope is missing; give for example --scope evaluation:read, or --scope '*' for all", code=EXIT_USAGE)
    owner = OPERATOR_TEAM if team is None else team
    now = datetime.now(UTC)
    with opened_store(settings_or_exit(config)) as database:
        try:
            key, secret = ApiKeys(database).create(
                team_id=owner,
                label=label[:200],
                email=email[:254],
                scopes=scope or OPERATOR_SCOPES,
                now=now,
                expires_at=None if expires_in_days is None else now + timedelta(days=expires_in_days),
                actor="cli",
            )
        except UnknownScope as error:
            fail(str(error), code=EXIT_USAGE)
    if as_json:
        typer.echo(json.dumps({**_as_json(key), "key": secret}))
        return
    typer.echo(secret)
    whose = "of an operator" if operator else f"of team {team}"
    say(f"key {key.id} {whose}; keep it now, because it is not shown again")


def list_keys(
    team: Annotated[int | None, typer.Option("--team", min=1, help="Show only the keys of this team.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the keys, without their secrets.

    \b
        gavel keys list --team 1
    """
    from rich.table import Table

    from storage.sql.api_keys import ApiKeys

    with opened_store(settings_or_exit(config)) as database:
        found = ApiKeys(database).list(team)
    if as_json:
        print_json([_as_json(key) for key in found])
        return
    table = Table("id", "team", "key", "label", "scopes", "created", "last used", "state")
    for key in found:
        table.add_row(
            str(key.id), str(key.team_id), key.masked, key.label, " ".join(sorted(key.scopes)),
            f"{key.created_at:%Y-%m-%d}", f"{key.last_used_at:%Y-%m-%d %H:%M}" if key.last_used_at else "never",
            _state(key),
        )  # fmt: skip
    console().print(table)


def revoke(
    key_id: Annotated[int, typer.Argument(metavar="ID", min=1, help="The id that `gavel keys list` shows.")],
    config: ConfigOption = None,
) -> None:
    """Revoke a key for good. It stops working with the next request.

    \b
        gavel keys revoke 3
    """
    from storage.sql.api_keys import ApiKeys

    with opened_store(settings_or_exit(config)) as database:
        if ApiKeys(database).revoke(key_id, actor="cli", now=datetime.now(UTC)) is None:
            fail(f"there is no key {key_id}; `gavel keys list` shows all keys", code=EXIT_USAGE)
    say(f"key {key_id} is revoked")


def new_secret() -> None:
    """Make a key for the setting `secret_keys`, which encrypts provider keys in the store.

    \b
        gavel keys new-secret
    """
    from cryptography.fernet import Fernet

    typer.echo(Fernet.generate_key().decode())


def rotate_secret(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Encrypt all stored provider keys and secrets of report targets with the newest of `secret_keys`.

    To rotate: put a new key in front of the old ones in `secret_keys`, restart all processes, run this command, and
    remove the old keys. It can be repeated, and interrupted, because every secret stays readable throughout.

    \b
        gavel keys rotate-secret
    """
    from config.secrets import NoSecretKeys, SecretBox
    from storage.sql.rotation import reseal_all

    settings = settings_or_exit(config)
    with opened_store(settings) as database:
        try:
            done = reseal_all(database, SecretBox(settings.secret_keys))
        except NoSecretKeys as error:
            fail(str(error), code=EXIT_USAGE)
    if as_json:
        typer.echo(json.dumps({"resealed": done.resealed, "undecipherable": list(done.undecipherable)}))
    else:
        say(f"{done.resealed} secrets are encrypted with the newest secret key")
        for owner in done.undecipherable:
            say(f"{owner}: no configured secret key opens it; store the provider key or the report's targets again")
    if done.undecipherable:
        raise typer.Exit(EXIT_FAILED)


def _state(key: ApiKey) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at is not None and key.expires_at <= datetime.now(UTC) else "active"


def _as_json(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "team": key.team_id,
        "label": key.label,
        "email": key.email,
        "masked": key.masked,
        "scopes": sorted(key.scopes),
        "state": _state(key),
        "created_at": key.created_at.isoformat(),
        "expires_at": key.expires_at.isoformat() if key.expires_at else None,
        "last_used_at": key.last_used_at.isoformat() if key.last_used_at else None,
    }
