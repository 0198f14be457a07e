"""The ready evaluators on real generations: microseconds per event, each alone, by hand, and all together.

    python -m benchmarks.evaluators [--json] [--rounds 5] [--without-node | --reference FOLDER]
                                    [--kafka HOST:PORT | --without-kafka]

Every evaluator of `examples/evaluators` judges every generation of `examples/generations`, regardless of its
conditions, on one core. Alone, an evaluator pays for all globals that it reads. Together, the evaluators share the
globals of an event, as in the matcher. The figures are CPU time, the best of several rounds, in which the evaluators
take turns.

`take` is what the matcher does with an event on one core: decode, match by the conditions as they are written,
evaluate, and encode the results. Through Kafka, one matcher process works off generations that are in the topic
when it starts.

The programs of `hog_programs` and the heaviest evaluators stand beside Python that was written by hand and gives
the same verdicts, which is checked first. The globals are there already for both sides. The programs stand beside
the V8 virtual machine as well (see `benchmarks.hog`).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import geometric_mean
from time import monotonic, process_time, sleep
from typing import Any, cast
from uuid import uuid4

from confluent_kafka import Producer

from benchmarks.by_hand import BY_HAND, PROGRAMS_BY_HAND
from benchmarks.hog import PROGRAMS, NoReferenceError, node_per_second, per_second, reference
from benchmarks.latency import TEAM, Results, environment, role
from benchmarks.table import markdown
from conditions import EventRow, RowError
from config.files import FileEvaluation, read_definitions, read_file
from config.settings import load_settings
from evaluators.generation import Generation
from evaluators.hog import GenerationGlobals, HogEvaluator, compile_program
from evaluators.verdict import Verdict
from processor.events.generation import GENERATION_EVENT, lazy_generation
from processor.events.message import Message
from processor.events.output import Output
from processor.kafka import KafkaClients
from processor.runtime.setup import initialise
from storage.apply import apply_definitions
from storage.sql.engine import open_store
from storage.sql.evaluations import Evaluations
from tests.faults.load import Expectation, bundled
from tests.services.kafka import KafkaServer
from tests.services.records import Record
from tests.unit.processor.matcher.matching import event_matcher, snapshot_of

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
ROW_KEYS = ("uuid", "event", "team_id", "properties", "distinct_id", "timestamp", "person_properties")
TIME_LIMIT_S = 10.0


def evaluators() -> dict[str, HogEvaluator]:
    """Return the ready evaluators by the names of their files."""
    found: dict[str, HogEvaluator] = {}
    for path in sorted((EXAMPLES / "evaluators").glob("*.yaml")):
        for definition in read_file(path) if not path.name.endswith(".cases.yaml") else ():
            if isinstance(definition, FileEvaluation) and definition.draft.source is not None:
                allows_na = definition.draft.output_config.allows_na
                found[path.stem] = HogEvaluator(definition.draft.source, allows_na=allows_na)
    return found


def rows() -> list[EventRow]:
    """Return the captured generations as rows of the events topic."""
    lines = [line for path in sorted((EXAMPLES / "generations").glob("*.jsonl")) for line in path.open()]
    decoded = [row for row in map(json.loads, lines) if row["event"] == GENERATION_EVENT]
    return [EventRow(**{key: row[key] for key in ROW_KEYS if key in row}) for row in decoded]


def judge(chosen: Sequence[HogEvaluator], events: Sequence[EventRow]) -> float:
    """Return the CPU seconds in which the chosen evaluators judge all events, from rows to verdicts."""
    start = process_time()
    for row in events:
        generation: Generation = lazy_generation(row)
        shared = GenerationGlobals(generation)
        for evaluator in chosen:
            evaluator.evaluate(generation, time_limit_s=TIME_LIMIT_S, shared=shared)
    return process_time() - start


def beside_hand(rounds: int) -> dict[str, tuple[float, float]]:
    """Return microseconds per event of the evaluators that are written by hand, as Hog and by hand.

    The globals are built before. AssertionError if the two do not give the same verdicts.
    """
    chosen, events = evaluators(), []
    for row in rows():
        generation = lazy_generation(row)
        shared = GenerationGlobals(generation)
        view = shared.get("evaluation_events")[0]
        assert {name: view[name] for name in view}
        events.append((generation, shared, view))
    for name, by_hand in BY_HAND.items():
        for generation, shared, view in events:
            verdict = chosen[name].evaluate(generation, time_limit_s=TIME_LIMIT_S, shared=shared)
            assert isinstance(verdict, Verdict), (name, verdict)
            assert (verdict.result, verdict.reasoning) == by_hand(view), (name, generation.uuid)
    best = {name: [float("inf"), float("inf")] for name in BY_HAND}
    for _ in range(rounds):
        for name, by_hand in BY_HAND.items():
            evaluate, start = chosen[name].evaluate, process_time()
            for generation, shared, _ in events:
                evaluate(generation, time_limit_s=TIME_LIMIT_S, shared=shared)
            between = process_time()
            for _, _, view in events:
                by_hand(view)
            best[name] = [min(best[name][0], between - start), min(best[name][1], process_time() - between)]
    return {name: (1e6 * ours / len(events), 1e6 * theirs / len(events)) for name, (ours, theirs) in best.items()}


def programs_beside_hand(rounds: int) -> dict[str, tuple[float, float]]:
    """Return microseconds per run of each program of `hog_programs`, as Hog and by hand. AssertionError as above."""
    table = json.loads((PROGRAMS / "g_text.json").read_text())
    found = {}
    for name, by_hand in PROGRAMS_BY_HAND.items():
        program = compile_program((PROGRAMS / f"{name}.hog").read_text())
        run = program.run(table)
        assert (run.value, "\n".join(run.prints)) == by_hand(table), name
        ours, theirs = 0.0, 0.0
        for _ in range(rounds):
            ours = max(ours, per_second(partial(program.run, table)))
            theirs = max(theirs, per_second(partial(by_hand, table)))
        found[name] = (1e6 / ours, 1e6 / theirs)
    return found


def take(rounds: int) -> dict[str, float]:
    """Return events and results per second of `EventMatcher.take` on one core, with the evaluators' conditions."""
    definitions = [
        definition
        for path in sorted((EXAMPLES / "evaluators").glob("*.yaml"))
        if not path.name.endswith(".cases.yaml")
        for definition in read_file(path)
    ]
    snapshot = snapshot_of(*(d.draft.model_dump() for d in definitions if isinstance(d, FileEvaluation)))
    records = [
        Record(line.encode()) for path in sorted((EXAMPLES / "generations").glob("*.jsonl")) for line in path.open()
    ]
    matcher, best, results = event_matcher(), float("inf"), 0
    for _ in range(rounds):
        matcher.begin_batch()
        start = process_time()
        results = len(matcher.take(cast("list[Message]", records), snapshot, refused))
        best = min(best, process_time() - start)
    return {"events_per_s": len(records) / best, "results_per_s": results / best}


def refused(message: Message, error: RowError) -> Output | None:
    """Raise: no captured generation is refused."""
    raise AssertionError(f"{message.value()!r} is refused: {error}")


def measure(rounds: int) -> dict[str, Any]:
    """Return the microseconds per event: `alone` by evaluator, `together`, and `decoding`, which all figures hold."""
    chosen, events = evaluators(), rows()
    best = dict.fromkeys([*chosen, "together", "decoding"], float("inf"))
    for _ in range(rounds):
        for name, evaluator in chosen.items():
            best[name] = min(best[name], judge([evaluator], events))
        best["together"] = min(best["together"], judge(list(chosen.values()), events))
        best["decoding"] = min(best["decoding"], judge([], events))
    each = {name: round(1e6 * seconds / len(events), 1) for name, seconds in best.items()}
    together, decoding = each.pop("together"), each.pop("decoding")
    return {
        "events": len(events),
        "decoding_us": decoding,
        "together_us": together,
        "alone_us": each,
        "take": take(rounds),
        "beside_hand": beside_hand(rounds),
        "programs": programs_beside_hand(rounds),
    }


def show(found: dict[str, Any]) -> None:
    """Print Markdown, the heaviest evaluator first."""
    alone = sorted(found["alone_us"].items(), key=lambda item: -item[1])
    print(markdown(["evaluator", "us per event"], [[name, f"{us:.1f}"] for name, us in alone]))
    together, taken = found["together_us"], found["take"]
    print(
        f"\nAll {len(alone)} evaluators on one event, with shared globals: {together:.0f} us per event, "
        f"{together / len(alone):.1f} us per verdict, {1e6 / together:,.0f} events/s on one core. "
        f"{found['events']} generations; to read a row takes {found['decoding_us']:.1f} us of each figure.\n\n"
        f"`take`, with the conditions of the evaluators: {taken['events_per_s']:,.0f} events/s and "
        f"{taken['results_per_s']:,.0f} results/s on one core."
    )
    if found["kafka"]:
        print(
            f"Through Kafka, one matcher process: {found['kafka']['events_per_s']:,.0f} events/s and "
            f"{found['kafka']['results_per_s']:,.0f} results/s."
        )
    pairs = {**found["beside_hand"], **found["programs"]}
    node = found["node_us"]
    lines = [
        [name, f"{ours:.2f}", f"{hand:.2f}", f"{ours / hand:.2f}", *_beside_node(ours, node.get(name))]
        for name, (ours, hand) in sorted(pairs.items(), key=lambda item: -item[1][0])
    ]
    header = ["", "Hog (us)", "by hand (us)", "× by hand", "V8 VM (us)", "times as fast as the VM"]
    print("\n" + markdown(header, lines))
    ratios = [ours / hand for ours, hand in found["beside_hand"].values()]
    print(f"\nThe geometric mean of the evaluators is {geometric_mean(ratios):.2f} × by hand.")


def _beside_node(ours_us: float, node_us: float | None) -> tuple[str, str]:
    return ("", "") if node_us is None else (f"{node_us:.2f}", f"{node_us / ours_us:.1f}")


def node_times(stack: ExitStack, installed: Path | None) -> dict[str, float]:
    """Return the microseconds that the V8 virtual machine takes for each program; empty if it can not be had here."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="evaluators-bench-")))
    try:
        node = reference(installed, folder)
    except NoReferenceError as error:
        print(f"The reference VM is not timed: {error}.", file=sys.stderr)
        return {}
    return {name: 1e6 / node_per_second(node, name) for name in PROGRAMS_BY_HAND}


def through_kafka(kafka: str, folder: Path, copies: int = 20) -> dict[str, float]:
    """Return events and results per second of one matcher process that works off a topic full of generations."""
    env = environment(kafka, folder, f"chdb://{folder}/clickhouse")
    settings = load_settings(environ=env)
    database = open_store(settings)
    failed = [finding for finding in initialise(settings, KafkaClients(settings), database) if not finding.ok]
    wanted, problems = read_definitions([EXAMPLES / "evaluators"])
    assert not failed, failed
    assert not problems, problems
    apply_definitions(database, TEAM, wanted, actor="benchmark", now=datetime.now(UTC))
    topics, expectation = settings.kafka.topics, Expectation(list(Evaluations(database).each(TEAM)))
    captured = [json.dumps(row).encode() for row in bundled()]
    expected = copies * sum(len(expectation.of(row)) for row in captured)
    producer = Producer({"bootstrap.servers": kafka, "linger.ms": 50})
    for _ in range(copies):
        for row in captured:
            producer.produce(topics.events, row, key=uuid4().hex)
        producer.flush(60)
    results = Results(kafka, topics.results)
    with role("matcher", env, folder):
        deadline = monotonic() + 120
        while sum(map(len, list(results.came.values()))) < expected:
            assert monotonic() < deadline, "the matcher did not work the topic off"
            sleep(0.05)
    results.close()
    came = sorted(at for each in results.came.values() for at in each)
    # The first results wait for the process to warm up: from the first tenth to the last result.
    first = len(came) // 10
    rate = (len(came) - first) / (came[-1] - came[first])
    return {"events_per_s": rate * copies * len(captured) / expected, "results_per_s": rate}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of Markdown")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is timed; the best counts")
    parser.add_argument("--without-node", action="store_true", help="do not time the V8 virtual machine")
    parser.add_argument("--reference", type=Path, help="a folder with the installed VM, instead of installing it")
    parser.add_argument("--without-kafka", action="store_true", help="do not run a matcher on a broker")
    parser.add_argument("--kafka", help="use this broker instead of starting one")
    options = parser.parse_args()
    with ExitStack() as stack:
        node = {} if options.without_node else node_times(stack, options.reference)
        found = {**measure(max(1, options.rounds)), "node_us": node, "kafka": None}
        if not options.without_kafka:
            kafka = options.kafka or stack.enter_context(KafkaServer(short_lived=False)).bootstrap_servers
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gavel-evaluators-")))
            found["kafka"] = through_kafka(kafka, folder)
    if options.json:
        print(json.dumps(found))
    else:
        show(found)


if __name__ == "__main__":
    main()
