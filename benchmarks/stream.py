"""The matcher role against a bare loop, over the same topic of a real Kafka.

    python -m benchmarks.stream [--events 200000] [--kafka HOST:PORT] [--json]

Each contestant runs in a process of its own, one after the other, over the same records:

* bare loop: `consume(n)`, orjson decodes the row and its properties, commits after every batch;
* bare loop that writes: the same, and produces as many messages as the matchers, of the same size, ready-made and
  at least once. It shows how much of the bare loop is left before anything is matched or judged;
* matcher, at least once, and matcher, exactly once: the role as it is deployed, with 20 enabled
  evaluations (two sets of three filters each), Hog verdicts produced to Kafka;
* two matchers, exactly once: two such processes at the same time, each with the whole load on a topic of its
  own; the rate is the sum of both;
* replay: `gavel replay` of the same records, which asks ClickHouse (chdb) what is answered already.

All but the bare loop run twice: with evaluations of which one matches 2 % of the events and the others none,
and with evaluations that each match 2 % of them, no two the same, which makes twenty times as many results.

The clock runs from the first record of a process to its last commit. The CPU time is of all threads of a process, and
the least of all rounds for an event. Other work on the machine changes it little.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

import psutil
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from benchmarks.table import markdown
from benchmarks.workload import TEAM_ID, evaluation_drafts, events

if TYPE_CHECKING:
    from processor.events.output import Headers

PARTITIONS = 4
BATCH = 2000
EVALUATIONS = 20
RESULT_BYTES = 1100
"""The size of a result of these events."""
_ID = b"018f2f6e-0000-7000-8000-000000000000"
_HEADERS: Headers = [("result_id", _ID), ("evaluation_id", _ID), ("team_id", b"1"), ("trigger", b"live")]


def make_topic(kafka: str, topic: str) -> None:
    """Make `topic`, with the partitions that all of this run have."""
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_topics([NewTopic(topic, num_partitions=PARTITIONS, replication_factor=1)])[topic].result(30)


def produce(kafka: str, topic: str, count: int) -> int:
    """Fill `topic`; returns the mean size of an event in bytes."""
    make_topic(kafka, topic)
    producer = Producer({"bootstrap.servers": kafka, "linger.ms": 50, "compression.type": "lz4"})
    now = datetime.now(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")  # late events cost more
    size = 0
    for n, value in enumerate(events(count, at=now)):
        size += len(value)
        while True:
            try:
                producer.produce(topic, value, key=str(n).encode())
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    producer.flush(120)
    return size // count


def bare_loop(kafka: str, topic: str, count: int, results_per_event: float = 0.0) -> dict[str, Any]:
    """Consume and decode, and produce some bytes of so many events where results would be; nothing else."""
    import orjson

    from config.settings.kafka import PRODUCING
    from processor.kafka import FETCHING

    producer = Producer({"bootstrap.servers": kafka, "delivery.report.only.error": True, **PRODUCING})
    outputs = f"bare-{uuid4().hex[:8]}"
    make_topic(kafka, outputs)
    consumer = Consumer(
        {
            "bootstrap.servers": kafka,
            "group.id": uuid4().hex,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            **FETCHING,  # as the roles have it: with the default back-off the loop would mostly wait
        }
    )
    consumer.subscribe([topic])
    seen, written, started, cpu = 0, 0, 0.0, 0.0
    while seen < count:
        messages: list[Any] = consumer.consume(BATCH, 0.1)
        if not messages:
            continue
        if not started:
            started, cpu = time.perf_counter(), time.process_time()
        for message in messages:
            if message.error() is None:
                row = orjson.loads(message.value())
                orjson.loads(row["properties"])
                seen += 1
                if written < seen * results_per_event:
                    value, key = message.value()[:RESULT_BYTES], row["uuid"].encode()
                    producer.produce(outputs, value, key, headers=_HEADERS)
                    written += 1
        producer.flush(60)
        consumer.commit(asynchronous=False)
    took, used = time.perf_counter() - started, time.process_time() - cpu
    consumer.close()
    return {"events": seen, "seconds": took, "cpu_seconds": used, "results": written}


def settings_of(kafka: str, topic: str, folder: str, delivery: str, matching: int | None = None) -> Any:
    """Return settings with topics of this run's own, and the evaluations in a store; see `evaluation_drafts`."""
    from config.definitions import EvaluationDraft
    from config.settings import load_settings
    from storage.sql.engine import open_store
    from storage.sql.evaluations import Evaluations
    from storage.sql.migrations import upgrade

    run = uuid4().hex[:8]
    topics = {name: f"{run}-{name}" for name in ("results", "tasks", "parked", "dead_letters")}
    settings = load_settings(
        environ={},
        overrides={
            "data_dir": folder,
            "delivery": delivery,
            "matcher": {"batch_size": BATCH},
            "kafka": {"bootstrap_servers": kafka, "group_prefix": run, "topics": {"events": topic, **topics}},
        },
    )
    database = open_store(settings)
    upgrade(database)
    store = Evaluations(database)
    for draft in evaluation_drafts(EVALUATIONS, matching=matching):
        store.create(TEAM_ID, EvaluationDraft.model_validate(draft), actor=None, now=datetime.now(UTC))
    return settings


def matcher(kafka: str, topic: str, count: int, delivery: str, matching: int | None = None) -> dict[str, Any]:
    """The matcher role as `gavel run --role matcher` builds it."""
    from prometheus_client import CollectorRegistry

    from processor.kafka import KafkaClients
    from processor.kafka_topics import ensure_topics
    from processor.matcher.role import build_matcher
    from processor.metrics import Metrics
    from processor.role_context import RoleContext
    from processor.runtime.logs import configure
    from storage.snapshot import SnapshotPoller
    from storage.sql.changes import read_changes
    from storage.sql.engine import open_store

    configure("error", "json")
    with tempfile.TemporaryDirectory() as folder:
        settings = settings_of(kafka, topic, folder, delivery, matching)
        database = open_store(settings)
        clients, metrics = KafkaClients(settings), Metrics(CollectorRegistry())
        ensure_topics(clients, settings)
        poller = SnapshotPoller(lambda since: read_changes(database, since))
        poller.start()
        stage = build_matcher(RoleContext(settings, clients, database, poller, metrics))
        sampled: list[int] = []
        marks: dict[str, float] = {}
        _watch(stage, metrics, count, marks, sampled)
        stage.run()
        poller.stop()
    value = metrics.registry.get_sample_value
    labels = {"role": "matcher", "runtime": "hog"}
    outcomes = [value("gavel_results_total", {**labels, "outcome": outcome}) for outcome in ("pass", "fail")]
    return {
        "events": int(value("gavel_records_consumed_total", {"role": "matcher", "topic": topic}) or 0),
        "seconds": marks["end"] - marks["start"],
        "cpu_seconds": marks["cpu_end"] - marks["cpu_start"],
        "results": int(sum(outcome or 0 for outcome in outcomes)),
        "rss_mb_quarters": sampled,
    }


def replay(kafka: str, topic: str, matching: int | None = None) -> dict[str, Any]:
    """`gavel replay` of the whole topic."""
    from processor.kafka import KafkaClients
    from processor.kafka_topics import ensure_topics
    from processor.replay.plan import ReplayPlan, open_replay, time_ranges
    from storage.clickhouse import connect, migrate
    from storage.sql.engine import open_store

    with tempfile.TemporaryDirectory() as folder:
        settings = settings_of(kafka, topic, folder, "exactly_once", matching)
        clients = KafkaClients(settings)
        ensure_topics(clients, settings)
        migrate(connect(settings.clickhouse.dsn.get_secret_value()))
        plan = ReplayPlan(id=uuid4().hex[:8], source="topic", topic=topic)
        plan.ranges = time_ranges(clients, settings, plan, None, None)
        running, source = open_replay(plan, settings, open_store(settings), clients, dry_run=False)
        marks: list[tuple[float, float]] = []
        read = source.read

        def noted(records: int) -> list[Any]:
            messages = read(records)
            marks.append((time.perf_counter(), time.process_time()))
            return messages

        source.read = noted  # type: ignore[method-assign]  # the clock runs from the first records, as everywhere here
        while running.step():
            pass
        (started, cpu), *_ = marks
        took, used = time.perf_counter() - started, time.process_time() - cpu
        source.close()
    return {
        "events": running.report.read,
        "seconds": took,
        "cpu_seconds": used,
        "results": running.report.evaluated,
    }


def _watch(stage: Any, metrics: Any, count: int, marks: dict[str, float], sampled: list[int]) -> None:
    """Note when the first record comes and when the last is committed; then stop the stage.

    The stage's own thread does it between two steps: a second one would take the interpreter from it all the time.
    """
    process = psutil.Process()
    records = metrics.registry.get_sample_value
    labels = {"role": "matcher", "topic": stage.topics[0]}
    intake = stage._intake  # noqa: SLF001  # there is no other place in its thread
    step, take_up = stage._step, intake.take_up  # noqa: SLF001  # as above

    def take_up_timed(messages: list[Any]) -> Any:
        if "start" not in marks and messages:
            marks["start"], marks["cpu_start"] = time.perf_counter(), time.process_time()
        return take_up(messages)

    def step_watched() -> None:
        step()
        seen = records("gavel_records_consumed_total", labels) or 0
        if seen >= count * (len(sampled) + 1) / 4:
            sampled.append(process.memory_info().rss // 2**20)
        if seen >= count and not stage.records_in_flight:
            marks["end"], marks["cpu_end"] = time.perf_counter(), time.process_time()
            stage.stop()

    stage._step, intake.take_up = step_watched, take_up_timed  # noqa: SLF001  # as above


class Contestant(NamedTuple):
    """The roles that run, and how many of the evaluations ever match (None: all)."""

    name: str
    matching: int | None = None


_TITLES = {
    "at_least_once": "matcher, at least once",
    "exactly_once": "matcher, exactly once",
    "two matchers": "two matchers, exactly once",
    "replay": "replay",
}
_BARE_LOOP = Contestant("bare loop")
_NAMES = ("bare loop that writes", *_TITLES)
CONTESTANTS = (_BARE_LOOP, *(Contestant(name, matching) for matching in (1, None) for name in _NAMES))


def child(contestant: Contestant, kafka: str, topic: str, count: int) -> dict[str, Any]:
    """Run one contestant in this process, all with the collector as `gavel` sets it."""
    from processor.runtime.garbage import tune_collector

    tune_collector()
    name, matching = contestant
    if contestant == _BARE_LOOP:
        result = bare_loop(kafka, topic, count)
    elif name == "bare loop that writes":
        result = bare_loop(kafka, topic, count, results_per_event=0.02 * (matching or EVALUATIONS))
    elif name == "replay":
        result = replay(kafka, topic, matching)
    else:
        result = matcher(kafka, topic, count, name, matching)
    result["rss_peak_mb"] = _peak_mb()
    return result


def _peak_mb() -> int:
    """Return this process's own high-water mark, as `ru_maxrss` is not: that begins with the parent's."""
    (line,) = re.findall(r"^VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(line) // 1024


def start_child(contestant: Contestant, kafka: str, topic: str, count: int) -> subprocess.Popen[str]:
    """Start one contestant in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.stream", "--child", contestant.name, "--kafka", kafka]
    if contestant.matching is not None:
        command += ["--matching", str(contestant.matching)]
    return subprocess.Popen([*command, "--topic", topic, "--events", str(count)], stdout=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Return what a contestant measured."""
    output, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"a contestant failed with exit code {process.returncode}")
    found: dict[str, Any] = json.loads(output.splitlines()[-1])
    found["rate"] = found["events"] / found["seconds"]
    return found


def run_contestant(contestant: Contestant, kafka: str, topics: list[str], count: int) -> dict[str, Any]:
    """Run one contestant; two matchers run at the same time and their rates add up."""
    if contestant.name != "two matchers":
        return finish(start_child(contestant, kafka, topics[0], count))
    one = contestant._replace(name="exactly_once")
    both = [finish(process) for process in [start_child(one, kafka, topic, count) for topic in topics]]
    return {
        "events": sum(each["events"] for each in both),
        "results": sum(each["results"] for each in both),
        "rate": sum(each["rate"] for each in both),
        "cpu_seconds": sum(each["cpu_seconds"] for each in both),
        "rss_peak_mb": max(each["rss_peak_mb"] for each in both),
    }


def main() -> None:
    """Parse the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3, help="the best of so many rounds counts for each")
    parser.add_argument("--kafka", help="use this broker instead of starting one")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--matching", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--topic", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        contestant = Contestant(options.child, options.matching)
        print(json.dumps(child(contestant, options.kafka, options.topic, options.events)))
        return
    with ExitStack() as stack:
        kafka = options.kafka
        if kafka is None:
            from tests.services.kafka import KafkaServer

            kafka = stack.enter_context(KafkaServer(short_lived=False)).bootstrap_servers
        topics = [f"bench-{uuid4().hex[:8]}" for _ in range(2)]
        size = max(produce(kafka, topic, options.events) for topic in topics)
        best: dict[Contestant, dict[str, Any]] = {}
        least_us: dict[Contestant, float] = {}
        for _ in range(options.rounds):
            for contestant in CONTESTANTS:
                found = run_contestant(contestant, kafka, topics, options.events)
                cpu_us = 1e6 * found["cpu_seconds"] / found["events"]
                least_us[contestant] = min(cpu_us, least_us.get(contestant, cpu_us))
                if contestant not in best or found["rate"] > best[contestant]["rate"]:
                    best[contestant] = found
    for contestant, found in best.items():
        found["cpu_us"] = least_us[contestant]
    report(best, size, options.events, as_json=options.json)


def report(best: dict[Contestant, dict[str, Any]], size: int, count: int, *, as_json: bool) -> None:
    """Print rates as multiples of the bare loop's."""
    if as_json:
        contestants = [{**contestant._asdict(), **found} for contestant, found in best.items()]
        print(json.dumps({"event_bytes": size, "contestants": contestants}))
        return
    bare, bare_us = best[_BARE_LOOP]["rate"], best[_BARE_LOOP]["cpu_us"]
    rows = [
        [
            _TITLES.get(contestant.name, contestant.name),
            f"{found['rate']:,.0f}",
            f"{found['rate'] / bare:.2f}",
            f"{found['cpu_us']:.1f}",
            f"{bare_us / found['cpu_us']:.2f}",
            f"{found['results'] / found['events']:.2f}",
            f"{found['rss_peak_mb']} MB",
        ]
        for contestant, found in best.items()
    ]
    print(f"{count:,} events of {size:,} bytes, {EVALUATIONS} enabled evaluations.\n")
    print(markdown(["", "events/s", "× bare loop", "CPU µs", "× bare loop", "results per event", "peak memory"], rows))


if __name__ == "__main__":
    main()
