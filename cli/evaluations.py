"""`gavel evaluations`: definitions in files and in the store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.cases import run_cases
from cli.inputs import definitions_or_exit
from cli.outputs import written_or_exit
from cli.terminal import (
    ConfigOption,
    JsonOption,
    console,
    fail,
    only_or_exit,
    opened_store,
    print_json,
    say,
    settings_or_exit,
)
from processor.exit_codes import EXIT_USAGE

if TYPE_CHECKING:
    from datetime import datetime

    from config.definitions import Evaluation
    from config.files import FileEvaluation
    from config.settings import Settings
    from storage.apply import Step
    from storage.sql.engine import Database

PathsArgument = Annotated[list[Path], typer.Argument(help="YAML files, or folders of them.", metavar="FILE|DIR…")]
TeamOption = Annotated[int, typer.Option("--team", help="Team that owns the evaluations.", min=0, max=2**63 - 1)]
_COLOURS = {"created": "green", "updated": "yellow", "restored": "yellow", "deleted": "red", "unchanged": "dim"}
_STATUS_COLOURS = {"active": "green", "paused": "dim", "error": "red"}


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = typer.Typer(name="evaluations", help="Definitions: apply files, list, show, validate, test, export.")
    group.command("apply")(apply)
    group.command("list")(list_evaluations)
    group.command("show")(show)
    group.command("validate")(validate)
    group.command("export")(export)
    group.command("test")(run_cases)
    app.add_typer(group, no_args_is_help=True)


def apply(
    paths: PathsArgument,
    team: TeamOption = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the changes, and make none.")] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Delete evaluations that came from files and are in none of these.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make the store hold what the files define. Applying the same again changes nothing.

    One bad definition stops all of them. A running processor sees the change within two seconds.

    \b
        gavel evaluations apply evaluations/ --dry-run
        gavel evaluations apply evaluations/ --prune
    """
    from datetime import UTC, datetime

    from storage.apply import apply_definitions

    wanted = definitions_or_exit(paths, as_json=as_json)
    settings = settings_or_exit(config)
    now = datetime.now(UTC)
    with opened_store(settings) as database:
        steps = apply_definitions(database, team, wanted, actor="cli", now=now, prune=prune, dry_run=dry_run)
        for problem in _judges_without_a_model(settings, database, team, wanted, now):
            say(f"note: {problem}")
    if as_json:
        print_json({"dry_run": dry_run, "steps": [_step_as_json(step) for step in steps]})
    else:
        _print_steps(steps, dry_run=dry_run)


def _judges_without_a_model(
    settings: Settings, database: Database, team: int, wanted: Sequence[FileEvaluation], now: datetime
) -> Iterator[str]:
    """Yield for each enabled LLM judge that cannot run why it cannot. A file may be applied before its key is there."""
    from api.services.team_models import TeamModels
    from cli.local import with_local_secret_key
    from config.model_resolution import Unresolved
    from storage.sql.provider_keys import ProviderKeys

    judges = [each.draft for each in wanted if each.draft.enabled and each.draft.evaluation_type == "llm_judge"]
    if not judges:
        return
    opening = with_local_secret_key(settings)
    models = TeamModels(opening, ProviderKeys.of(opening, database))
    for draft in judges:
        try:
            models.resolve(team, draft.model_configuration, now=now)
        except Unresolved as error:
            yield f"{draft.name!r} is enabled and cannot judge: {error.detail}; see `gavel provider-keys add --help`"


def list_evaluations(
    team: TeamOption = 1,
    search: Annotated[str, typer.Option("--search", help="Text in name or description.")] = "",
    enabled: Annotated[bool | None, typer.Option("--enabled/--disabled", help="Only enabled evaluations.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List a team's evaluations by name.

    \b
        gavel evaluations list --team 7 --search refusal
    """
    from storage.sql.evaluations import Evaluations

    with opened_store(settings_or_exit(config)) as database:
        found = list(Evaluations(database).each(team, search=search, enabled=enabled))
    if as_json:
        print_json([_as_json(evaluation) for evaluation in found])
    else:
        _print_list(found)


def show(
    evaluation: Annotated[str, typer.Argument(help="Id or name.", metavar="ID|NAME")],
    team: TeamOption = 1,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one evaluation: definition, status, versions and who changed it.

    \b
        gavel evaluations show "No refusal"
    """
    from config.files import write_definition
    from storage.sql.evaluations import Evaluations

    with opened_store(settings_or_exit(config)) as database:
        store = Evaluations(database)
        found = find_or_exit(store.each(team), evaluation)
        versions = store.versions(team, found.id)
        history = store.history(team, found.id, limit=10)
    if as_json:
        print_json(
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
    """Check definition files without a store or a network: fields, conditions, and that Hog compiles.

    \b
        gavel evaluations validate evaluations/
    """
    good = definitions_or_exit(paths, as_json=as_json)
    if as_json:
        print_json({"valid": len(good), "problems": []})
    else:
        typer.echo(f"{len(good)} valid")


def export(
    team: TeamOption = 1,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for a file per evaluation; stdout otherwise.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Write a team's evaluations as YAML that `apply` reads back.

    \b
        gavel evaluations export --team 7 --output evaluations/
    """
    from config.files import file_name, write_definition
    from storage.sql.evaluations import Evaluations

    with opened_store(settings_or_exit(config)) as database:
        found = list(Evaluations(database).each(team))
    if output is None:
        typer.echo("---\n".join(write_definition(evaluation) for evaluation in found), nl=False)
        return
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fail(f"--output: {output} cannot be made ({error.strerror}); name another folder", code=EXIT_USAGE)
    for evaluation in found:
        with written_or_exit(output / file_name(evaluation), "--output") as file:
            file.write(write_definition(evaluation).encode())
    say(f"{len(found)} written to {output}")


def find_or_exit(evaluations: Iterator[Evaluation], wanted: str) -> Evaluation:
    """Return the evaluation with this id or name; exit with 2 if there is none, or more than one."""
    return only_or_exit(evaluations, wanted, what="evaluation", listed_by="`gavel evaluations list`")


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


def _print_steps(steps: Sequence[Step], *, dry_run: bool) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title="Dry run: nothing was changed" if dry_run else None)
    for column in ("Evaluation", "Action", "Version", "Changed"):
        table.add_column(column)
    for step in steps:
        what = escape(step.note or ", ".join(step.changed))
        table.add_row(escape(step.name), f"[{_COLOURS[step.action]}]{step.action}[/]", str(step.version), what)
    console().print(table)
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
    console().print(table)
