"""`gavel labels`: take labels in from files, write them to files, and list them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cli.evaluations import TeamOption, find_or_exit
from cli.terminal import (
    ConfigOption,
    JsonOption,
    console,
    fail,
    opened_store,
    plural,
    print_json,
    printable,
    progress,
    say,
    settings_or_exit,
)
from processor.exit_codes import EXIT_FAILED, EXIT_USAGE

if TYPE_CHECKING:
    from cli.label_files import Asked, BadLine, Numbered
    from storage.sql.engine import Database
    from storage.sql.labels import Label

EvaluationOption = Annotated[
    str | None, typer.Option("--evaluation", help="Id or name of an evaluation.", metavar="ID|NAME")
]
_SHOWN_PROBLEMS = 20


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = typer.Typer(name="labels", help="Labels that people give: import, export, list.")
    group.command("import")(import_labels)
    group.command("export")(export)
    group.command("list")(list_labels)
    app.add_typer(group, no_args_is_help=True)


def import_labels(
    file: Annotated[Path, typer.Argument(help="CSV with a header, or JSON lines (.jsonl).")],
    evaluation: Annotated[str, typer.Option("--evaluation", help="Id or name.", metavar="ID|NAME")],
    team: TeamOption = 1,
    labeller: Annotated[str, typer.Option("--labeller", help="Who labelled the lines that name nobody.")] = "import",
    encoding: Annotated[
        str | None,
        typer.Option("--encoding", help="Encoding such as cp1252; by default told by the first bytes, or UTF-8."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check all lines, and store nothing.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Store the labels of a file. Lines that cannot be taken are named, and the others are stored.

    A file has the columns target_event_id and verdict, and may have comment, labeller, seconds and client_id. A verdict
    is true, false, pass, fail, a score, keys of options that are separated by |, na, or unsure. Importing a file again
    stores nothing twice. The exit code is 1 if a line was left out.

    gavel labels import labels.csv --evaluation "Answers the question"
    """
    from cli.label_files import Asked
    from storage.sql.evaluations import Evaluations

    settings = settings_or_exit(config)
    with opened_store(settings) as database:
        found = find_or_exit(Evaluations(database).each(team), evaluation)
        asked = Asked(found.id, found.question, found.output_config, labeller.strip().lower()[:254] or "import")
        done = _Import(database, team, dry_run=dry_run)
        with progress("importing") as advance:
            for item in _read(file, encoding, asked):
                done.take(item)
                advance(done.lines)
            done.flush()
    if as_json:
        print_json(done.as_json())
    else:
        for problem in done.problems:
            say(f"{file}: line {problem.number}: {problem.problem}")
        if done.bad > len(done.problems):
            say(f"{file}: {done.bad - len(done.problems)} more lines were left out")
        verb = "would be stored" if dry_run else "stored"
        typer.echo(f"{plural(done.stored, 'label')} {verb}, {done.known} known before, {done.bad} left out")
    if done.bad:
        raise typer.Exit(EXIT_FAILED)


def export(
    evaluation: EvaluationOption = None,
    team: TeamOption = 1,
    form: Annotated[Literal["jsonl", "csv"], typer.Option("--format", help="Form of the lines.")] = "jsonl",
    config: ConfigOption = None,
) -> None:
    """Write all labels to standard output, oldest first, corrected ones too.

    \b
        gavel labels export --evaluation Tone --format csv > labels.csv
    """
    from api.services.label_export import as_csv, as_jsonl
    from storage.sql.evaluations import Evaluations
    from storage.sql.labels import LabelQuery, Labels

    with opened_store(settings_or_exit(config)) as database:
        found = None if evaluation is None else find_or_exit(Evaluations(database).each(team), evaluation)
        rows = Labels(database).each(team, LabelQuery(None if found is None else found.id))
        for line in as_csv(rows) if form == "csv" else as_jsonl(rows):
            sys.stdout.write(line)


def list_labels(
    evaluation: EvaluationOption = None,
    team: TeamOption = 1,
    target: Annotated[str | None, typer.Option("--target", help="Only labels of this generation.")] = None,
    labeller: Annotated[str | None, typer.Option("--labeller", help="Only labels of this labeller.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Rows to show at the most.")] = 50,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List labels, newest first.

    \b
        gavel labels list --evaluation Tone
    """
    from storage.sql.evaluations import Evaluations
    from storage.sql.labels import LabelQuery, Labels

    with opened_store(settings_or_exit(config)) as database:
        found = None if evaluation is None else find_or_exit(Evaluations(database).each(team), evaluation)
        query = LabelQuery(None if found is None else found.id, target, labeller)
        labels, count = Labels(database).page(team, query, limit=limit, offset=0)
    if as_json:
        from api.services.labels import shown

        print_json([shown(label).model_dump(mode="json") for label in labels])
        return
    _print(labels)
    typer.echo(plural(count, "label") + ("" if count <= limit else f" ({limit} shown; --limit shows more)"))


def _read(file: Path, encoding: str | None, asked: Asked) -> Iterator[Numbered | BadLine]:
    from cli.label_files import NotATable, read_labels
    from config.given import UnreadableFile

    try:
        yield from read_labels(file, asked, encoding=encoding)
    except UnreadableFile as error:
        fail(str(error), code=EXIT_USAGE)
    except NotATable as error:
        fail(f"{file}: {error}", code=EXIT_USAGE)


def _print(labels: Sequence[Label]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from config.label_verdicts import short_verdict

    table = Table("target", "verdict", "labeller", "source", "given at", "comment")
    for label in labels:
        table.add_row(
            escape(printable(label.target_event_id)), escape(short_verdict(label.verdict)),
            escape(printable(label.labeller)), label.source, f"{label.created_at:%Y-%m-%d %H:%M}",
            escape(printable(label.comment[:60])),
        )  # fmt: skip
    console().print(table)


class _Import:
    """Stores labels a thousand at a time, and counts."""

    def __init__(self, database: Database, team: int, *, dry_run: bool) -> None:
        from storage.sql.labels import Labels

        self._store = Labels(database)
        self._team = team
        self._dry_run = dry_run
        self._waiting: list[Numbered] = []
        self.lines = self.stored = self.known = self.bad = 0
        self.problems: list[BadLine] = []

    def take(self, item: Numbered | BadLine) -> None:
        """Take one line."""
        from cli.label_files import BadLine
        from storage.sql.labels import MAX_AT_ONCE

        self.lines += 1
        if isinstance(item, BadLine):
            self._leave_out(item)
            return
        self._waiting.append(item)
        if len(self._waiting) == MAX_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Store the labels that wait."""
        from datetime import UTC, datetime

        from cli.label_files import BadLine
        from storage.sql.labels import ClientIdReused

        waiting, self._waiting = self._waiting, []
        if self._dry_run:
            self.stored += len(waiting)
            return
        now = datetime.now(UTC)
        while waiting:
            try:
                found = self._store.add(self._team, [each.label for each in waiting], actor="cli", now=now)
            except ClientIdReused as error:
                other = waiting.pop(error.place)
                self._leave_out(BadLine(other.number, "has the client_id of another label; give it one of its own"))
            else:
                added = len({label.seq for label in found if label.created_at == now})
                self.stored += added
                self.known += len(waiting) - added
                return

    def _leave_out(self, problem: BadLine) -> None:
        self.bad += 1
        if len(self.problems) < _SHOWN_PROBLEMS:
            self.problems.append(problem)

    def as_json(self) -> dict[str, Any]:
        """Return the counts for scripts."""
        return {
            "stored": self.stored,
            "known": self.known,
            "left_out": self.bad,
            "problems": [{"line": each.number, "problem": each.problem} for each in self.problems],
        }
