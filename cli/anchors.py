"""`gavel trust anchors`: golden items that are judged again and again, to tell a drift of the judge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.compare import DryRunOption, finished, items_of, print_cost
from cli.evaluations import TeamOption, find_or_exit
from cli.services import opened_services
from cli.terminal import ConfigOption, JsonOption, fail, plural, print_json, printable
from cli.trust_table import print_drift
from processor.exit_codes import EXIT_FAILED, EXIT_USAGE

if TYPE_CHECKING:
    from api.schemas.anchors import AnchorsShown
    from api.schemas.measurements import Cost
    from api.services.resources import Services
    from config.definitions import Evaluation
    from storage.sql.anchors import AnchorSchedule
    from storage.sql.api_keys import ApiKey

_RUNS_PRINTED = 7
_CHANGES_PRINTED = 3


def anchors(
    evaluation: Annotated[str, typer.Argument(metavar="ID|NAME", help="Id or name of an evaluation.")],
    golden: Annotated[str | None, typer.Option("--golden", metavar="ID", help="Set up: id of a golden set.")] = None,
    golden_version: Annotated[int, typer.Option("--golden-version", min=1, help="Set up: its frozen version.")] = 1,
    size: Annotated[int, typer.Option("--size", min=20, max=200, help="Set up: how many of its items.")] = 30,
    every_hours: Annotated[
        float, typer.Option("--every-hours", min=1, max=24, help="Set up: hours between runs.")
    ] = 24,
    canaries: Annotated[
        bool, typer.Option("--canaries/--no-canaries", help="Set up: try attacks once a day with the anchors.")
    ] = True,
    disable: Annotated[bool, typer.Option("--disable", help="Set up: make no runs by the schedule.")] = False,
    run: Annotated[bool, typer.Option("--run", help="Judge the anchors now, and wait for it.")] = False,
    acknowledge: Annotated[
        bool, typer.Option("--acknowledge", help="Take the judge as it is now: end an alarm with a new baseline.")
    ] = False,
    team: TeamOption = 1,
    dry_run: DryRunOption = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show whether the judge or the product moved; set up anchors, judge them now, or acknowledge an alarm.

    \b
    gavel trust anchors "Answers the question" --golden ID --golden-version 2
    gavel trust anchors "Answers the question"
    """
    from storage.sql.evaluations import Evaluations

    if sum((golden is not None, run, acknowledge)) > 1:
        fail("choose one of --golden, --run and --acknowledge", code=EXIT_USAGE)
    options = {**items_of(golden, golden_version), "size": size, "canaries": canaries}
    with opened_services(config, team) as (services, caller):
        found = find_or_exit(Evaluations(services.database).each(team), evaluation)
        if dry_run:
            print_cost(_cost(services, caller, found, options, set_up=golden is not None, once=run), as_json=as_json)
            return
        if golden is not None:
            shown = _set_up(services, caller, found, {**options, "every_hours": every_hours, "enabled": not disable})
        elif acknowledge:
            shown = _acknowledge(services, caller, found)
        else:
            shown = _run(services, caller, found) if run else _shown(services, found)
    if as_json:
        print_json(shown.model_dump(mode="json"))
    else:
        _print(found.name, shown)


def _cost(
    services: Services, caller: ApiKey, found: Evaluation, options: dict[str, Any], *, set_up: bool, once: bool
) -> Cost:
    from api.schemas.anchors import AnchorsPut
    from api.services.trust import anchors as service
    from api.services.trust import measurements

    schedule = service.planned(services, caller, found, AnchorsPut(**options)) if set_up else _schedule(services, found)
    if not once:
        return service.cost_of(services, found, schedule)
    return measurements.cost_of(services, found, service.plan_of(services, found, schedule, 1))


def _set_up(services: Services, caller: ApiKey, found: Evaluation, options: dict[str, Any]) -> AnchorsShown:
    from api.schemas.anchors import AnchorsPut
    from api.services.trust import anchors as service

    schedule = service.planned(services, caller, found, AnchorsPut(**options))
    return service.put(services, caller, found, schedule)


def _acknowledge(services: Services, caller: ApiKey, found: Evaluation) -> AnchorsShown:
    from api.services.trust import anchors as service

    _schedule(services, found)
    return service.acknowledge(services, caller, found)


def _schedule(services: Services, found: Evaluation) -> AnchorSchedule:
    from api.http.errors import NotFound
    from api.services.trust import anchors as service

    try:
        return service.schedule_of(services, found)
    except NotFound:
        fail(f"{found.name} has no anchors; set them up with --golden ID", code=EXIT_FAILED)


def _run(services: Services, caller: ApiKey, found: Evaluation) -> AnchorsShown:
    from api.services.trust import anchors as service

    ended = finished(services, service.run_now(services, caller, found))
    if ended.state != "completed":
        fail(f"the run is {ended.state}: {ended.error or 'it was cancelled'}", code=EXIT_FAILED)
    return _shown(services, found)


def _shown(services: Services, found: Evaluation) -> AnchorsShown:
    from api.services.trust import anchors as service

    _schedule(services, found)
    return service.shown(services, found)


def _print(name: str, shown: AnchorsShown) -> None:
    state = "" if shown.enabled else ", disabled"
    typer.echo(f"{printable(name)}: {plural(shown.size, 'anchor')} every {shown.every_hours:g} hours{state}")
    if shown.problem is not None:
        typer.echo(f"problem: {shown.problem}")
    print_drift(shown.drift)
    for changed in [each for each in shown.served if each.changed_at is not None][:_CHANGES_PRINTED]:
        names = [printable(name) for name in (changed.served_model, changed.system_fingerprint) if name]
        typer.echo(f"  {changed.changed_at:%Y-%m-%d %H:%M} {printable(changed.model)} answers as {', '.join(names)}")
    for each in shown.runs[:_RUNS_PRINTED]:
        if not each.counted:
            outcome = f"not counted: {each.reason}"
        elif each.flips is None:
            outcome = f"baseline, {plural(each.anchors, 'anchor')}"
        else:
            outcome = f"{each.flips} of {each.anchors} flipped, statistic {each.statistic:.4g}"
        typer.echo(f"  {each.ended_at:%Y-%m-%d %H:%M} {outcome}")
