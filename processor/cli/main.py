"""`gavel`: puts the command groups together.

Each module named in `COMMANDS` has `register(app)`, which adds its commands; what a command needs it
imports when it runs. Rooms above `processor` (the API) add theirs by the entry point group
`gavel.commands`.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points

import typer

COMMANDS: tuple[str, ...] = ("run", "evaluations", "config", "dlq", "replay", "hog", "why", "judge")
"""Modules of `processor.cli`, in the order in which `gavel --help` shows their commands."""


def build_app() -> typer.Typer:
    """Return the application with every command registered."""
    app = typer.Typer(
        name="gavel",
        help="Judge LLM generations as they happen.",
        no_args_is_help=True,
        pretty_exceptions_show_locals=False,
        rich_markup_mode="rich",
    )
    for module in COMMANDS:
        import_module(f"processor.cli.{module}").register(app)
    for entry_point in entry_points(group="gavel.commands"):
        entry_point.load()(app)
    return app


def main() -> None:
    """Entry point of the console script."""
    build_app()()
