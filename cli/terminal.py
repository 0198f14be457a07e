"""The one way in which commands take options, fail, report and show progress.

Every message about a failure goes to standard error and begins with `gavel: `, also one about wrong usage.
`processor/exit_codes.py` has the exit codes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, Protocol, TypeVar

import typer

from processor.exit_codes import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE

if TYPE_CHECKING:
    from uuid import UUID

    from rich.console import Console

    from config.settings import Settings
    from storage.sql.engine import Database


class Named(Protocol):
    """An object that a person names by its id or by its name."""

    @property
    def id(self) -> str | UUID:
        """Its id."""

    @property
    def name(self) -> str:
        """Its name, which others may have too."""


T = TypeVar("T", bound=Named)

ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="Settings file; GAVEL_CONFIG or gavel.yaml otherwise.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]

_WIDTH_OF_A_PIPE = 250


def fail(*problems: str, code: int = EXIT_FAILED) -> NoReturn:
    """Print each problem on a line of standard error and end the command with `code`."""
    for problem in problems:
        say(problem)
    raise typer.Exit(code)


def say(message: str) -> None:
    """Print a message for the person at the terminal on standard error, where it does not disturb the output."""
    # An argument that is not UTF-8 arrives as halves of surrogate pairs, which no terminal can take.
    typer.echo(f"gavel: {message}".encode("utf-8", "backslashreplace").decode(), err=True)


def refused(error: typer.TyperException | typer.Abort) -> int:
    """Print why a command did not begin or did not go on, with the usage if its words are wrong; return the code."""
    if isinstance(error, typer.Abort):
        interrupted = isinstance(error.__context__, KeyboardInterrupt)  # Ctrl-C at a question
        say("interrupted" if interrupted else "nothing was done, because the answer was not yes")
        return EXIT_INTERRUPTED if interrupted else EXIT_FAILED
    context = getattr(error, "ctx", None)
    if context is not None and error.message == context.get_help():
        typer.echo(error.message, err=True)  # a group without a command
        return error.exit_code
    say(error.format_message())
    if context is not None:
        usage = context.get_usage().removeprefix("Usage: ")
        say(f"usage: {' '.join(usage.split())}; `{context.command_path} --help` explains it")
    return error.exit_code


def print_json(value: Any) -> None:
    """Print the answer of a command as JSON for scripts."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def settings_or_exit(config: Path | None) -> Settings:
    """Return the settings; print every problem of them and exit with 2 if there are any."""
    from config.settings import SettingsError, load_settings

    try:
        return load_settings(config)
    except SettingsError as error:
        fail(*error.problems, code=EXIT_USAGE)


def refuse_embedded_broker(settings: Settings) -> None:
    """Exit with 2 if the broker lives inside the process of `gavel up`, where no other process reaches it."""
    if settings.kafka.is_embedded:
        fail(
            f"kafka.bootstrap_servers is 'embedded', a broker inside the process of `gavel up`, and none runs on "
            f"{settings.data_dir}; start it, or set GAVEL_KAFKA__BOOTSTRAP_SERVERS",
            code=EXIT_USAGE,
        )


@contextmanager
def opened_store(settings: Settings) -> Iterator[Database]:
    """Yield the store on the tables of this release. A failure of the store inside ends the command with 1."""
    from config.definition_errors import DefinitionError
    from storage.sql.engine import StoreError, StoreUnavailable, open_store
    from storage.sql.migrations import check_current

    database = open_store(settings)
    try:
        check_current(database)
        yield database
    except StoreUnavailable as error:
        fail(f"{error}; check store.dsn with `gavel check`")
    except (StoreError, DefinitionError) as error:
        fail(str(error))
    finally:
        database.close()


def only_or_exit(found: Iterable[T], given: str, *, what: str, listed_by: str) -> T:
    """Return the only one of `found` that has the id or the name `given`; exit with 2 if none or several have it.

    Args:
        what: the noun for one of them. listed_by: the place where a person finds the right ones.
    """
    fitting = [each for each in found if given in (str(each.id), each.name)]
    if not fitting:
        fail(f"there is no {what} {given!r}; see {listed_by}", code=EXIT_USAGE)
    if len(fitting) > 1:
        ids = ", ".join(str(each.id) for each in fitting)
        fail(f"{plural(len(fitting), what)} have the name {given!r}; give the id: {ids}", code=EXIT_USAGE)
    return fitting[0]


def parse_time(text: str | None, option: str) -> datetime | None:
    """Return the aware time of an option, in UTC unless the text has an offset; exit with 2 if it is not a time."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        fail(f"{option}: {text!r} is not an ISO-8601 time; write 2026-03-01 or 2026-03-01T10:00:00Z", code=EXIT_USAGE)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def confirm(yes: bool, question: str) -> None:
    """Return if the person agrees, or has agreed by `--yes`; a script that did not is refused with 2."""
    if yes:
        return
    if not sys.stdin.isatty():
        fail("standard input is not a terminal; add --yes to go on without a question", code=EXIT_USAGE)
    typer.confirm(question, abort=True)


@contextmanager
def progress(description: str, total: int | None = None, done: int = 0) -> Iterator[Callable[..., None]]:
    """Show a bar with rate and remaining time on standard error, if that is a terminal.

    Yields:
        `advance(done, total=None)`: sets how much is done, and the total where it becomes known on the way.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        """Shows how many are done in a second."""

        def render(self, task: Task) -> Text:
            return Text("" if task.speed is None else f"{task.speed:,.0f}/s")

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn()
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(description, total=total, completed=done)

        def advance(done: int, total: int | None = None) -> None:
            bar.update(task, completed=done, total=total)

        yield advance


def console() -> Console:
    """Return the console of standard output. A pipe has no width, so that nothing is cut before a script reads it."""
    from rich.console import Console

    made = Console(file=sys.stdout)
    if not made.is_terminal:
        made.width = _WIDTH_OF_A_PIPE
    return made


def printable(text: str) -> str:
    """Return text that a terminal can take: control characters and halves of surrogate pairs are written out."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode() for char in text
    )


def plural(count: int, noun: str) -> str:
    """Return a count with its noun."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
