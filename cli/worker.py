"""`python -m cli.worker`: one worker of a supervisor. Only `--workers` starts it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import typer

from cli.terminal import settings_or_exit
from processor.workers.place import Place, end_with


def main(arguments: Sequence[str]) -> int:
    """Run the role that the arguments name until SIGTERM, and return the exit code."""
    given = _parser().parse_args(arguments)
    place = Place(given.number, given.socket, given.supervisor, given.port, given.lifeline)
    end_with(place.lifeline)
    try:
        settings = settings_or_exit(given.config)
        if given.command == "run":
            from cli.run import run_roles

            return run_roles(settings, tuple(given.role), place)
        if given.command == "api":
            from cli.api import serve_api

            serve_api(settings, place)
        else:
            from cli.ingest import serve_ingest

            serve_ingest(settings, place)
    except typer.Exit as end:
        return end.exit_code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m cli.worker", description=__doc__)
    parser.add_argument("--number", type=int, required=True)
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--supervisor", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--lifeline", type=int, required=True)
    parser.add_argument("--config", type=Path)
    parser.add_argument("command", choices=("run", "api", "ingest"))
    parser.add_argument("--role", action="append", default=[])
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
