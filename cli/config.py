"""`gavel config`: the settings as they are in force."""

from __future__ import annotations

import typer

from cli.terminal import ConfigOption, JsonOption, console, print_json, settings_or_exit


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = typer.Typer(name="config", help="The settings in force, and their sources.")
    group.command("show")(show)
    app.add_typer(group, no_args_is_help=True)


def show(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show every setting with its value and source. Secrets are never shown.

    \b
        gavel config show --json
    """
    from config.settings.reference import describe_settings

    settings_or_exit(config)
    rows = describe_settings(config)
    if as_json:
        print_json([{"setting": row.name, "value": row.value, "source": row.source} for row in rows])
        return
    from rich.markup import escape
    from rich.table import Table

    table = Table()
    for column in ("Setting", "Value", "Source"):
        table.add_column(column, overflow="fold")
    for row in rows:
        style = "dim" if row.source == "default" else ""
        table.add_row(row.name, escape("–" if row.value is None else str(row.value)), row.source, style=style)
    console().print(table)
