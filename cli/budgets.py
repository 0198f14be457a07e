"""`gavel budgets`: what all judges of a team may spend together."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.terminal import ConfigOption, JsonOption, fail, opened_store, settings_or_exit
from processor.exit_codes import EXIT_USAGE

if TYPE_CHECKING:
    from storage.sql.engine import Database
    from storage.sql.provider_keys import ProviderKeys

_TeamOption = Annotated[int, typer.Option("--team", min=1, help="Team whose judges share the budget.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = typer.Typer(name="budgets", help="The budget that all judges of a team share.")
    group.callback()(_group)
    group.command("show")(show)
    group.command("set")(set_budget)
    app.add_typer(group, no_args_is_help=True)


def _group() -> None:
    """The budget that all judges of a team share."""


def show(team: _TeamOption, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show a team's budget and what is spent of it in the current period.

    gavel budgets show --team 7
    """
    with _opened(config) as (database, keys):
        _print(database, keys, team, as_json)


def set_budget(
    team: _TeamOption,
    usd: Annotated[float | None, typer.Option(help="US dollars per period.")] = None,
    tokens: Annotated[int | None, typer.Option(help="Input and output tokens per period.")] = None,
    period: Annotated[str, typer.Option(help="day, week (from Monday) or month; UTC.")] = "month",
    none: Annotated[bool, typer.Option("--none", help="Lift the budget.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set a team's budget, or lift it. Judges hold it within seconds.

    \b
    gavel budgets set --team 7 --usd 50 --period week
    gavel budgets set --team 7 --none
    """
    from pydantic import ValidationError

    from config.definitions import Budget

    if none and (usd is not None or tokens is not None):
        fail("--none lifts the budget; leave out --usd and --tokens", code=EXIT_USAGE)
    budget: dict[str, Any] | None = None
    if not none:
        try:
            given = {"usd": usd, "tokens": tokens, "period": period}
            budget = Budget.model_validate(given).model_dump(exclude_none=True)
        except ValidationError as error:
            problem = error.errors()[0]
            name = f"--{problem['loc'][0]}: " if problem["loc"] else ""
            fail(f"{name}{problem['msg'].removeprefix('Value error, ')}", code=EXIT_USAGE)
    with _opened(config) as (database, keys):
        keys.set_team_budget(team, budget, actor="cli", now=datetime.now(UTC))
        _print(database, keys, team, as_json)


@contextmanager
def _opened(config: Path | None) -> Iterator[tuple[Database, ProviderKeys]]:
    from storage.sql.provider_keys import ProviderKeys

    settings = settings_or_exit(config)
    with opened_store(settings) as database:
        yield database, ProviderKeys.of(settings, database)


def _print(database: Database, keys: ProviderKeys, team: int, as_json: bool) -> None:
    from config.definitions import Budget
    from evaluators.llm_judge.budget import MICROS
    from storage.sql.budgets import Budgets, team_scope

    now = datetime.now(UTC)
    stored = keys.config(team, now=now).budget
    if stored is None:
        typer.echo(json.dumps({"team": team, "budget": None}) if as_json else f"Team {team} has no budget.")
        return
    budget = Budget.model_validate(dict(stored))
    used = Budgets(database).usage(team_scope(team, budget), now)
    spent = {"usd": used.micro_usd / MICROS, "tokens": used.tokens}
    reserved = {"usd": used.reserved_micro_usd / MICROS, "tokens": used.reserved_tokens}
    if as_json:
        shown = {"team": team, "budget": budget.model_dump(), "used": spent, "reserved": reserved}
        typer.echo(json.dumps(shown))
        return
    if budget.usd is not None:
        typer.echo(f"Team {team}: ${spent['usd']:,.2f} of ${budget.usd:,.2f} used this {budget.period}.")
    if budget.tokens is not None:
        typer.echo(f"Team {team}: {spent['tokens']:,} of {budget.tokens:,} tokens used this {budget.period}.")
