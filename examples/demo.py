"""The demo: real generations through the whole pipeline, in one process, on embedded defaults.

`make demo`, or `python -m examples.demo [--data-dir DIR] [--json]`. Kafka is librdkafka's in-process broker,
ClickHouse is chdb in a folder, the store is SQLite. The judges talk to a local stand-in provider that is started
here, or to OpenAI if OPENAI_API_KEY is set.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote
from typing import Any

from confluent_kafka import Producer
from prometheus_client import CollectorRegistry
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from config.files import read_definitions
from config.settings import Settings, load_settings
from processor.kafka import EmbeddedBroker
from processor.metrics import Metrics
from processor.runtime.logs import configure
from processor.runtime.process import Runtime, RuntimeOptions
from processor.runtime.roles import BUILDERS
from processor.runtime.setup import initialise
from storage.apply import apply_definitions
from storage.clickhouse import connect
from storage.clickhouse.query import PassRule, rows
from storage.clickhouse.results import ResultSelection, Summary, find_results, summarise
from storage.sql.engine import Database, open_store
from storage.sql.evaluation_queries import EvaluationQuery
from storage.sql.evaluations import Evaluations

HERE = Path(__file__).resolve().parent
TEAM_ID = 1
LIMIT_S = 240.0
_QUIET_LOOKS = 5
SHOWN = Console(stderr=True)


def main() -> int:
    """Run the demo; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m examples.demo", description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, default=Path(".gavel/demo"), help="made anew (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print the table as JSON")
    given = parser.parse_args()
    started = time.monotonic()
    shutil.rmtree(given.data_dir, ignore_errors=True)
    with ExitStack() as stack:
        settings = demo_settings(given.data_dir, stack)
        configure(settings.log.level, settings.log.format)
        broker, database = EmbeddedBroker(), open_store(settings)
        stack.callback(database.close)
        metrics = Metrics(CollectorRegistry())
        runtime = Runtime(settings, BUILDERS, database, metrics, RuntimeOptions(embedded=broker))
        failed = [finding for finding in initialise(settings, runtime.clients, database) if not finding.ok]
        if failed:
            SHOWN.print(f"{failed[0].subject}: {failed[0].detail}; {failed[0].remedy}")
            return 1
        apply_examples(database)
        runtime.start()
        try:
            events = list(generations())
            SHOWN.print("Kafka: in process. ClickHouse: chdb in", settings.clickhouse.dsn.get_secret_value()[7:])
            complete = stream(events, settings, broker, metrics, runtime)
            summary = read_back(settings, database)
        finally:
            code = runtime.stop()
    if given.json:
        print(json.dumps(summary, indent=2))
    else:
        show(summary, len(events), time.monotonic() - started)
        say_how_to_look(given.data_dir)
    if not complete:
        SHOWN.print(f"[red]Not everything was judged within {LIMIT_S:.0f} s.")
    return code if complete else 1


def demo_settings(data_dir: Path, stack: ExitStack) -> Settings:
    """Return embedded settings whose operator's key belongs to OpenAI or to the stand-in."""
    judge: dict[str, Any] = {"trial_eval_limit": 1_000_000, "commit_interval_s": 0.1}
    api_key = os.environ.get("OPENAI_API_KEY")
    if api_key:
        SHOWN.print("Judges: OpenAI, with OPENAI_API_KEY. This costs money.")
        judge |= {"trial_api_key": api_key}
    else:
        from examples.stand_in.client import StandInServer

        server = StandInServer("--latency", "0.05", "--jitter", "0.1")
        stack.callback(server.close)
        SHOWN.print(
            f"Judges: no OPENAI_API_KEY, so a [bold]stand-in provider[/bold] answers at {server.base_url}. "
            "Its verdicts follow from fixed rules, not from a model."
        )
        judge |= {"trial_api_key": "stand-in", "trial_base_url": server.base_url}
    return load_settings(
        environ={},
        overrides={
            "data_dir": str(data_dir),
            "http": {"port": 0},
            "log": {"level": "error"},
            "judge": judge,
            "matcher": {"commit_interval_s": 0.1},
            "sink": {"batch_interval_s": 0.5},
        },
    )


def apply_examples(database: Database) -> None:
    """Apply all example evaluations."""
    wanted, problems = read_definitions([HERE / "evaluators", HERE / "judges"])
    if problems:
        raise SystemExit("\n".join(map(str, problems)))
    apply_definitions(database, TEAM_ID, wanted, actor="demo", now=datetime.now(UTC))


def generations() -> Iterator[bytes]:
    """Yield the bundled rows as they would come from ingestion."""
    for path in sorted((HERE / "generations").glob("*.jsonl")):
        yield from path.read_bytes().splitlines()


def stream(events: list[bytes], settings: Settings, broker: EmbeddedBroker, metrics: Metrics, runtime: Runtime) -> bool:
    """Produce `events` and wait until each is judged and its results are in ClickHouse. False if time ran out."""
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "linger.ms": 20})
    topics = settings.kafka.topics
    columns = (TextColumn("{task.description:<10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=SHOWN) as bar:
        sent = bar.add_task("streamed", total=len(events))
        matched = bar.add_task("matched", total=len(events))
        judged = bar.add_task("judged", total=None)
        stored = bar.add_task("stored", total=None)
        for event in events:
            producer.produce(topics.events, event, key=json.loads(event)["uuid"])
            bar.advance(sent)
        producer.flush(30)
        end, quiet = time.monotonic() + LIMIT_S, 0
        while time.monotonic() < end:
            consumed = _total(metrics, "gavel_records_consumed", role="matcher")
            tasks, results = _total(metrics, "gavel_tasks"), _total(metrics, "gavel_results")
            answered = _total(metrics, "gavel_results", role="judge") + _total(
                metrics, "gavel_runs_not_made", role="judge"
            )
            in_sink = _total(metrics, "gavel_records_consumed", role="sink", topic=topics.results)
            bar.update(matched, completed=consumed)
            bar.update(judged, completed=answered, total=tasks)
            bar.update(stored, completed=in_sink, total=results)
            at_rest = consumed >= len(events) and answered >= tasks and in_sink >= results
            quiet = quiet + 1 if at_rest and not runtime.records_in_flight() else 0
            if quiet == _QUIET_LOOKS:
                return True
            time.sleep(0.1)
    return False


def _total(metrics: Metrics, name: str, **labels: str) -> int:
    """Return the sum of a metric's series that have these labels."""
    return int(
        sum(
            sample.value
            for family in metrics.registry.collect()
            if family.name == name
            for sample in family.samples
            if not sample.name.endswith("_created") and labels.items() <= sample.labels.items()
        )
    )


def read_back(settings: Settings, database: Database) -> list[dict[str, Any]]:
    """Return a row per evaluation, from ClickHouse."""
    client = connect(settings.clickhouse.dsn.get_secret_value())
    found = []
    page = Evaluations(database).page(TEAM_ID, EvaluationQuery(order_by=("name",)))
    for evaluation in page.results:
        selection, rule = ResultSelection(TEAM_ID, evaluation_id=evaluation.id), PassRule.of(evaluation.output_config)
        failing = find_results(client, selection, rule, verdict="fail", limit=1)
        found.append(
            {
                "evaluation": evaluation.name,
                "runtime": evaluation.evaluation_type,
                **_figures(summarise(client, selection, rule)),
                **_latency(client, evaluation.id),
                "failing_example": None
                if not failing
                else {"event": failing[0].target_event_id, "reasoning": failing[0].reasoning},
            }
        )
    return found


def _figures(summary: Summary) -> dict[str, Any]:
    return {
        "matched": summary.runs,
        "passed": summary.passed,
        "failed": summary.failed,
        "scored": summary.scored,
        "not_applicable": summary.not_applicable,
        "skipped": dict(summary.skipped),
        "cost_usd": summary.cost_usd,
    }


def _latency(client: Any, evaluation_id: str) -> dict[str, Any]:
    """Return p50 and p95 of the milliseconds from the start of a run until its result was in Kafka."""
    query = """
        SELECT quantilesExact(0.5, 0.95)(
            toUnixTimestamp64Milli(record_time) - intDiv(toUnixTimestamp64Micro(start_time), 1000)) AS ms
        FROM evaluation_results FINAL WHERE team_id = {team:Int64} AND evaluation_id = {id:String}
    """
    p50, p95 = rows(client, query, {"team": TEAM_ID, "id": evaluation_id})[0]["ms"]
    return {"p50_ms": p50, "p95_ms": p95}


def show(summary: list[dict[str, Any]], events: int, seconds: float) -> None:
    """Print the table and three failing examples."""
    console = Console(width=max(Console().width, 112))
    title = f"{events} real events judged in {seconds:.0f} s, read back from ClickHouse"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    table.add_column("evaluation", no_wrap=True)
    for name in ("matched", "passed", "failed", "scored", "N/A", "p50/p95 s"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("skipped")
    for row in summary:
        counts = [row[name] for name in ("matched", "passed", "failed", "scored", "not_applicable")]
        cells = [*(str(count or "·") for count in counts), f"{row['p50_ms'] / 1000:.1f}/{row['p95_ms'] / 1000:.1f}"]
        skipped = ", ".join(f"{count} {reason}" for reason, count in row["skipped"].items())
        table.add_row(row["evaluation"], *cells, skipped or "·")
    console.print(table)
    console.print("Latency is from the start of a run until its result is in Kafka. Three that failed:\n")
    judged_first = sorted((row for row in summary if row["failing_example"]), key=lambda row: row["runtime"] == "hog")
    for row in judged_first[:3]:
        example = row["failing_example"]
        console.print(f"  [bold]{row['evaluation']}[/bold] on {example['event']}")
        console.print(f"    {' '.join(example['reasoning'].split())[:300]}", markup=False)


def say_how_to_look(data_dir: Path) -> None:
    """Print the command that opens the console on the verdicts of a finished demo."""
    SHOWN.print("\nLook at them in a browser: this prints a link that signs you in to the console.")
    SHOWN.print(f"  GAVEL_DATA_DIR={quote(str(data_dir))} .venv/bin/gavel up --quiet", markup=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
