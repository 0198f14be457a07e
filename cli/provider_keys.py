"""`gavel provider-keys`: the keys with which LLM judges call their models."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.local import with_local_secret_key
from cli.terminal import (
    ConfigOption,
    JsonOption,
    confirm,
    console,
    fail,
    only_or_exit,
    opened_store,
    print_json,
    printable,
    say,
    settings_or_exit,
)
from processor.exit_codes import EXIT_USAGE

if TYPE_CHECKING:
    from config.provider_keys import ProviderKey
    from config.settings import Settings
    from storage.sql.provider_keys import ProviderKeys

TeamOption = Annotated[int, typer.Option("--team", min=0, max=2**63 - 1, help="Team that the key belongs to.")]
KeyArgument = Annotated[
    str, typer.Argument(metavar="KEY", help="Id or exact name, as `gavel provider-keys list` has it.")
]
_ACTOR = "cli"
_MAX_KEY_CHARS = 4000
_ALL = 10_000


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = typer.Typer(help="Keys of LLM providers, with which judges call their models.", no_args_is_help=True)
    group.command("add")(add)
    group.command("list")(list_keys)
    group.command("activate")(activate)
    group.command("remove")(remove)
    app.add_typer(group, name="provider-keys")


def add(
    provider: Annotated[str, typer.Argument(help="Name as in docs/judges.md, such as openai; custom with --base-url.")],
    name: Annotated[str | None, typer.Option("--name", help="Name for people; the provider's otherwise.")] = None,
    from_env: Annotated[
        str | None, typer.Option("--from-env", metavar="VARIABLE", help="Environment variable that holds the key.")
    ] = None,
    inactive: Annotated[
        bool, typer.Option("--inactive", help="Do not use it for evaluations that name no key.")
    ] = False,
    base_url: Annotated[str | None, typer.Option("--base-url", help="Endpoint of a custom provider.")] = None,
    azure_endpoint: Annotated[str | None, typer.Option("--azure-endpoint", help="Endpoint of azure_openai.")] = None,
    api_version: Annotated[str | None, typer.Option("--api-version", help="API version of azure_openai.")] = None,
    team: TeamOption = 1,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Try a key, store it encrypted, and let judges use it.

    The key is read from standard input or from an environment variable, because arguments show in the process list.

    \b
        gavel provider-keys add openai --from-env OPENAI_API_KEY
        gavel provider-keys add anthropic < key.txt
    """
    from pydantic import ValidationError

    from api.http.errors import Invalid
    from api.schemas.provider_keys import ProviderKeyCreate
    from api.services.judging import JudgeCalls
    from config.secrets import NoSecretKeys
    from storage.sql.provider_keys import NewKey

    try:
        given = ProviderKeyCreate.model_validate(
            {
                "provider": provider,
                "name": name or provider,
                "api_key": _read_key(from_env),
                "base_url": base_url,
                "azure_endpoint": azure_endpoint,
                "api_version": api_version,
            }
        )
    except ValidationError as error:
        fail(*(f"{problem['loc'][0]}: {problem['msg']}" for problem in error.errors()), code=EXIT_USAGE)
    address = {"base_url": given.base_url, "azure_endpoint": given.azure_endpoint, "api_version": given.api_version}
    with _opened(config) as (settings, store):
        try:
            judging = JudgeCalls(settings, store)
            endpoint = judging.endpoint(given.provider, given.api_key, **address)
            state, message = judging.validate(endpoint)
            if state != "ok":
                fail(f"the key does not work, and was not stored: {message}")
            key = store.create(
                team,
                NewKey(provider=given.provider, name=given.name, api_key=given.api_key, state="ok", **address),
                actor=_ACTOR,
                now=datetime.now(UTC),
                set_as_active=not inactive,
            )
        except Invalid as error:
            fail(str(error.detail), code=EXIT_USAGE)
        except NoSecretKeys as error:
            fail(str(error), code=EXIT_USAGE)
    if as_json:
        print_json(_as_json(key, active=not inactive))
    else:
        used = "is stored" if inactive else "judges from now on"
        say(f"key {key.name} ({key.api_key_masked}) of team {team} works and {used}")


def list_keys(team: TeamOption = 1, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show the keys of a team, masked, and which one is active.

    gavel provider-keys list --team 7
    """
    from rich.markup import escape
    from rich.table import Table

    with _opened(config) as (_, store):
        keys = store.page(team, limit=_ALL).results
        active = store.config(team, now=datetime.now(UTC)).active_provider_key_id
    if as_json:
        print_json([_as_json(key, active=key.id == active) for key in keys])
        return
    if not keys:
        say(f"team {team} has no provider key; `gavel provider-keys add` stores one")
        return
    table = Table("id", "provider", "name", "key", "state", "active", "last used")
    for key in keys:
        state = key.state if key.error_message is None else f"{key.state}: {key.error_message}"
        used = f"{key.last_used_at:%Y-%m-%d %H:%M}" if key.last_used_at else "never"
        cells = (key.id, key.provider, key.name, key.api_key_masked, state, "yes" if key.id == active else "", used)
        table.add_row(*(escape(printable(cell)) for cell in cells))
    console().print(table)


def activate(key: KeyArgument, team: TeamOption = 1, config: ConfigOption = None) -> None:
    """Use a key for all evaluations of the team that name none.

    gavel provider-keys activate anthropic
    """
    from storage.sql.provider_keys import KeyNotUsable

    with _opened(config) as (_, store):
        found = _named(store, team, key)
        try:
            store.set_active_key(team, found.id, actor=_ACTOR, now=datetime.now(UTC))
        except KeyNotUsable as error:
            fail(f"{error}; add the key again if it was replaced")
    say(f"key {found.name} judges for team {team} from now on")


def remove(
    key: KeyArgument,
    replacement: Annotated[
        str | None, typer.Option("--replacement", help="Key that takes over the evaluations that name this one.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    team: TeamOption = 1,
    config: ConfigOption = None,
) -> None:
    """Delete a key. Evaluations that name it stop, unless another key takes over.

    gavel provider-keys remove openai --replacement openai-2
    """
    with _opened(config) as (_, store):
        found = _named(store, team, key)
        heir = None if replacement is None else _named(store, team, replacement)
        if heir is not None and (heir.id == found.id or heir.provider != found.provider):
            fail(f"--replacement: name another key for {found.provider}", code=EXIT_USAGE)
        stops = [] if heir is not None else [each.name for each in store.dependents(team, found.id)]
        consequence = f" These evaluations stop: {', '.join(map(printable, stops))}." if stops else ""
        confirm(yes, f"Delete key {found.name} ({found.api_key_masked})?{consequence}")
        store.delete(
            team, found.id, actor=_ACTOR, now=datetime.now(UTC), replacement_id=None if heir is None else heir.id
        )
    say(f"key {found.name} of team {team} is deleted")


@contextmanager
def _opened(config: Path | None) -> Iterator[tuple[Settings, ProviderKeys]]:
    from storage.sql.provider_keys import ProviderKeys

    settings = with_local_secret_key(settings_or_exit(config))
    with opened_store(settings) as database:
        yield settings, ProviderKeys.of(settings, database)


def _read_key(variable: str | None) -> str:
    """Return the key; it never comes from an argument."""
    if variable is not None:
        text = os.environ.get(variable, "").strip()
        if not text:
            fail(f"--from-env: the environment variable {variable} is not set, or empty", code=EXIT_USAGE)
        return text
    if sys.stdin.isatty():
        return str(typer.prompt("Key", hide_input=True, err=True)).strip()
    text = sys.stdin.read(_MAX_KEY_CHARS + 1).strip()
    if not text:
        fail("standard input holds no key; pipe it in, or name a variable with --from-env", code=EXIT_USAGE)
    return text


def _named(store: ProviderKeys, team: int, given: str) -> ProviderKey:
    keys = store.page(team, limit=_ALL).results
    return only_or_exit(keys, given, what="provider key", listed_by=f"`gavel provider-keys list --team {team}`")


def _as_json(key: ProviderKey, *, active: bool) -> dict[str, Any]:
    return {
        "id": key.id,
        "team": key.team_id,
        "provider": key.provider,
        "name": key.name,
        "masked": key.api_key_masked,
        "state": key.state,
        "error": key.error_message,
        "active": active,
        "last_used_at": key.last_used_at.isoformat() if key.last_used_at else None,
    }
