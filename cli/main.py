"""`gavel`: puts the command groups together.

Each module named in `COMMANDS` has `register(app)`, which adds its commands. A command imports the packages
that it needs when it runs, so that `gavel --help` stays quick. Help is plain text, because the package that draws boxes
takes as long to load as all the rest.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Annotated

import typer

from cli.terminal import refused

COMMANDS: tuple[str, ...] = (
    "up",
    "run",
    "send",
    "results",
    "status",
    "top",
    "doctor",
    "evaluations",
    "config",
    "dlq",
    "replay",
    "hog",
    "why",
    "judge",
    "budgets",
    "trust",
    "reports",
    "labels",
    "golden",
    "compare",
    "api",
    "ingest",
    "tokens",
    "provider_keys",
)
"""Modules of `cli`, in the order in which `gavel --help` shows their commands."""


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"gavel {version('gavel')}")
        raise typer.Exit


def build_app() -> typer.Typer:
    """Return the application with every command registered."""
    app = typer.Typer(
        name="gavel",
        help="Judge LLM generations as they happen.",
        no_args_is_help=True,
        pretty_exceptions_show_locals=False,
        rich_markup_mode=None,
    )
    app.callback()(_gavel)
    for module in COMMANDS:
        import_module(f"cli.{module}").register(app)
    return app


def _gavel(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Judge LLM generations as they happen."""


def main() -> None:
    """Entry point of the console script. It ends the process with one of `processor/exit_codes.py`."""
    try:
        code = build_app()(prog_name="gavel", standalone_mode=False)
    except (typer.TyperException, typer.Abort) as error:
        code = refused(error)
    sys.exit(code)
