"""`gavel evaluations`: definitions in files and in the store."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from processor.cli.run import EXIT_FAILED, EXIT_USAGE, ConfigOption, JsonOption, settings_or_exit

if TYPE_CHECKING:
    from config.apply import Step
    from config.definitions import Evaluation
    from config.files import FileEvaluation, FileProblem
    from config.store.engine import Database

PathsArgument = Annotated[list[Path], typer.Argument(help="YAML files, or folders of them.", metavar="FILE|DIR…")]
TeamOption = Annotated[int, typer.Option("--team", help="Team that owns the evaluations.", min=0, max=2**63 - 1)]
_COLOURS = {"created": "green", "updated": "yellow", "restored": "yellow", "deleted": "red", "unchanged": "dim"}
_STATUS_COLOURS = {"active": "green", "paused": "dim", "error": "red"}


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = typer.Typer(name="evaluations", help="Definitions: apply files, list, show, validate, export.")
    group.command("apply")(apply)
    group.command("list")(list_evaluations)
    group.command("show")(show)
    group.command("validate")(validate)
    group.command("export")(export)
    app.add_typer(group, no_args_is_help=True)


def apply(
    paths: PathsArgument,
    team: TeamOption = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Delete evaluations that came from files and are in none of these.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make the store hold what the files define. Applying the same again changes nothing.

    All or nothing: with one bad definition nothing is applied. A running processor sees the change within
    two seconds.
    """
    from datetime import UTC, datetime

    from config.apply import apply_definitions

    wanted = _read_or_exit(paths, as_json)
    with _store(config) as database:
        steps = apply_definitions(
            database, team, wanted, actor="cli", now=datetime.now(UTC), prune=prune, dry_run=dry_run
        )
    if as_json:
        _print_json({"dry_run": dry_run, "steps": [_step_as_json(step) for step in steps]})
    else:
        _print_steps(steps, dry_run=dry_run)


def list_evaluations(
    team: TeamOption = 1,
    search: Annotated[str, typer.Option("--search", help="Text in name or description.")] = "",
    enabled: Annotated[bool | None, typer.Option("--enabled/--disabled", help="Only these.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List a team's evaluations by name."""
    from config.store.evaluations import Evaluations

    with _store(config) as database:
        found = list(Evaluations(database).each(team, search=search, enabled=enabled))
    if as_json:
        _print_json([_as_json(evaluation) for evaluation in found])
    else:
        _print_list(found)


def show(
    evaluation: Annotated[str, typer.Argument(help="Id or name.", metavar="ID|NAME")],
    team: TeamOption = 1,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one evaluation: definition, status, versions and who changed it."""
    from config.files import write_definition
    from config.store.evaluations import Evaluations

    with _store(config) as database:
        store = Evaluations(database)
        found = _find_or_exit(store.each(team), evaluation)
        versions = store.versions(team, found.id)
        history = store.history(team, found.id, limit=10)
    if as_json:
        _print_json(
            {
                **_as_json(found),
                "versions": [
                    {"version": v.version, "fingerprint": v.fingerprint, "created_at": v.created_at.isoformat()}
                    for v in versions
                ],
                "history": [
                    {"at": h.at.isoformat(), "actor": h.actor, "action": h.action, "changes": h.changes}
                    for h in history
                ],
            }
        )
        return
    typer.echo(write_definition(found))
    reason = f" ({found.status_reason}: {found.status_reason_detail})" if found.status_reason else ""
    typer.echo(f"# status {found.status}{reason}")
    typer.echo(f"# version {found.version}, fingerprint {found.fingerprint}, team {found.team_id}")
    for entry in history:
        typer.echo(f"# {entry.at:%Y-%m-%d %H:%M:%S}Z {entry.action} by {entry.actor}: {', '.join(entry.changes)}")


def validate(paths: PathsArgument, as_json: JsonOption = False) -> None:
    """Check definition files without a store or a network: fields, conditions, and that Hog compiles."""
    good = _read_or_exit(paths, as_json)
    if as_json:
        _print_json({"valid": len(good), "problems": []})
    else:
        typer.echo(f"{len(good)} valid")


def export(
    team: TeamOption = 1,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for a file per evaluation; stdout otherwise.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Write a team's evaluations as YAML that `apply` reads back."""
    from config.files import file_name, write_definition
    from config.store.evaluations import Evaluations

    with _store(config) as database:
        found = list(Evaluations(database).each(team))
    if output is None:
        typer.echo("---\n".join(write_definition(evaluation) for evaluation in found), nl=False)
        return
    try:
        output.mkdir(parents=True, exist_ok=True)
        for evaluation in found:
            (output / file_name(evaluation)).write_text(write_definition(evaluation), encoding="utf-8")
    except OSError as error:
        _fail(f"{error.filename or output}: cannot be written ({error.strerror}); choose another --output", EXIT_USAGE)
    typer.echo(f"{len(found)} written to {output}", err=True)


def _fail(message: str, code: int) -> None:
    typer.echo(f"gavel: {message}", err=True)
    raise typer.Exit(code)


@contextmanager
def _store(config: Path | None) -> Iterator[Database]:
    """Open the store, on this release's tables; end the command on what goes wrong there."""
    from config.definitions import DefinitionError
    from config.migrations import check_current
    from config.store.engine import StoreError, StoreUnavailable, open_store

    database = open_store(settings_or_exit(config))
    try:
        check_current(database)
        yield database
    except StoreUnavailable as error:
        _fail(f"{error}; check store.dsn with `gavel check`", EXIT_FAILED)
    except (StoreError, DefinitionError) as error:
        _fail(str(error), EXIT_FAILED)
    finally:
        database.close()


def _read_or_exit(paths: Sequence[Path], as_json: bool) -> list[FileEvaluation]:
    """Return what the files define; with a problem print all of them and exit with 1."""
    from rich.progress import Progress

    from config.files import FileEvaluation, definition_files, duplicates, read_file

    files, problems = definition_files(paths)
    good: list[FileEvaluation] = []
    with Progress(transient=True, disable=not sys.stderr.isatty(), console=_console(stderr=True)) as progress:
        for file in progress.track(files, description="Checking"):
            for item in read_file(file):
                if isinstance(item, FileEvaluation):
                    good.append(item)
                else:
                    problems.append(item)
    problems += duplicates(good)
    if problems:
        _print_problems(problems, as_json)
        raise typer.Exit(EXIT_FAILED)
    return good


def _print_problems(problems: Sequence[FileProblem], as_json: bool) -> None:
    if as_json:
        found = [{"file": str(p.path), "line": p.line or None, "message": p.message} for p in problems]
        _print_json({"problems": found})
        return
    for problem in problems:
        typer.echo(str(problem), err=True)
    count = len(problems)
    typer.echo(f"gavel: {count} problem{'s' if count > 1 else ''}; correct the files", err=True)


def _find_or_exit(evaluations: Iterator[Evaluation], wanted: str) -> Evaluation:
    found = [each for each in evaluations if wanted in (each.id, each.name)]
    if not found:
        _fail(f"no evaluation has the id or name {wanted!r}; see `gavel evaluations list`", EXIT_FAILED)
    if len(found) > 1:
        _fail(
            f"{len(found)} evaluations are called {wanted!r}; give the id: {', '.join(f.id for f in found)}", EXIT_USAGE
        )
    return found[0]


def _as_json(evaluation: Evaluation) -> dict[str, Any]:
    found: dict[str, Any] = evaluation.model_dump(mode="json")
    return found


def _step_as_json(step: Step) -> dict[str, Any]:
    return {
        "action": step.action,
        "id": step.evaluation_id,
        "name": step.name,
        "version": step.version,
        "changed": list(step.changed),
        "note": step.note,
    }


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def _console(*, stderr: bool = False) -> Any:
    from rich.console import Console

    console = Console(stderr=stderr)
    if not console.is_terminal:
        # A pipe has no width: what is cut at 80 columns cannot be searched.
        console.width = 250
    return console


def _print_steps(steps: Sequence[Step], *, dry_run: bool) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title="Dry run: nothing was changed" if dry_run else None)
    for column in ("Evaluation", "Action", "Version", "Changed"):
        table.add_column(column)
    for step in steps:
        what = escape(step.note or ", ".join(step.changed))
        table.add_row(escape(step.name), f"[{_COLOURS[step.action]}]{step.action}[/]", str(step.version), what)
    _console().print(table)
    counts = {action: sum(step.action == action for step in steps) for action in _COLOURS}
    typer.echo(", ".join(f"{count} {action}" for action, count in counts.items() if count) or "nothing to apply")


def _print_list(evaluations: Sequence[Evaluation]) -> None:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("Name", "Type", "Status", "Version", "Id"):
        table.add_column(column, no_wrap=column == "Id", overflow="fold")
    for each in evaluations:
        status = f"[{_STATUS_COLOURS[each.status]}]{each.status}[/]"
        if each.status_reason:
            status += f" {escape(each.status_reason)}"
        table.add_row(escape(each.name), each.evaluation_type, status, str(each.version), each.id)
    _console().print(table)
