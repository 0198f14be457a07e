"""`gavel top`: the evaluations of a team by their results of the last minutes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from time import sleep
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.clickhouse import connected
from cli.running import beside_or_exit
from cli.terminal import ConfigOption, JsonOption, console, fail, opened_store, print_json, printable
from processor.exit_codes import EXIT_USAGE

if TYPE_CHECKING:
    from rich.table import Table

    from storage.clickhouse.activity import Activity

_SORTS: dict[str, Callable[[Activity], float]] = {
    "rate": lambda each: -each.runs,
    "fails": lambda each: -each.failed,
    "pass-rate": lambda each: 2.0 if each.pass_rate is None else each.pass_rate,
    "latency": lambda each: -(each.latency_p95_s or 0.0),
    "cost": lambda each: -each.cost_usd,
}
_READ = 10_000
"""Evaluations that are read before they are sorted."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("top")(top)


def top(
    minutes: Annotated[float, typer.Option("--minutes", min=0.1, max=44_640, help="Minutes to look back.")] = 15.0,
    sort: Annotated[str, typer.Option("--sort", help="rate, fails, pass-rate, latency or cost.")] = "rate",
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="Evaluations to show.")] = 30,
    once: Annotated[bool, typer.Option("--once", help="Show it once.")] = False,
    interval: Annotated[float, typer.Option("--interval", min=0.5, max=60.0, help="Seconds between refreshes.")] = 2.0,
    team: Annotated[int, typer.Option("--team", min=0, max=2**63 - 1, help="Team that the evaluations belong to.")] = 1,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show evaluations by rate, pass rate, latency and cost of the last minutes. Ctrl-C ends it.

    \b
        gavel top --sort cost --minutes 60
        gavel top --once --json
    """
    from cli.verdicts import RulesOfTeams
    from storage.clickhouse.activity import recent_activity
    from storage.clickhouse.query import PassRules

    if sort not in _SORTS:
        fail(f"--sort: {sort!r} is not a column; choose {', '.join(_SORTS)}", code=EXIT_USAGE)
    settings = beside_or_exit(config)
    with opened_store(settings) as database:
        rules = RulesOfTeams(database)
        with connected(settings) as client:

            def read() -> list[Activity]:
                after = datetime.now(UTC) - timedelta(minutes=minutes)
                found = recent_activity(client, team, PassRules(rules.of(team)), after=after, limit=_READ)
                return sorted(found, key=_SORTS[sort])[:limit]

            if as_json:
                print_json([_as_json(each, minutes) for each in read()])
            elif once or not console().is_terminal:
                console().print(_table(read(), minutes, team))
            else:
                _live(lambda: _table(read(), minutes, team), interval)


def _live(draw: Callable[[], Table], interval_s: float) -> None:
    from rich.live import Live

    try:
        with Live(draw(), console=console(), screen=True, auto_refresh=False) as view:
            view.refresh()
            while True:
                sleep(interval_s)
                view.update(draw(), refresh=True)
    except KeyboardInterrupt:
        return


def _table(found: list[Activity], minutes: float, team: int) -> Table:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    title = f"Team {team}, last {minutes:g} min, {datetime.now(UTC):%H:%M:%S} UTC"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left")
    table.add_column("Evaluation", no_wrap=True, overflow="ellipsis", max_width=36)
    for name in ("Results", "/s", "Pass rate", "Pass", "Fail", "Scored", "N/A", "Skip", "p50 s", "p95 s", "USD"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in found:
        rate = "" if each.pass_rate is None else f"{each.pass_rate:.1%}"
        style = "" if each.pass_rate is None or each.pass_rate >= 0.9 else "yellow" if each.pass_rate >= 0.5 else "red"
        table.add_row(
            escape(printable(each.evaluation_name)),
            f"{each.runs:,}",
            f"{each.runs / (minutes * 60):,.2f}",
            f"[{style}]{rate}[/]" if style else rate,
            *(f"{count:,}" for count in (each.passed, each.failed, each.scored, each.not_applicable, each.skipped)),
            *("" if value is None else f"{value:.2f}" for value in (each.latency_p50_s, each.latency_p95_s)),
            f"{each.cost_usd:.4f}" if each.cost_usd else "",
        )
    if not found:
        table.caption = "No result in this time; `gavel status` shows whether events arrive."
    return table


def _as_json(each: Activity, minutes: float) -> dict[str, Any]:
    return {**asdict(each), "pass_rate": each.pass_rate, "per_s": each.runs / (minutes * 60)}
