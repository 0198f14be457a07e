"""`gavel trust`: how far a judge can be believed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.anchors import anchors
from cli.compare import DatasetOption, DryRunOption, GoldenOption, GoldenVersionOption, items_of
from cli.compare import measure as carry_out
from cli.evaluations import TeamOption, find_or_exit
from cli.inputs import bytes_or_exit
from cli.services import opened_services
from cli.terminal import ConfigOption, JsonOption, fail, print_json
from cli.trust_table import print_trust
from config.given import STANDARD_INPUT
from processor.exit_codes import EXIT_USAGE

if TYPE_CHECKING:
    from cli.compare import TrustKind


EvaluationArgument = Annotated[str, typer.Argument(metavar="ID|NAME", help="Id or name of an evaluation.")]
VersionOption = Annotated[
    int | None, typer.Option("--version", min=1, help="Version of the evaluation; the present one by default.")
]


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(name="trust", no_args_is_help=True, help="Measure how far a judge can be believed.")
    group.command("show")(show)
    group.command("measure")(measure)
    group.command("consistency")(consistency)
    group.command("canaries")(canaries)
    group.command("anchors")(anchors)
    group.command("compute")(compute)
    app.add_typer(group)


def show(
    evaluation: EvaluationArgument,
    team: TeamOption = 1,
    version: VersionOption = None,
    days: Annotated[
        float, typer.Option("--days", min=0.01, max=3650, help="Length of the window that ends now.")
    ] = 30.0,
    sliced_by: Annotated[
        str | None, typer.Option("--slice", help="model, prompt_version, condition, output_length or a property.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how far the judge of an evaluation agrees with people, and the pass rate without its errors.

    gavel trust show "Answers the question" --days 7
    """
    from datetime import UTC, datetime, timedelta

    from api.services.trust import report
    from storage.sql.evaluations import Evaluations

    start = datetime.now(UTC) - timedelta(days=days)
    with opened_services(config, team) as (services, _):
        found = find_or_exit(Evaluations(services.database).each(team), evaluation)
        shown = report.trust(services, found, version=version, start=start, sliced_by=sliced_by)
    if as_json:
        print_json(shown.model_dump(mode="json"))
    else:
        print_trust(found.name, shown)


def measure(
    evaluation: EvaluationArgument,
    golden: GoldenOption = None,
    golden_version: GoldenVersionOption = 1,
    dataset: DatasetOption = None,
    team: TeamOption = 1,
    version: VersionOption = None,
    dry_run: DryRunOption = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Judge the items of a golden set or a dataset, and show how far the version agrees with their expected verdicts.

    Running processes judge them. Items of a dataset have their expected verdict in metadata.expected.

    \b
        gavel trust measure "Answers the question" --golden ID --golden-version 2
        gavel trust measure "Answers the question" --dataset ID --json
    """
    items = items_of(golden, golden_version, dataset)
    if not items:
        fail("give either --golden or --dataset", code=EXIT_USAGE)
    options = {**items, "version": version}
    _carry_out("measure", evaluation, team, config, options, dry_run=dry_run, as_json=as_json)


def consistency(
    evaluation: EvaluationArgument,
    team: TeamOption = 1,
    version: VersionOption = None,
    size: Annotated[int, typer.Option("--size", min=1, max=50, help="Generations, or items, at the most.")] = 50,
    repeats: Annotated[int, typer.Option("--repeats", min=2, max=20, help="Judgements of each.")] = 5,
    golden: GoldenOption = None,
    golden_version: GoldenVersionOption = 1,
    dataset: DatasetOption = None,
    dry_run: DryRunOption = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Judge the same generations several times, and show how often the version contradicts itself.

    They are generations of the last seven days, or the items of a golden set or a dataset.

    \b
        gavel trust consistency "Answers the question" --dry-run
        gavel trust consistency "Answers the question" --dataset ID
    """
    options = {**items_of(golden, golden_version, dataset), "version": version, "size": size, "repeats": repeats}
    _carry_out("consistency", evaluation, team, config, options, dry_run=dry_run, as_json=as_json)


def canaries(
    evaluation: EvaluationArgument,
    golden: Annotated[str, typer.Option("--golden", metavar="ID", help="Id of a golden set with items that fail.")],
    golden_version: GoldenVersionOption = 1,
    team: TeamOption = 1,
    version: VersionOption = None,
    dry_run: DryRunOption = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Plant attacks in golden items that must fail, and show which of them make the judge pass the item.

    gavel trust canaries "Answers the question" --golden ID --dry-run
    """
    options = {**items_of(golden, golden_version), "version": version}
    _carry_out("canaries", evaluation, team, config, options, dry_run=dry_run, as_json=as_json)


def _carry_out(
    kind: TrustKind, evaluation: str, team: int, config: Path | None, options: dict[str, Any], *, dry_run: bool,
    as_json: bool,
) -> None:  # fmt: skip
    from storage.sql.evaluations import Evaluations

    with opened_services(config, team) as (services, caller):
        found = find_or_exit(Evaluations(services.database).each(team), evaluation)
        carry_out(services, caller, found, kind, options, dry_run=dry_run, as_json=as_json)


def compute(
    file: Annotated[
        Path, typer.Argument(help="JSON of one request, {kind, input}; - is standard input.", show_default=False)
    ] = STANDARD_INPUT,
    as_json: JsonOption = False,
) -> None:
    """Compute the statistics of a judge from numbers, without Kafka, a store or settings.

    \b
    gavel trust compute request.json
    echo '{"kind": "agreement", "input": {"tp": 85, "fn": 7, "fp": 5, "tn": 23}}' | gavel trust compute --json

    The request names a kind: agreement, stratified_agreement, numeric_agreement, options_agreement, alpha, interval,
    post_stratified, rogan_gladen, ppi, allocation, comparison, paired, holm, drift, null_rate, consistency,
    calibration, confidence or order. docs/trust.md explains the input of each.

    The answer is JSON, on one line with --json. {"refused": REASON} means that the data does not allow the figure,
    and is an answer like any other (exit code 0). Exit code 2 is a request that cannot be read or contradicts itself,
    1 a package that is not installed.
    """
    from quality.compute import BadInput
    from quality.compute import compute as answer_of
    from quality.extra import ExtraMissing

    if file == STANDARD_INPUT and sys.stdin.isatty():
        fail("standard input is a terminal; name a FILE with the request, or pipe it in", code=EXIT_USAGE)
    try:
        answer = answer_of(_decoded(bytes_or_exit(file), file))
    except BadInput as error:
        fail(f"{file}: {error}", code=EXIT_USAGE)
    except ExtraMissing as error:
        fail(str(error))
    # The answer can name options of the request, and those can be text that only ASCII with escapes gets through.
    typer.echo(json.dumps(answer, indent=None if as_json else 2))


def _decoded(content: bytes, file: Path) -> Any:
    try:
        return json.loads(content)
    except RecursionError:
        fail(f"{file}: is nested too deeply; write an object with kind and input", code=EXIT_USAGE)
    except ValueError as error:  # JSON that is malformed, text that is not UTF-8, an integer of thousands of digits
        fail(f"{file}: is not JSON: {error}; write an object with kind and input", code=EXIT_USAGE)
