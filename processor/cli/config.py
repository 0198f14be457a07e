"""`gavel config`: the settings as they are in force."""

from __future__ import annotations

import json

import typer

from processor.cli.run import ConfigOption, JsonOption, settings_or_exit


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = typer.Typer(name="config", help="Settings: what is in force and where it comes from.")
    group.command("show")(show)
    app.add_typer(group, no_args_is_help=True)


def show(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show every setting with its value and source. Secrets are never shown."""
    from config.settings.reference import describe_settings

    settings_or_exit(config)
    rows = describe_settings(config)
    if as_json:
        values = [{"setting": row.name, "value": row.value, "source": row.source} for row in rows]
        typer.echo(json.dumps(values, indent=2, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table()
    for column in ("Setting", "Value", "Source"):
        table.add_column(column, overflow="fold")
    for row in rows:
        style = "dim" if row.source == "default" else ""
        table.add_row(row.name, escape("–" if row.value is None else str(row.value)), row.source, style=style)
    console = Console()
    if not console.is_terminal:
        console.width = 250  # a pipe has no width
    console.print(table)
