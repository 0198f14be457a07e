"""`gavel status`: the running system in a terminal."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Annotated

import typer

from cli.running import beside_or_exit
from cli.terminal import ConfigOption, JsonOption, console, fail, print_json
from processor.exit_codes import EXIT_FAILED

if TYPE_CHECKING:
    from cli.overview import Gatherer
    from config.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("status")(status)


def status(
    once: Annotated[bool, typer.Option("--once", help="Show it once, and exit with 1 if there is an error.")] = False,
    interval: Annotated[float, typer.Option("--interval", min=0.2, max=60.0, help="Seconds between refreshes.")] = 2.0,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show roles, lag, rates, breakers, budgets and dead letters, and for each problem what to do.

    It reads the heartbeats in the store and Kafka's admin API, and needs no Prometheus. Ctrl-C ends it.

    \b
        gavel status
        gavel status --once --json
    """
    from cli.findings import find_problems
    from cli.overview import Gatherer
    from cli.status_view import as_json as shown_as_json
    from cli.status_view import screen
    from storage.sql.engine import open_store

    settings = watched_or_exit(config)
    with closing(open_store(settings)) as database, closing(Gatherer(settings, database)) as gatherer:
        target = console()
        if once or as_json or not target.is_terminal:
            seen = gatherer.gather()
            if as_json:
                print_json(shown_as_json(seen))
            else:
                target.print(screen(seen))
            if any(problem.severity == "error" for problem in find_problems(seen)):
                raise typer.Exit(EXIT_FAILED)
            return
        _live(gatherer, interval)


def watched_or_exit(config: Path | None) -> Settings:
    """Return settings by which a running system is reached; exit with 1 if there is none. Looking makes nothing."""
    settings = beside_or_exit(config)
    problem = missing_store(settings)
    if problem is not None:
        fail(f"{problem}; start `gavel up`, or set store.dsn to the store of a running system")
    return settings


def missing_store(settings: Settings) -> str | None:
    """Return a sentence that names the store if its file is missing, else None. Opening it would create the file."""
    from sqlalchemy.engine import make_url

    url = make_url(settings.store.dsn.get_secret_value())
    absent = url.get_backend_name() == "sqlite" and not Path(url.database or "").exists()
    return f"there is no store at {url.database}" if absent else None


def _live(gatherer: Gatherer, interval_s: float) -> None:
    from rich.live import Live

    from cli.status_view import screen

    try:
        with Live(screen(gatherer.glance()), console=console(), screen=True, auto_refresh=False) as view:
            view.refresh()
            while True:
                view.update(screen(gatherer.gather()), refresh=True)
                sleep(interval_s)
    except KeyboardInterrupt:
        return
