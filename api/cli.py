"""`gavel api` and `gavel keys`."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from config.settings import Settings
    from config.store.api_keys import ApiKey
    from config.store.engine import Database

ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="Settings file; GAVEL_CONFIG or gavel.yaml otherwise.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
_FAILED, _USAGE = 1, 2


def register(app: typer.Typer) -> None:
    """Add the commands of the API (entry point group `gavel.commands`)."""
    app.command("api")(api)
    keys = typer.Typer(help="Personal API keys: who may call the HTTP API.", no_args_is_help=True)
    keys.command("create")(create)
    keys.command("list")(list_keys)
    keys.command("revoke")(revoke)
    keys.command("new-secret")(new_secret)
    keys.command("rotate-secret")(rotate_secret)
    app.add_typer(keys, name="keys")


def api(config: ConfigOption = None) -> None:
    """Serve the HTTP API until SIGTERM. [bold]gavel up[/bold] has it included."""
    import signal

    from api.serve import ApiServer

    settings = _settings(config)
    if settings.kafka.is_embedded:
        _fail("kafka.bootstrap_servers is 'embedded', a broker inside one process; use `gavel up`, or set it", _USAGE)
    server = ApiServer(settings, _store(settings))
    try:
        server.start()
    except OSError as error:
        _fail(str(error), _FAILED)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: server.ask_to_stop())
    typer.echo(f"gavel: API on http://{settings.api.host}:{server.port}/api/docs", err=True)
    server.wait()
    server.stop()


def create(
    team: Annotated[int, typer.Option("--team", min=1, help="Team whose objects the key may use.")],
    scope: Annotated[list[str], typer.Option("--scope", help="Such as evaluation:write; may be repeated. * for all.")],
    label: Annotated[str, typer.Option("--label", help="Whose key it is, as `created_by` shows it.")] = "API key",
    email: Annotated[str, typer.Option("--email", help="Address of the owner.")] = "",
    expires_in_days: Annotated[
        int | None, typer.Option("--expires-in-days", min=1, max=3650, help="For good if not given.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a personal API key and show it, this one time.

    gavel keys create --team 1 --scope evaluation:write --scope query:read
    """
    from config.store.api_keys import ApiKeys, UnknownScope

    now = datetime.now(UTC)
    try:
        key, secret = ApiKeys(_store(_settings(config))).create(
            team_id=team,
            label=label[:200],
            email=email[:254],
            scopes=scope,
            now=now,
            expires_at=None if expires_in_days is None else now + timedelta(days=expires_in_days),
        )
    except UnknownScope as error:
        _fail(str(error), _USAGE)
    if as_json:
        typer.echo(json.dumps({**_as_json(key), "key": secret}))
        return
    typer.echo(secret)
    typer.echo(f"gavel: key {key.id} of team {team}. It is not shown again: keep it now.", err=True)


def list_keys(
    team: Annotated[int | None, typer.Option("--team", min=1, help="Of one team only.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the keys, without their secrets."""
    from rich.console import Console
    from rich.table import Table

    from config.store.api_keys import ApiKeys

    found = ApiKeys(_store(_settings(config))).list(team)
    if as_json:
        typer.echo(json.dumps([_as_json(key) for key in found], indent=2))
        return
    table = Table("id", "team", "key", "label", "scopes", "created", "last used", "state")
    for key in found:
        table.add_row(
            str(key.id), str(key.team_id), key.masked, key.label, " ".join(sorted(key.scopes)),
            f"{key.created_at:%Y-%m-%d}", f"{key.last_used_at:%Y-%m-%d %H:%M}" if key.last_used_at else "never",
            _state(key),
        )  # fmt: skip
    Console(file=sys.stdout).print(table)


def revoke(
    key_id: Annotated[int, typer.Argument(metavar="ID", min=1, help="As `gavel keys list` shows it.")],
    config: ConfigOption = None,
) -> None:
    """Revoke a key for good. It stops working with the next request."""
    from config.store.api_keys import ApiKeys

    if ApiKeys(_store(_settings(config))).revoke(key_id, now=datetime.now(UTC)) is None:
        _fail(f"there is no key {key_id}; `gavel keys list` shows them", _FAILED)
    typer.echo(f"gavel: key {key_id} is revoked", err=True)


def new_secret() -> None:
    """Make a key for the setting `secret_keys`, which encrypts provider keys in the store."""
    from cryptography.fernet import Fernet

    typer.echo(Fernet.generate_key().decode())


def rotate_secret(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Encrypt all stored provider keys with the newest of `secret_keys`.

    To rotate: put a new key in front of the old ones in `secret_keys`, restart all processes, run this, and take the
    old ones out. May be repeated, and ended half-way: what both keys open stays readable throughout.
    """
    from config.secrets import NoSecretKeys, SecretBox
    from config.store.rotation import reseal_all

    settings = _settings(config)
    try:
        done = reseal_all(_store(settings), SecretBox(settings.secret_keys))
    except NoSecretKeys as error:
        _fail(str(error), _USAGE)
    if as_json:
        typer.echo(json.dumps({"resealed": done.resealed, "undecipherable": list(done.undecipherable)}))
    else:
        typer.echo(f"gavel: {done.resealed} provider keys are encrypted with the newest secret key", err=True)
        for key_id in done.undecipherable:
            typer.echo(f"gavel: {key_id}: no configured secret key opens it; store the provider key again", err=True)
    if done.undecipherable:
        raise typer.Exit(_FAILED)


def _settings(config: Path | None) -> Settings:
    from config.settings import SettingsError, load_settings

    try:
        return load_settings(config)
    except SettingsError as error:
        for problem in error.problems:
            typer.echo(f"gavel: {problem}", err=True)
        raise typer.Exit(_USAGE) from None


def _store(settings: Settings) -> Database:
    """Return the store; end with what to do about it if it is away or lacks a table."""
    from config.migrations import check_current
    from config.store.engine import StoreError, open_store

    database = open_store(settings)
    try:
        check_current(database)
    except StoreError as error:
        _fail(str(error), _FAILED)
    return database


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(f"gavel: {message}", err=True)
    raise typer.Exit(code)


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
