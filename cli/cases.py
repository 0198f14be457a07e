"""`gavel evaluations test`: runs the cases beside definition files."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.inputs import definitions_or_exit
from cli.terminal import JsonOption, fail, plural, print_json, printable
from processor.exit_codes import EXIT_FAILED, EXIT_USAGE

if TYPE_CHECKING:
    from config.cases import Case
    from config.files import FileEvaluation
    from evaluators.hog import HogEvaluator

_LIMIT_S = 10.0
_AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def run_cases(
    paths: Annotated[list[Path], typer.Argument(help="YAML files, or folders of them.", metavar="FILE|DIR…")],
    as_json: JsonOption = False,
) -> None:
    """Run the cases of `NAME.cases.yaml` beside each `NAME.yaml` whose evaluator is Hog code.

    A case has `name`, `properties`, `expect` (pass, fail or not_applicable) and, if it matters, a part of the
    `reasoning`. The exit code is 1 if a case has another outcome.

    \b
        gavel evaluations test examples/evaluators
        gavel evaluations test evaluators/no_refusal.yaml
    """
    from config.cases import BadCases, cases_beside, read_cases

    outcomes: list[dict[str, Any]] = []
    for definition in definitions_or_exit(paths, as_json=as_json):
        beside = cases_beside(definition.path)
        if definition.draft.source is None or not beside.is_file():
            continue
        try:
            outcomes += _outcomes(definition, read_cases(beside))
        except BadCases as error:
            fail(str(error))
    wrong = [each for each in outcomes if each["problem"]]
    if as_json:
        print_json({"cases": len(outcomes), "wrong": wrong})
    else:
        for each in wrong:
            typer.echo(f"{each['file']}: {printable(each['case'])}: {printable(each['problem'])}")
        typer.echo(f"{plural(len(outcomes), 'case')}, {len(wrong)} wrong")
    if not outcomes:
        fail("there is no NAME.cases.yaml beside an evaluator in Hog; write one", code=EXIT_USAGE)
    if wrong:
        raise typer.Exit(EXIT_FAILED)


def _outcomes(definition: FileEvaluation, cases: list[Case]) -> Iterator[dict[str, Any]]:
    from evaluators.hog import HogEvaluator

    draft = definition.draft
    evaluator = HogEvaluator(draft.source or "", allows_na=draft.output_config.allows_na)
    for case in cases:
        yield {"file": str(definition.path), "case": case.name, "problem": _problem(evaluator, case)}


def _problem(evaluator: HogEvaluator, case: Case) -> str:
    """Return why a case is wrong; empty if it is right."""
    from evaluators.generation import Generation
    from evaluators.verdict import Verdict

    generation = Generation(
        uuid="018f4b1e-7c3a-7000-8000-000000000001",
        team_id=1,
        event="$ai_generation",
        distinct_id="case",
        timestamp=_AT,
        properties=case.properties,
    )
    found = evaluator.evaluate(generation, time_limit_s=_LIMIT_S)
    if not isinstance(found, Verdict):
        return f"expected {case.expect}, and the code gave no verdict: {found}"
    outcome = "not_applicable" if not found.applicable else "pass" if found.result else "fail"
    if outcome != case.expect:
        return f"expected {case.expect}, got {outcome}: {found.reasoning[:300]}"
    if case.reasoning not in found.reasoning:
        return f"the reasoning does not hold {case.reasoning!r}: {found.reasoning[:300]}"
    return ""
