"""`gavel replay`: judge a stretch of the past again."""

from __future__ import annotations

import json
import re
import signal
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import uuid4

import typer

from processor.cli.dlq import parse_time
from processor.cli.run import EXIT_FAILED, EXIT_USAGE, ConfigOption, JsonOption, settings_or_exit

if TYPE_CHECKING:
    from config.settings import Settings
    from processor.replay import Replay
    from processor.replay_plan import ReplayPlan
    from processor.replay_sources import ReplaySource

EXIT_INTERRUPTED = 130
_OFFSETS = re.compile(r"(\d+):(\d+)-(\d+)")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("replay")(replay)


def replay(
    topic: Annotated[str | None, typer.Option(help="Topic to read; the events topic by default.")] = None,
    since: Annotated[str | None, typer.Option("--from", help="Begin at this time (ISO-8601; UTC by default).")] = None,
    until: Annotated[str | None, typer.Option("--to", help="End before this time; now by default.")] = None,
    offsets: Annotated[
        list[str] | None, typer.Option(help="`P:A-B`: partition P from offset A up to but not including B. Repeatable.")
    ] = None,
    evaluation: Annotated[
        list[str] | None, typer.Option(help="Only this evaluation (id), enabled or not. Repeatable.")
    ] = None,
    team: Annotated[list[int] | None, typer.Option(help="Only this team. Repeatable.")] = None,
    rerun: Annotated[
        bool, typer.Option("--rerun", help="Judge all of it again, under ids of its own, instead of what is missing.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Match and estimate tokens and cost; write nothing.")
    ] = False,
    rate: Annotated[float | None, typer.Option(min=0.1, help="Records per second at the most.")] = None,
    to_topic: Annotated[str | None, typer.Option(help="Write results and judge tasks here instead.")] = None,
    source: Annotated[
        str, typer.Option(help="topic, or clickhouse: the archive, when the topic no longer holds the range.")
    ] = "topic",
    resume: Annotated[str | None, typer.Option(help="Go on with the replay of this id.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Judge a stretch of the past with the definitions of today.

    Decides as the live run did, and answers only what has no result yet, unless --rerun is given. Ctrl-C ends
    after the current batch; --resume goes on there.

        gavel replay --from 2026-03-01 --to 2026-03-02 --dry-run
        gavel replay --offsets 0:1000-2000 --evaluation 0190…
        gavel replay --source clickhouse --from 2026-01-01 --team 7 --rerun
    """
    settings = settings_or_exit(config)
    if settings.kafka.is_embedded:
        _fail("the embedded broker lives in another process; set GAVEL_KAFKA__BOOTSTRAP_SERVERS", EXIT_USAGE)
    if source not in ("topic", "clickhouse"):
        _fail(f"--source: {source!r} is neither topic nor clickhouse", EXIT_USAGE)
    if source == "clickhouse" and (offsets or topic):
        _fail("--source clickhouse takes --from and --to, not --topic and --offsets", EXIT_USAGE)
    from config.clickhouse import ClickHouseProblem
    from config.store.engine import StoreError, open_store
    from processor.kafka import KafkaClients
    from processor.replay_plan import ReplayPlan, open_replay, time_ranges
    from processor.replay_sources import ReplayError

    clients = KafkaClients(settings)
    try:
        if resume is not None:
            plan = ReplayPlan.load(settings, resume)
        else:
            after, before = parse_time(since, "--from"), parse_time(until, "--to")
            plan = ReplayPlan(
                id=uuid4().hex[:12],
                source=source,
                topic=topic or settings.kafka.topics.events,
                after=None if after is None else after.isoformat(),
                # The end is fixed now: what arrives meanwhile is the live run's.
                before=_fixed_end(before).isoformat() if source == "clickhouse" else None,
                evaluations=list(evaluation or ()),
                teams=list(team or ()),
                rerun=rerun,
                to_topic=to_topic,
                rate=rate,
            )
            if source == "topic":
                plan.ranges = (
                    _parse_offsets(offsets) if offsets else time_ranges(clients, settings, plan, after, before)
                )
        running, place = open_replay(plan, settings, open_store(settings), clients, dry_run=dry_run)
        if not dry_run:
            plan.save(settings)
        _work(plan, running, place, settings, dry_run=dry_run)
    except (ReplayError, StoreError, ClickHouseProblem) as error:
        _fail(str(error), EXIT_FAILED)
    _report(plan, running, dry_run=dry_run, as_json=as_json)
    if not plan.done:
        raise typer.Exit(EXIT_INTERRUPTED)


def _fixed_end(before: datetime | None) -> datetime:
    from datetime import UTC

    return before or datetime.now(UTC)


def _work(plan: ReplayPlan, running: Replay, source: ReplaySource, settings: Settings, *, dry_run: bool) -> None:
    """Run batches until the end or Ctrl-C, with a progress bar on a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from processor.garbage import tune_collector

    tune_collector()
    stopping: list[int] = []
    previous = signal.signal(signal.SIGINT, lambda number, _frame: stopping.append(number))
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:,.0f}/s"),
        TimeRemainingColumn(),
    )
    try:
        with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
            task = bar.add_task("replay", total=source.total, completed=source.done, rate=0.0)
            while not stopping:
                if not running.step():
                    plan.done = True
                    break
                seconds = running.report.seconds or 1e-9
                bar.update(task, completed=source.done, rate=running.report.read / seconds)
                if not dry_run:
                    plan.report = running.report.as_json()
                    plan.save(settings)
            running.settle()
    finally:
        signal.signal(signal.SIGINT, previous)
        running.leave()
        source.close()
    plan.report = running.report.as_json()
    if not dry_run:
        plan.save(settings)


def _report(plan: ReplayPlan, running: Replay, *, dry_run: bool, as_json: bool) -> None:
    report = running.report
    if as_json:
        typer.echo(json.dumps({"id": plan.id, "done": plan.done, "dry_run": dry_run, **report.as_json()}))
        return
    would = "would be " if dry_run else ""
    rate = report.read / report.seconds if report.seconds else 0.0
    lines: list[tuple[str, Any, str]] = [
        ("read", report.read, f"records, {rate:,.0f}/s"),
        ("matched", report.matched, "pairs of event and evaluation"),
        ("sampled out", report.sampled_out, "pairs"),
        ("evaluated", report.evaluated, f"Hog results {would}written, {report.skipped} of them skips"),
        ("handed on", report.handed_on, f"runs {would}given to the judges"),
        ("existing", report.existing, "results were there already and are left alone"),
        ("failed", report.failed, "events or runs"),
        ("estimate", report.estimated_tokens, f"tokens of judges, ${report.estimated_cost_usd:,.2f}"),
    ]
    typer.echo(f"replay {plan.id}: {'done' if plan.done else 'interrupted'}{' (dry run)' if dry_run else ''}")
    for name, figure, text in lines:
        typer.echo(f"  {name:<12} {figure:>12,}  {text}")
    if not plan.done and not dry_run:
        typer.echo(f"Go on with: gavel replay --resume {plan.id}")


def _parse_offsets(given: list[str]) -> dict[int, tuple[int, int]]:
    ranges: dict[int, tuple[int, int]] = {}
    for text in given:
        match = _OFFSETS.fullmatch(text)
        if match is None or int(match[2]) >= int(match[3]):
            _fail(f"--offsets: {text!r} is not P:A-B with A below B, such as 0:1000-2000", EXIT_USAGE)
        else:
            partition, start, end = (int(group) for group in match.groups())
            if partition in ranges:
                _fail(f"--offsets: partition {partition} is given twice", EXIT_USAGE)
            ranges[partition] = (start, end)
    return ranges


def _fail(problem: str, code: int) -> None:
    typer.echo(f"gavel: {problem}", err=True)
    raise typer.Exit(code)
