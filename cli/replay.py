"""`gavel replay`: judge a stretch of the past again."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import uuid4

import typer

from cli.running import beside_or_exit
from cli.terminal import ConfigOption, JsonOption, fail, parse_time, progress, refuse_embedded_broker
from processor.exit_codes import EXIT_INTERRUPTED, EXIT_USAGE

if TYPE_CHECKING:
    from config.settings import Settings
    from processor.replay.plan import ReplayPlan
    from processor.replay.replay import Replay
    from processor.replay.sources import ReplaySource
    from storage.sql.engine import Database

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
        bool,
        typer.Option("--rerun", help="Judge everything again, under new ids, instead of only the missing results."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Match and estimate tokens and cost; write nothing.")
    ] = False,
    rate: Annotated[float | None, typer.Option(min=0.1, help="Records per second at the most.")] = None,
    to_topic: Annotated[str | None, typer.Option(help="Write results and judge tasks here instead.")] = None,
    source: Annotated[
        str, typer.Option(help="topic, or clickhouse: the archive, which keeps events longer.")
    ] = "topic",
    over_budget: Annotated[
        str | None,
        typer.Option(metavar="EVALUATION", help="Fill the runs of this evaluation (id) that were over budget."),
    ] = None,
    resume: Annotated[str | None, typer.Option(help="Continue the replay with this id.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Judge a stretch of the past with the definitions of today.

    It decides as the live run did. Without --rerun it writes only the results that are missing. Ctrl-C ends it after
    the current batch, and --resume continues there.

    \b
        gavel replay --from 2026-03-01 --to 2026-03-02 --dry-run
        gavel replay --offsets 0:1000-2000 --evaluation 0190…
        gavel replay --source clickhouse --from 2026-01-01 --team 7 --rerun
        gavel replay --over-budget 0190…
    """
    settings = beside_or_exit(config)
    refuse_embedded_broker(settings)
    if source not in ("topic", "clickhouse"):
        fail(f"--source: {source!r} is unknown; choose topic or clickhouse", code=EXIT_USAGE)
    if source == "clickhouse" and (offsets or topic):
        fail("--source clickhouse takes --from and --to, not --topic and --offsets", code=EXIT_USAGE)
    if over_budget and (since or until or offsets or topic or evaluation or team or rerun or to_topic or resume):
        fail("--over-budget knows what to read; it takes only --rate, --dry-run and --json beside it", code=EXIT_USAGE)
    from processor.kafka import KafkaClients
    from processor.replay.over_budget import forget_filled, plan_over_budget
    from processor.replay.plan import ReplayPlan, open_replay, time_ranges
    from processor.replay.sources import ReplayError
    from storage.clickhouse import ClickHouseProblem
    from storage.sql.engine import StoreError, open_store

    clients = KafkaClients(settings)
    database = open_store(settings)
    try:
        if resume is not None:
            plan = ReplayPlan.load(settings, resume)
        elif over_budget is not None:
            topic = settings.kafka.topics.events
            plan = plan_over_budget(database, over_budget, topic=topic, rate=rate)
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
        running, place = open_replay(plan, settings, database, clients, dry_run=dry_run)
        if not dry_run:
            plan.save(settings)
        with _seen(database, plan, running, place, dry_run=dry_run):
            _work(plan, running, place, settings, dry_run=dry_run)
        if plan.done and not dry_run:
            forget_filled(database, plan)
    except (ReplayError, StoreError, ClickHouseProblem) as error:
        fail(str(error))
    _report(plan, running, dry_run=dry_run, as_json=as_json)
    if not plan.done:
        raise typer.Exit(EXIT_INTERRUPTED)


def _fixed_end(before: datetime | None) -> datetime:
    from datetime import UTC

    return before or datetime.now(UTC)


@contextmanager
def _seen(
    database: Database, plan: ReplayPlan, running: Replay, source: ReplaySource, *, dry_run: bool
) -> Iterator[None]:
    """Write heartbeats with the progress of the replay, so that `gavel status` and the console show it."""
    from storage.heartbeat import HeartbeatWriter
    from storage.sql.heartbeats import Vitals

    def probe() -> Vitals:
        progress = {"id": plan.id, "done": source.done, "total": source.total, **running.report.as_json()}
        return Vitals(
            "running", counters={"records_consumed": float(running.report.read)}, details={"replay": progress}
        )

    if dry_run:
        yield
        return
    writer = HeartbeatWriter(database, {"replay": probe})
    writer.start()
    failed = {"replay": "it did not end in order"}
    try:
        yield
        failed = {}
    finally:
        writer.stop(failed)


def _work(plan: ReplayPlan, running: Replay, source: ReplaySource, settings: Settings, *, dry_run: bool) -> None:
    """Run batches until the end or Ctrl-C, with a progress bar on a terminal."""
    from processor.runtime.garbage import tune_collector

    tune_collector()
    stopping: list[int] = []
    previous = signal.signal(signal.SIGINT, lambda number, _frame: stopping.append(number))
    try:
        with progress("replay", source.total, source.done) as advance:
            while not stopping:
                if not running.step():
                    plan.done = True
                    break
                advance(source.done)
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
        ("judge tasks", report.handed_on, f"runs {would}enqueued for the judges"),
        ("existing", report.existing, "results were there already and are left alone"),
        ("failed", report.failed, "events or runs"),
        ("estimate", report.estimated_tokens, f"tokens of judges, ${report.estimated_cost_usd:,.2f}"),
    ]
    typer.echo(f"replay {plan.id}: {'done' if plan.done else 'interrupted'}{' (dry run)' if dry_run else ''}")
    for name, figure, text in lines:
        typer.echo(f"  {name:<12} {figure:>12,}  {text}")
    if not plan.done and not dry_run:
        typer.echo(f"Continue with: gavel replay --resume {plan.id}")


def _parse_offsets(given: list[str]) -> dict[int, tuple[int, int]]:
    ranges: dict[int, tuple[int, int]] = {}
    for text in given:
        match = _OFFSETS.fullmatch(text)
        if match is None or int(match[2]) >= int(match[3]):
            fail(f"--offsets: {text!r} is not P:A-B with A below B, such as 0:1000-2000", code=EXIT_USAGE)
        else:
            partition, start, end = (int(group) for group in match.groups())
            if partition in ranges:
                fail(f"--offsets: partition {partition} is given twice", code=EXIT_USAGE)
            ranges[partition] = (start, end)
    return ranges
