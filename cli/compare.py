"""`gavel compare`: which of two versions of an evaluation is better, for people and for CI."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID

import typer

from cli.evaluations import TeamOption, find_or_exit
from cli.services import opened_services
from cli.terminal import ConfigOption, JsonOption, fail, plural, print_json, progress
from cli.trust_table import print_canaries
from processor.exit_codes import EXIT_FAILED, EXIT_USAGE, EXIT_WORSE

if TYPE_CHECKING:
    from api.schemas.measurements import Comparison, ComparisonOutcome, Cost
    from api.services.resources import Services
    from config.definitions import Evaluation
    from storage.sql.api_keys import ApiKey
    from storage.sql.measurements import MeasurementRun

_POLL_S = 1.0

GoldenOption = Annotated[str | None, typer.Option("--golden", metavar="ID", help="Id of a golden set.")]
GoldenVersionOption = Annotated[int, typer.Option("--golden-version", min=1, help="Its frozen version.")]
DatasetOption = Annotated[
    str | None, typer.Option("--dataset", metavar="ID", help="Id of a dataset; its items are judged.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show calls, tokens and USD, and start nothing.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("compare")(compare)


def compare(
    evaluation: Annotated[str, typer.Argument(metavar="EVALUATION", help="Id or name of an evaluation.")],
    version_a: Annotated[int, typer.Argument(metavar="A", min=1, help="The version to compare with.")],
    version_b: Annotated[int, typer.Argument(metavar="B", min=1, help="The version that may be better.")],
    team: TeamOption = 1,
    size: Annotated[int, typer.Option("--size", min=1, max=2000, help="Generations at the most.")] = 200,
    margin: Annotated[
        float,
        typer.Option("--margin", min=0.0001, max=0.99, help="Difference that does not matter; 0.02 is two points."),
    ] = 0.02,
    golden: GoldenOption = None,
    golden_version: GoldenVersionOption = 1,
    dataset: DatasetOption = None,
    dry_run: DryRunOption = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let two versions judge the same generations, and say which is better.

    Running processes judge them: generations of the last seven days, or the items of a golden set or a dataset. The
    exit code is 3 if version B is worse, so that a pipeline can stop there.

    \b
        gavel compare "Answers the question" 3 4
        gavel compare "Answers the question" 3 4 --dataset ID
    """
    from api.schemas.measurements import ComparisonCreate, Cost
    from api.services.trust.shown import comparison_shown
    from api.services.trust.starts import start_comparison
    from storage.sql.evaluations import Evaluations

    items = items_of(golden, golden_version, dataset)
    with opened_services(config, team) as (services, caller):
        found = find_or_exit(Evaluations(services.database).each(team), evaluation)
        body = ComparisonCreate(
            version_a=version_a, version_b=version_b, size=size, margin=margin, dry_run=dry_run, **items,
            source="dataset" if dataset is not None else "window" if golden is None else "golden_set",
        )  # fmt: skip
        made = start_comparison(services, caller, found, body)
        if isinstance(made, Cost):
            print_cost(made, as_json=as_json)
            return
        run = finished(services, made)
        shown = comparison_shown(services, found, run)
    if as_json:
        print_json(shown.model_dump(mode="json"))
    else:
        _print(shown)
    if run.state != "completed":
        fail(f"the comparison is {run.state}: {run.error or 'it was cancelled'}", code=EXIT_FAILED)
    if shown.outcome.outcome == "worse":
        raise typer.Exit(EXIT_WORSE)


def items_of(golden: str | None, golden_version: int, dataset: str | None = None) -> dict[str, Any]:
    """Return the fields of a request that name its items; none if no option does. End the command if they are wrong."""
    if dataset is not None:
        if golden is not None:
            fail("give either --golden or --dataset", code=EXIT_USAGE)
        return {"dataset": _id_of("--dataset", dataset, "`datasets/` of the API lists them")}
    if golden is not None:
        found = _id_of("--golden", golden, "`golden_sets/` of the API lists them")
        return {"golden_set": found, "golden_set_version": golden_version}
    return {}


def _id_of(option: str, text: str, remedy: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        fail(f"{option}: {text!r} is not an id; {remedy}", code=EXIT_USAGE)


def finished(services: Services, run: MeasurementRun) -> MeasurementRun:
    """Wait until a measurement has ended, and return it. An interrupt cancels it."""
    from storage.sql.measurements import OPEN, MeasurementRuns

    store = MeasurementRuns(services.database)
    try:
        with progress("judging", run.total) as advance:
            while run.state in OPEN:
                time.sleep(_POLL_S)
                run = store.get(run.team_id, run.id) or run
                advance(run.done)
    except KeyboardInterrupt:
        store.cancel(run.team_id, run.id, actor="cli", now=services.now())
        raise
    return run


def print_cost(cost: Cost, *, as_json: bool) -> None:
    """Print what a measurement would do."""
    if as_json:
        print_json(cost.model_dump(mode="json"))
        return
    usd = "without a known price" if cost.usd is None else f"{cost.usd:.4f} USD"
    typer.echo(
        f"{plural(cost.calls, 'call')} over {plural(cost.items, 'item')} ({cost.reused} reused), "
        f"{cost.input_tokens} input and {cost.output_tokens} output tokens, {usd}"
    )


def _print(shown: Comparison) -> None:
    found = shown.outcome
    typer.echo(
        f"{found.n} compared: {found.both_pass} both pass, {found.both_fail} both fail, {found.fail_to_pass} fail to "
        f"pass, {found.pass_to_fail} pass to fail; {found.not_compared} not compared"
    )
    typer.echo(_verdict(found))
    if found.labels is not None:
        typer.echo(
            f"labels: {found.labels.labelled}; only {shown.version_a} is right on {found.labels.only_a_right}, only "
            f"{shown.version_b} on {found.labels.only_b_right}"
        )
    typer.echo(f"{plural(shown.done, 'judgement')}, {shown.reused} reused, {shown.cost_usd:.4f} USD")


def _verdict(found: ComparisonOutcome) -> str:
    if found.outcome is None or found.difference.value is None:
        return "no outcome: nothing could be compared on pass and fail"
    each = found.difference
    more = f"; about {found.n_to_decide} generations would decide" if found.n_to_decide else ""
    return f"{found.outcome}: {each.value:+.4f} [{each.low:+.4f}, {each.high:+.4f}], p {found.p:.4g}{more}"


TrustKind = Literal["measure", "consistency", "canaries"]


def measure(
    services: Services,
    caller: ApiKey,
    found: Evaluation,
    kind: TrustKind,
    options: dict[str, Any],
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Carry out a measurement of one version for `gavel trust`, and print its figures."""
    from api.schemas.measurements import Cost, MeasurementRunCreate
    from api.services.trust.shown import measurement_shown
    from api.services.trust.starts import start_run

    made = start_run(services, caller, found, MeasurementRunCreate(kind=kind, dry_run=dry_run, **options))
    if isinstance(made, Cost):
        print_cost(made, as_json=as_json)
        return
    run = finished(services, made)
    shown = measurement_shown(services, found, run)
    if as_json:
        print_json(shown.model_dump(mode="json"))
    elif shown.canaries is not None:
        print_canaries(shown.canaries)
    elif shown.consistency is not None:
        rate = "none" if shown.consistency.flip_rate is None else f"{shown.consistency.flip_rate:.4f}"
        unanimous = "none" if shown.consistency.unanimous is None else f"{shown.consistency.unanimous:.1%}"
        typer.echo(f"flip rate {rate}, unanimous {unanimous} of {plural(shown.consistency.items, 'item')}")
    elif shown.agreement is not None and shown.agreement.pass_fail is not None:
        accuracy = shown.agreement.pass_fail.accuracy
        figure = (
            "too few items"
            if accuracy.value is None
            else f"{accuracy.value:.3f} [{accuracy.low:.3f}, {accuracy.high:.3f}]"
        )
        weighting = f", {shown.agreement.weighting}" if shown.agreement.weighting else ""
        typer.echo(
            f"accuracy {figure} over {plural(shown.agreement.pairs, 'item')}, {shown.agreement.unanswered} unanswered"
            f"{weighting}"
        )
    if run.state != "completed":
        fail(f"the measurement is {run.state}: {run.error or 'it was cancelled'}", code=EXIT_FAILED)
