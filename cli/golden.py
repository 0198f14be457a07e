"""`gavel golden`: golden sets, from which a judge is measured again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from cli.evaluations import TeamOption, find_or_exit
from cli.services import opened_services
from cli.terminal import ConfigOption, JsonOption, console, fail, only_or_exit, plural, print_json
from processor.exit_codes import EXIT_USAGE

if TYPE_CHECKING:
    from api.services.resources import Services
    from storage.sql.golden_sets import GoldenSet, GoldenVersion

GoldenArgument = Annotated[str, typer.Argument(metavar="ID|NAME", help="Id or name of a golden set.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = typer.Typer(name="golden", help="Golden sets: build, freeze, show, diff.")
    group.command("build")(build)
    group.command("freeze")(freeze)
    group.command("show")(show)
    group.command("diff")(diff)
    app.add_typer(group, no_args_is_help=True)


def build(
    name: Annotated[str, typer.Argument(help="Name of the golden set.")],
    evaluation: Annotated[str, typer.Option("--evaluation", help="Id or name.", metavar="ID|NAME")],
    team: TeamOption = 1,
    dataset: Annotated[
        list[str] | None, typer.Option("--dataset", help="Id of a dataset with metadata.expected; repeatable.")
    ] = None,
    labels: Annotated[bool, typer.Option("--labels/--no-labels", help="Take generations with a consensus.")] = True,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a golden set of labels, datasets, or both. `gavel golden freeze` stores its items.

    \b
        gavel golden build refunds --evaluation Tone
    """
    from api.schemas.golden_sets import GoldenSetCreate
    from api.services import golden_sets
    from storage.sql.evaluations import Evaluations

    with opened_services(config, team) as (services, caller):
        found = find_or_exit(Evaluations(services.database).each(team), evaluation)
        try:
            datasets = [UUID(each) for each in dataset or ()]
        except ValueError:
            fail("--dataset: is not an id; `datasets/` of the API lists them", code=EXIT_USAGE)
        body = GoldenSetCreate(evaluation=UUID(found.id), name=name, labels=labels, datasets=datasets)
        made = golden_sets.create(services, caller, body)
        items = len(golden_sets.candidates(services, made))
    if as_json:
        print_json({"id": made.id, "name": made.name, "items": items})
    else:
        typer.echo(f"{made.id}: {plural(items, 'item')} now; freeze it with `gavel golden freeze {made.id}`")


def freeze(
    golden: GoldenArgument, team: TeamOption = 1, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Store the items of a golden set as a version that never changes.

    \b
        gavel golden freeze refunds
    """
    from api.services import golden_sets

    with opened_services(config, team) as (services, caller):
        version, missing = golden_sets.freeze(services, caller, _find(services, team, golden))
    if as_json:
        print_json(_as_json(version) | {"missing": missing})
        return
    typer.echo(f"version {version.version}: {plural(version.items, 'item')}, SHA-256 {version.sha256}")
    if missing:
        typer.echo(f"{plural(missing, 'labelled generation')} left out, because the archive does not have them")


def show(
    golden: GoldenArgument, team: TeamOption = 1, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Show a golden set with its frozen versions.

    \b
        gavel golden show refunds
    """
    from rich.table import Table

    from api.services import golden_sets
    from storage.sql.golden_sets import GoldenSets

    with opened_services(config, team) as (services, _):
        found = _find(services, team, golden)
        items = len(golden_sets.candidates(services, found))
        versions = GoldenSets(services.database).versions(team, found.id)
    if as_json:
        print_json(
            {"id": found.id, "name": found.name, "items": items, "versions": [_as_json(each) for each in versions]}
        )
        return
    typer.echo(f"{found.name} ({found.id}): {plural(items, 'item')} now")
    table = Table("version", "items", "bytes", "frozen at", "state", "SHA-256")
    for each in versions:
        state = "incomplete" if each.incomplete else "whole"
        table.add_row(
            str(each.version), str(each.items), str(each.size_bytes), f"{each.created_at:%Y-%m-%d %H:%M}", state,
            each.sha256,
        )  # fmt: skip
    console().print(table)


def diff(
    golden: GoldenArgument,
    first: Annotated[int, typer.Argument(metavar="VERSION", min=1)],
    second: Annotated[int, typer.Argument(metavar="VERSION", min=1)],
    team: TeamOption = 1,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show which items two frozen versions do not share, and which have another expected verdict.

    \b
        gavel golden diff refunds 1 2
    """
    from api.services import golden_sets
    from config.label_verdicts import short_verdict
    from storage.sql.golden_sets import GoldenSets

    with opened_services(config, team) as (services, _):
        found = _find(services, team, golden)
        store = GoldenSets(services.database)
        for number in (first, second):
            if store.version(team, found.id, number) is None:
                fail(f"{found.name} has no version {number}; `gavel golden show` lists them", code=EXIT_USAGE)
        change = golden_sets.diff(*(store.items(team, found.id, number) for number in (first, second)))
    if as_json:
        print_json(change.model_dump(mode="json"))
        return
    for mark, keys in (("+", change.added), ("-", change.removed)):
        for key in keys:
            typer.echo(f"{mark} {key}")
    for each in change.changed:
        typer.echo(f"~ {each.key}: {short_verdict(each.before)} -> {short_verdict(each.after)}")
    typer.echo(f"{change.unchanged} unchanged")


def _find(services: Services, team: int, wanted: str) -> GoldenSet:
    from storage.sql.golden_sets import GoldenSets

    found, _ = GoldenSets(services.database).page(team, limit=10_000, offset=0)
    return only_or_exit(found, wanted, what="golden set", listed_by="`golden_sets/` of the API")


def _as_json(version: GoldenVersion) -> dict[str, Any]:
    return {
        "version": version.version,
        "sha256": version.sha256,
        "items": version.items,
        "size_bytes": version.size_bytes,
        "incomplete": version.incomplete,
        "created_at": version.created_at.isoformat(),
    }
