"""The files that commands are given: definitions, events, Hog sources and batches of lines.

A definition file that is wrong in any way ends every command with 1 and the same lines. Any other file that cannot be
read ends it with 2, because it was named wrongly.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cli.terminal import fail, plural, print_json, progress
from processor.exit_codes import EXIT_FAILED, EXIT_USAGE

if TYPE_CHECKING:
    from conditions import EventRow, Target
    from config.files import FileEvaluation, FileProblem


def names_a_file(argument: str) -> bool:
    """Tell whether an argument that may be an id as well names a file: it exists, or it looks like a path."""
    if argument == "-" or os.sep in argument or argument.endswith((".yaml", ".yml", ".json")):
        return True
    try:
        return argument != "" and Path(argument).exists()
    except (OSError, ValueError):  # such as a name longer than a name can be: then it is an id
        return False


def text_or_exit(path: Path) -> str:
    """Return the text of a file in UTF-8."""
    try:
        return bytes_or_exit(path).decode()
    except UnicodeDecodeError:
        fail(f"{path}: is not UTF-8 text; save it as UTF-8", code=EXIT_USAGE)


def bytes_or_exit(path: Path) -> bytes:
    """Return the content of a file, or of standard input for `-`."""
    from config.given import UnreadableFile, read_given

    try:
        return read_given(path)
    except UnreadableFile as error:
        fail(str(error), code=EXIT_USAGE)


def lines_or_exit(path: Path, *, blank: bool = False) -> Iterator[bytes]:
    """Yield the lines of a file, or of standard input for `-`; those that are blank only if `blank` is set."""
    from config.given import UnreadableFile, given_lines

    try:
        yield from (line for line in given_lines(path) if blank or line.strip())
    except UnreadableFile as error:
        fail(str(error), code=EXIT_USAGE)


def row_or_exit(path: Path) -> EventRow:
    """Return the event of a file, which holds one row as it comes from Kafka; a bare one need not name its team."""
    from conditions import RowError
    from conditions.row import decode_json, read_row

    content = bytes_or_exit(path)
    try:
        event = decode_json(content, "not_json", "the file")
        return read_row({"team_id": 0, **event} if isinstance(event, dict) else event)
    except RowError as error:
        fail(f"{path}: {error}; write one event row as a JSON object", code=EXIT_USAGE)


def definitions_or_exit(paths: Sequence[Path], *, as_json: bool = False) -> list[FileEvaluation]:
    """Return the evaluations that files and folders define."""
    from config.files import FileEvaluation, definition_files, duplicates, read_file

    files, problems = definition_files(paths)
    good: list[FileEvaluation] = []
    with progress("Checking", len(files)) as advance:
        for number, file in enumerate(files, 1):
            for item in read_file(file):
                if isinstance(item, FileEvaluation):
                    good.append(item)
                else:
                    problems.append(item)
            advance(number)
    _refuse([*problems, *duplicates(good)], as_json=as_json)
    return good


def target_or_exit(path: Path) -> Target:
    """Return the evaluation of a file whose conditions are to be explained: a definition, or bare condition sets."""
    from conditions import Target
    from config.files import FileProblem, read_conditions

    found = list(read_conditions(path))
    _refuse([item for item in found if isinstance(item, FileProblem)])
    if len(found) != 1 or isinstance(found[0], FileProblem):
        fail(f"{path}: holds {len(found)} evaluations; name a file with one", code=EXIT_USAGE)
    only = found[0]
    return Target(only.id, only.conditions, enabled=only.enabled, cohort=only.cohort)


def _refuse(problems: Sequence[FileProblem], *, as_json: bool = False) -> None:
    """Print all problems of definition files and exit with 1, if there are any."""
    if not problems:
        return
    if as_json:
        found = [
            {"file": str(p.path), "line": p.line or None, "column": p.column or None, "message": p.message}
            for p in problems
        ]
        print_json({"problems": found})
        raise typer.Exit(EXIT_FAILED)
    fail(*(str(problem) for problem in problems), f"{plural(len(problems), 'problem')}; correct the definition files")
