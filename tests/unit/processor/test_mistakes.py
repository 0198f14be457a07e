"""The mistakes seen in other systems (delivery.md), one test each, in the order of the list."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import orjson
import pytest
from confluent_kafka import KafkaError, TopicPartition
from prometheus_client import CollectorRegistry

import processor.matcher.role
import processor.replay.plan
import processor.replay.replay
from conditions import Target, compile_matcher, decode_row, explain, parse_conditions
from evaluators.generation import JUDGE_MARK
from evaluators.hog import compile_expression
from evaluators.llm_judge import Judged, Parked, Patience
from evaluators.llm_judge.breaker import Breaker
from evaluators.llm_judge.caller import Timeouts
from evaluators.llm_judge.failures import ProviderFailure
from evaluators.verdict import Skip
from processor.dead_letters.letter import RatioGuard
from processor.events.generation import to_generation
from processor.events.identity import run_key
from processor.events.output import Output
from processor.events.result import ResultTemplate, build_result
from processor.events.task import Task, read_task
from processor.judge.parked import Delays, Parking
from processor.matcher.worker import MatcherWorker
from processor.metrics import Metrics
from processor.stream import committer
from processor.stream.committer import AtLeastOnceCommitter
from processor.stream.deadline import Deadline
from processor.stream.ledger import Frontier, Span
from processor.stream.limits import StageLimits
from processor.stream.stage import Stage
from processor.stream.transactions import CommitFailed
from processor.stream.worker import Worker
from storage.snapshot import SnapshotPoller
from storage.sql.engine import StoreUnavailable
from tests.services.cache import CHECKOUT
from tests.services.records import Record, generation_row
from tests.unit.evaluators.llm_judge.bench_of_judges import Bench
from tests.unit.processor.matcher.matching import NOW, TO, event_matcher, outputs_of, snapshot_of
from tests.virtual_time import run


def test_a_terminal_status_written_before_the_retry() -> None:
    """A run has one outcome, after its last attempt: a failure in between is neither a result nor a skip."""

    async def main() -> None:
        bench = Bench(patience=Patience(attempts=3))
        bench.script({"action": "server_error", "times": 2})
        assert isinstance(await bench.run(), Judged)
        bench.script({"action": "request_timeout", "times": 3})
        assert isinstance(await bench.run("Another answer."), Parked), "it is not over: it is tried again later"
        await bench.caller.close()

    run(main())


class FailingProducer:
    """Takes records and loses them, or has no room for them."""

    def __init__(self, *, full: bool) -> None:
        self._full = full
        self._reports: list[Callable[..., None]] = []

    def produce(self, *_: Any, on_delivery: Callable[..., None], **__: Any) -> None:
        if self._full:
            raise BufferError
        self._reports.append(on_delivery)

    def poll(self, _: float) -> None:
        for report in self._reports:
            report(KafkaError(KafkaError._MSG_TIMED_OUT), None)

    def __len__(self) -> int:
        return 0


class NoCommits:
    def begin_commit(self, _: Any) -> None:
        raise AssertionError("the offset was committed")


FRONTIER = Frontier([Output("result", "results", b"k", b"v", [])], {("events", 0): 1}, 1)


def test_an_offset_committed_although_the_work_was_not_persisted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committer, "Producer", lambda _: FailingProducer(full=False))
    with pytest.raises(CommitFailed):
        AtLeastOnceCommitter({}).begin(NoCommits(), FRONTIER, Deadline(1.0)).ended()


def test_a_failed_definition_load_read_as_no_evaluations() -> None:
    """Without a first load the matcher is not ready; after one, a failure keeps what there is."""

    def fail(_: object) -> None:
        raise StoreUnavailable("away")

    poller = SnapshotPoller(fail)
    poller.poll()
    worker = MatcherWorker(poller, event_matcher(), TO, RatioGuard(0.5, 1000))
    assert poller.current is None
    assert not worker.ready()


def test_an_enqueue_error_that_is_only_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    """A producer that takes nothing ends the process before the commit, and the record is read again."""
    monkeypatch.setattr(committer, "Producer", lambda _: FailingProducer(full=True))
    with pytest.raises(CommitFailed, match="queue stayed full"):
        AtLeastOnceCommitter({}).begin(NoCommits(), FRONTIER, Deadline(0.05))


def test_a_new_random_draw_on_redelivery() -> None:
    """The same events give the same sample and the same bytes, in another matcher and from another snapshot too."""
    draft = {"conditions": [{"id": "half", "rollout_percentage": 50, "properties": []}]}
    rows = [generation_row(number) for number in range(200)]
    first, again = outputs_of(snapshot_of(draft), *rows), outputs_of(snapshot_of(draft), *rows)
    assert first == again
    assert 60 < len(first) < 140


class Holding(Worker):
    """Finishes nothing until it is told to."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.finish = False

    def submit(self, spans: list[Span]) -> None:
        self.spans += spans

    def collect(self) -> list[tuple[Span, list[Output]]]:
        if not self.finish:
            return []
        done, self.spans = self.spans, []
        return [(span, [Output("result", "results", None, m.body, []) for m in span.messages]) for span in done]


class Source:
    """A consumer of one partition that obeys pauses, and a committer that remembers."""

    def __init__(self, count: int) -> None:
        self.records = [Record(str(n).encode(), at=n, in_topic="events") for n in range(count)]
        self.position, self.is_paused, self.most_taken = 0, False, 0
        self.written: list[bytes | None] = []
        self.assign: Callable[..., None] | None = None

    def subscribe(self, _: list[str], *, on_assign: Callable[..., None], **__: Any) -> None:
        self.assign = on_assign

    def consume(self, limit: int, _: float) -> list[Record]:
        if self.is_paused:
            return []
        taken = self.records[self.position : self.position + limit]
        self.position += len(taken)
        return taken

    def pause(self, _: object) -> None:
        self.is_paused = True

    def resume(self, _: object) -> None:
        self.is_paused = False

    def committed(self, partitions: list[TopicPartition], **__: object) -> list[TopicPartition]:
        return partitions

    def get_watermark_offsets(self, *_: object, **__: object) -> tuple[int, int]:
        return 0, len(self.records)

    def begin(self, _: object, frontier: Frontier, __: Deadline) -> Source:
        self.written += [output.value for output in frontier.outputs]
        return self

    def ended(self) -> bool:
        return True

    def wait(self, _: Deadline) -> None:
        pass


def test_a_cap_that_evicts_silently() -> None:
    """The partition is paused at the bound of work in flight; no record that was read is discarded for new ones."""
    source, worker = Source(200), Holding()
    limits = StageLimits(batch_records=10, commit_interval_s=0.0, max_records=40)
    stage = Stage("matcher", ["events"], source, source, worker, limits, Metrics(CollectorRegistry()))
    stage._ledger.assign([("events", 0)])
    stage._flow.assign([("events", 0)])
    for _ in range(30):
        stage._step()
    assert (source.is_paused, stage.records_in_flight, source.written) == (True, 40, [])
    worker.finish = True
    for _ in range(60):
        stage._step()
    assert source.written == [record.body for record in source.records]


def test_a_parse_failure_read_as_a_verdict_a_skip_as_a_fail_or_a_pass() -> None:
    async def main() -> None:
        bench = Bench()
        bench.script({"action": "not_json"})
        outcome = await bench.run()
        assert isinstance(outcome, Judged)
        assert isinstance(outcome.outcome, Skip), "an unreadable answer is not a verdict"
        await bench.caller.close()

    run(main())
    template = ResultTemplate("e", "n", "llm_judge", "boolean", allows_na=True, version=1, fingerprint="f")
    row = decode_row(generation_row())
    task = Task(1, "e", row.uuid, run_key("llm_judge", "e", row.uuid), "c", NOW.isoformat())
    generation = to_generation(row)
    value = build_result(template, task, row, generation, Skip("parse_error", "no JSON")).value
    properties = orjson.loads(orjson.loads(value)["properties"])
    assert properties["$ai_evaluation_skipped"] is True
    assert not properties.keys() & {"$ai_evaluation_result", "$ai_evaluation_applicable"}


def parking(delays: Delays) -> Parking:
    class Never:
        def released_ms(self, _: str) -> int:
            return 0

    return Parking("parked", delays, limit_s=86_400, now_ms=lambda: 1_000_000, releases=Never())


def test_a_retry_that_emits_under_a_new_id() -> None:
    """However often a run is parked, it keeps its key, from which its result's id follows."""
    task = Task(1, "e", "u", run_key("llm_judge", "e", "u"), "c", NOW.isoformat())
    kept = task
    for _ in range(5):
        output = parking(Delays(30, 900, 8)).park(kept, Record(b"{}"), cause="unavailable", wait_s=None, counts=True)
        kept = read_task(output.headers)
    assert kept.attempt == 5
    assert (kept.run_key, kept.started_at) == (task.run_key, task.started_at)


def test_a_provider_call_without_a_total_deadline_that_stalls_a_partition() -> None:
    """A provider that sends a byte now and then, or none, is given up at the deadline of the call and of the run."""

    async def main() -> None:
        bench = Bench(timeouts=Timeouts(connect_s=5.0, read_s=60.0, call_s=20.0), patience=Patience(run_s=45.0))
        bench.script({"action": "hang"})
        assert isinstance(await bench.run(), Parked)
        assert bench.loop.time() < 46.0
        await bench.caller.close()

    run(main())


def bundled() -> Iterator[bytes]:
    for file in sorted((CHECKOUT / "examples" / "generations").glob("*.jsonl")):
        yield from file.read_bytes().splitlines()


def test_preview_and_live_with_different_matchers() -> None:
    """One matcher runs live and in replays, and what `explain` shows of real generations is what it decides."""
    assert (
        processor.matcher.role.EventMatcher
        is processor.replay.replay.EventMatcher
        is processor.replay.plan.EventMatcher
    )
    sets = [
        [{"id": "some", "rollout_percentage": 40, "properties": [{"key": "$ai_model", "operator": "is_set"}]}],
        [{"id": "openai", "properties": [{"key": "$ai_provider", "value": ["openai"], "operator": "exact"}]}],
        [{"id": "slow", "properties": [{"key": "$ai_latency", "value": 1, "operator": "gt"}]}],
    ]
    targets = [Target(f"e{number}", parse_conditions(raw)) for number, raw in enumerate(sets)]
    matcher = compile_matcher(targets, compile_expression=compile_expression)
    for line in bundled():
        row = decode_row(line)
        live = {index for index, _ in matcher.match(row).matched}
        assert {n for n, target in enumerate(targets) if explain(target, row).outcome == "matched"} == live


def test_an_evaluator_that_judges_its_own_calls() -> None:
    own = generation_row(1, **{JUDGE_MARK: True})
    snapshot = snapshot_of({})
    assert len(outputs_of(snapshot, generation_row(1))) == 1
    assert outputs_of(snapshot, own) == []


def test_a_hot_requeue_without_delay() -> None:
    """A parked run that is read at once is not run: its partition is left alone until the first run is due."""
    waits: list[float] = []

    class Control:
        def defer(self, _: object, __: int, *, wait_s: float, parked_since_ms: int | None = None) -> None:
            waits.append(wait_s)

    made = parking(Delays(30, 900, 8))
    task = Task(1, "e", "u", "key", "c", NOW.isoformat())
    output = made.park(task, Record(b"{}"), cause="unavailable", wait_s=None, counts=True)
    message = Record(b"{}", head=output.headers, in_topic="parked", in_partition=output.partition)
    assert made.admit(("parked", output.partition), [message], Control()) == []
    assert waits == [30.0]


def test_editing_one_evaluations_rate_changing_anothers_sample() -> None:
    def taken(rate: int) -> set[int]:
        raw = [[{"id": "s", "rollout_percentage": rate, "properties": []}], [{"id": "s", "rollout_percentage": 30}]]
        targets = [Target(f"e{number}", parse_conditions(sets)) for number, sets in enumerate(raw)]
        matcher = compile_matcher(targets)
        rows = (msgspec.structs.replace(decode_row(generation_row(n)), uuid=f"event-{n}") for n in range(500))
        return {n for n, row in enumerate(rows) if any(index == 1 for index, _ in matcher.match(row).matched)}

    assert taken(0) == taken(5) == taken(80) == taken(100)
    assert taken(5)


def test_a_flat_cool_down_after_which_everyone_retries_at_once() -> None:
    """One probe goes through when the time is over, each failed one makes the next wait longer, no two are alike."""
    clock = [0.0]

    def waits(number: float) -> list[float]:
        clock[0] = 0.0
        breaker = Breaker(failures=1, probe_s=15.0, clock=lambda: clock[0], random=lambda: number)
        found = []
        for _ in range(4):
            breaker.failed(ProviderFailure("unavailable", "down"))
            found.append(breaker.wait_s())
            assert not breaker.allows()
            clock[0] += breaker.wait_s()
            assert [breaker.allows() for _ in range(3)] == [True, False, False]
        return found

    early, late = waits(0.1), waits(0.9)
    assert early == sorted(set(early))
    assert early != late


def test_the_globals_of_an_event_built_once_for_each_of_its_evaluators(monkeypatch: pytest.MonkeyPatch) -> None:
    """The texts of an event are made when the first evaluator asks for them, and the others share them."""
    built: list[object] = []

    def counted(value: object) -> str:
        built.append(value)
        return "text"

    monkeypatch.setattr("evaluators.hog.evaluator.message_string", counted)
    outputs = outputs_of(snapshot_of({}, {}, {}), generation_row())
    assert len(outputs) == 3
    assert len(built) == 1
