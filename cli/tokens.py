"""`gavel tokens`: the project tokens with which applications send events."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.terminal import ConfigOption, JsonOption, console, fail, opened_store, print_json, say, settings_or_exit
from processor.exit_codes import EXIT_USAGE

if TYPE_CHECKING:
    from storage.sql.project_tokens import ProjectToken

_OPTIONS = {"imported": "token", "origins": "origin"}
"""Argument of the repository → option."""


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    tokens = typer.Typer(
        help="Project tokens: which team the events of an application belong to.", no_args_is_help=True
    )
    tokens.command("create")(create)
    tokens.command("list")(list_tokens)
    tokens.command("revoke")(revoke)
    app.add_typer(tokens, name="tokens")


def create(
    team: Annotated[int, typer.Option("--team", min=1, help="Team that the events belong to.")],
    name: Annotated[str, typer.Option("--name", help="Name of the application that uses the token.")] = "",
    token: Annotated[
        str | None, typer.Option("--token", help="An existing PostHog token (phc_…) to use instead of a new one.")
    ] = None,
    events_per_s: Annotated[
        int, typer.Option("--events-per-s", min=0, max=1_000_000, help="Most events a second; 0 sets no limit.")
    ] = 0,
    bytes_per_s: Annotated[
        int, typer.Option("--bytes-per-s", min=0, max=10**12, help="Most bytes a second; 0 sets no limit.")
    ] = 0,
    origin: Annotated[
        list[str] | None, typer.Option("--origin", help="Browser origin that may send; repeatable. Without it all may.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a project token and show it, this one time.

    gavel tokens create --team 1 --name checkout
    """
    from storage.sql.project_tokens import ProjectTokens, TokenRefused

    with opened_store(settings_or_exit(config)) as database:
        try:
            made, text = ProjectTokens(database).create(
                team_id=team,
                name=name[:200],
                imported=token,
                events_per_s=events_per_s,
                bytes_per_s=bytes_per_s,
                origins=origin or (),
                actor="cli",
                now=datetime.now(UTC),
            )
        except TokenRefused as error:
            fail(f"--{_OPTIONS[error.field]}: {error}", code=EXIT_USAGE)
    if as_json:
        typer.echo(json.dumps({**_as_json(made), "token": text}))
        return
    typer.echo(text)
    say(f"token {made.id} of team {team}. It is not shown again: keep it now.")


def list_tokens(
    team: Annotated[int | None, typer.Option("--team", min=1, help="Show the tokens of this team only.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the tokens, without their secrets.

    \b
        gavel tokens list --team 1
    """
    from rich.table import Table

    from storage.sql.project_tokens import ProjectTokens

    with opened_store(settings_or_exit(config)) as database:
        found = ProjectTokens(database).list(team)
    if as_json:
        print_json([_as_json(token) for token in found])
        return
    table = Table("id", "team", "token", "name", "events/s", "bytes/s", "origins", "created", "state")
    for token in found:
        table.add_row(
            str(token.id), str(token.team_id), token.masked, token.name, str(token.events_per_s or "no limit"),
            str(token.bytes_per_s or "no limit"), " ".join(token.origins) or "all", f"{token.created_at:%Y-%m-%d}",
            _state(token),
        )  # fmt: skip
    console().print(table)


def revoke(
    token_id: Annotated[int, typer.Argument(metavar="ID", min=1, help="As `gavel tokens list` shows it.")],
    config: ConfigOption = None,
) -> None:
    """Revoke a token for good. It stops working within two seconds.

    \b
        gavel tokens revoke 3
    """
    from storage.sql.project_tokens import ProjectTokens

    with opened_store(settings_or_exit(config)) as database:
        if ProjectTokens(database).revoke(token_id, actor="cli", now=datetime.now(UTC)) is None:
            fail(f"there is no token {token_id}; `gavel tokens list` shows them", code=EXIT_USAGE)
    say(f"token {token_id} is revoked")


def _state(token: ProjectToken) -> str:
    return "active" if token.revoked_at is None else "revoked"


def _as_json(token: ProjectToken) -> dict[str, Any]:
    return {
        "id": token.id,
        "team": token.team_id,
        "name": token.name,
        "masked": token.masked,
        "events_per_s": token.events_per_s,
        "bytes_per_s": token.bytes_per_s,
        "origins": list(token.origins),
        "state": _state(token),
        "created_at": token.created_at.isoformat(),
    }
