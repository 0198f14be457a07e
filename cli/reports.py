"""`gavel reports`: evaluation reports, their runs, and the secrets of their webhooks."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.evaluations import TeamOption
from cli.outputs import written_or_exit
from cli.terminal import (
    ConfigOption,
    JsonOption,
    fail,
    opened_store,
    print_json,
    printable,
    settings_or_exit,
)
from processor.exit_codes import EXIT_USAGE

if TYPE_CHECKING:
    from storage.sql.engine import Database
    from storage.sql.evaluation_report_runs import ReportRun, TargetDelivery
    from storage.sql.evaluation_reports import EvaluationReport

_LISTED = 50
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="Id of a run; `gavel reports list` shows them.")]
ReportArgument = Annotated[str, typer.Argument(metavar="REPORT", help="Id of a report.")]


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(name="reports", no_args_is_help=True, help="Evaluation reports and their deliveries.")
    group.command("list")(list_runs)
    group.command("show")(show)
    group.command("generate")(generate)
    group.command("secret")(secret)
    app.add_typer(group)


def list_runs(
    team: TeamOption = 1,
    open_only: Annotated[bool, typer.Option("--open", help="Only runs that are not finished.")] = False,
    failed: Annotated[bool, typer.Option("--failed", help="Only runs that did not reach every target.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the newest runs of a team's reports.

    \b
    gavel reports list --failed
    gavel reports list --team 7 --open
    """
    from storage.sql.evaluation_report_runs import ReportRuns, ReportRunStatus

    statuses: list[ReportRunStatus] = [*(("pending", "generated") if open_only else ())]
    statuses += ["failed", "partial_failure"] if failed else []
    with opened_store(settings_or_exit(config)) as database:
        found = ReportRuns(database).newest(team, statuses, limit=_LISTED)
    if open_only and not failed:
        found = [run for run in found if run.finished_at is None]
    if as_json:
        print_json([_as_json(run, ()) for run in found])
        return
    for run in found:
        title = printable(str(run.content["title"])) if run.content else "(not made yet)"
        typer.echo(f"{run.id}  {run.created_at:%Y-%m-%d %H:%M}  {run.status:<15}  report {run.report_id}  {title}")


def show(
    run: RunArgument,
    team: TeamOption = 1,
    html: Annotated[Path | None, typer.Option("--html", help="Write the page to this file.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the report of a run and the state of each delivery.

    gavel reports show 0d6e… --html report.html
    """
    from reports.evaluation_reports.page.html import render_html
    from reports.evaluation_reports.page.markdown import render_markdown
    from storage.sql.evaluation_report_runs import ReportRuns

    with opened_store(settings_or_exit(config)) as database:
        runs = ReportRuns(database)
        found = runs.get(team, run)
        if found is None:
            fail(f"team {team} has no run {run}; `gavel reports list --team {team}` shows its runs", code=EXIT_USAGE)
        deliveries = runs.deliveries([found.id])[found.id]
    if html is not None:
        if found.content is None:
            fail(f"the report of run {run} is not made yet; `gavel reports list --open` shows the runs that wait")
        with written_or_exit(html, "--html") as file:
            file.write(render_html(found.content).encode())
    if as_json:
        print_json(_as_json(found, deliveries) | {"content": found.content})
        return
    if html is None and found.content is not None:
        typer.echo(printable(render_markdown(found.content)))
    typer.echo(f"status: {found.status}{f' ({printable(found.error)})' if found.error else ''}")
    for each in deliveries:
        problem = f": {each.error}" if each.error else ""
        typer.echo(f"  {each.target['type']:<8} {each.state} after {each.attempts} attempts{problem}")


def generate(
    report: ReportArgument, team: TeamOption = 1, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Ask for a report now. The reports role makes and delivers it.

    gavel reports generate 6a1f…
    """
    from reports.evaluation_reports.due import manual_run
    from storage.sql.evaluation_report_runs import ReportRuns

    now = datetime.now(UTC)
    with opened_store(settings_or_exit(config)) as database:
        found = _report_or_exit(database, team, report)
        run = ReportRuns(database).open_manual(found, manual_run(found, now, "cli"), now=now)
    if as_json:
        print_json(_as_json(run, ()))
    else:
        typer.echo(f"run {run.id} is {run.status}; `gavel reports show {run.id} --team {team}` shows it")


def secret(report: ReportArgument, team: TeamOption = 1, config: ConfigOption = None) -> None:
    """Print the secret that signs the messages of each webhook of a report, for the person who runs the receiver.

    gavel reports secret 6a1f…
    """
    from config.secrets import SecretBox, SecretsError
    from reports.evaluation_reports.targets import open_target

    settings = settings_or_exit(config)
    with opened_store(settings) as database:
        found = _report_or_exit(database, team, report)
    box = SecretBox(settings.secret_keys)
    try:
        targets = [open_target(each, box) for each in found.delivery_targets if each["type"] == "webhook"]
    except SecretsError as error:
        fail(str(error))
    if not targets:
        fail(f"report {report} has no webhook, and only a webhook has a secret; add a target of type webhook")
    for target in targets:
        if target.secret is not None:
            typer.echo(f"{target.address}  {target.secret.get_secret_value()}")


def _report_or_exit(database: Database, team: int, report_id: str) -> EvaluationReport:
    from storage.sql.evaluation_reports import EvaluationReports

    found = EvaluationReports(database).get(team, report_id)
    if found is None:
        fail(
            f"team {team} has no report {report_id}; `gavel reports list --team {team}` names reports with runs",
            code=EXIT_USAGE,
        )
    return found


def _as_json(run: ReportRun, deliveries: list[TargetDelivery] | tuple[()]) -> dict[str, object]:
    from reports.evaluation_reports.targets import shown_targets

    return {
        "id": run.id,
        "report": run.report_id,
        "evaluation": run.evaluation_id,
        "trigger": run.trigger,
        "status": run.status,
        "error": run.error or None,
        "period_start": run.period_start.isoformat(),
        "period_end": run.period_end.isoformat(),
        "created_at": run.created_at.isoformat(),
        "deliveries": [
            {
                "target": shown_targets([each.target])[0],
                "state": each.state,
                "attempts": each.attempts,
                "error": each.error or None,
            }
            for each in deliveries
        ],
    }
