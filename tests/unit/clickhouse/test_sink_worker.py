"""The sink's worker against the real engine, in process and by HTTP, with everything going wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import CollectorRegistry

from config.clickhouse import connect, migrate
from config.clickhouse.results import Copies, Selection, count_copies, result_ids, summarise
from processor.dead_letters import RatioGuard, TooManyDeadLetters
from processor.deadline import Deadline
from processor.ledger import Output, Span
from processor.metrics import Metrics
from processor.sink import SinkLimits, SinkWorker
from processor.sink_insert import Backoff
from processor.sink_rows import ARCHIVE, RESULTS
from tests.services.clickhouse_http import ClickHouseFront, Faults
from tests.services.records import Record, generation_row, result_id, result_row, span_of

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client


@contextmanager
def sink(dsn: str | Callable[[], Client], **limits: Any) -> Iterator[SinkWorker]:
    worker = SinkWorker(
        (lambda: connect(dsn, request_timeout_s=5)) if isinstance(dsn, str) else dsn,
        {"results": RESULTS, "events": ARCHIVE},
        dead_letters_topic="dead",
        max_message_bytes=1_000_000,
        guard=RatioGuard(0.5, 1000),
        metrics=Metrics(CollectorRegistry()),
        backoff=Backoff(0.01, 0.05, lambda: 0.5),
        limits=SinkLimits(**{"batch_interval_s": 0.01} | limits),
    )
    try:
        yield worker
    finally:
        worker.close()


def until(condition: Callable[[], Any], timeout_s: float = 20.0) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)
    return found


def finish(worker: SinkWorker, spans: list[Span]) -> dict[int, list[Output]]:
    """Collect until every span came back; outputs by the index of the span."""
    found: dict[int, list[Output]] = {}

    def collect() -> bool:
        for span, outputs in worker.collect():
            index = next(i for i, known in enumerate(spans) if known is span)
            assert index not in found, "a span came back twice"
            found[index] = outputs
        return len(found) == len(spans)

    until(collect)
    return found


def until_blocked(worker: SinkWorker) -> None:
    """Wait until ClickHouse takes nothing; nothing may be reported as stored meanwhile."""

    def blocked() -> bool:
        assert list(worker.collect()) == []
        return worker.blocked()

    until(blocked)


def results(numbers: range, *, partition: int = 0, **more: Any) -> Span:
    return span_of([Record(result_row(n, **more), at=n, in_partition=partition) for n in numbers])


def test_results_and_archive_go_into_their_tables(dsn: str, client: Client) -> None:
    events = span_of([Record(generation_row(n), at=n, in_topic="events") for n in range(30)])
    spans = [results(range(50)), results(range(50, 80), partition=1), events]
    with sink(dsn) as worker:
        until(worker.ready)
        worker.submit(spans)
        assert finish(worker, spans) == {0: [], 1: [], 2: []}
    assert count_copies(client) == Copies(80, 80, 80)
    assert client.query("SELECT count(), uniqExact(uuid) FROM ai_events").result_rows == [(30, 30)]


def test_a_batch_is_cut_by_rows_and_otherwise_by_time(front: ClickHouseFront) -> None:
    migrate(client := connect(front.dsn))
    front.inserts.clear()
    with sink(front.dsn, batch_rows=100, batch_interval_s=0.5) as worker:
        until(worker.ready)
        spans = [results(range(n, n + 40)) for n in (0, 40, 80, 120)]
        worker.submit(spans)
        finish(worker, spans[:3])
        assert count_copies(client).ids == 120
        worker_left = spans[3:]
        finish(worker, worker_left)
    assert len(front.inserts) == 2
    client.close()


def test_inserts_wait_for_storage_and_carry_a_token_of_their_offsets(front: ClickHouseFront) -> None:
    """The same offsets give the same token in another process; other offsets another one."""
    client = connect(front.dsn)
    migrate(client)
    front.inserts.clear()
    for numbers in (range(10), range(10), range(11)):
        with sink(front.dsn) as worker:
            until(worker.ready)
            worker.submit(spans := [results(numbers)])
            finish(worker, spans)
    tokens = [settings["insert_deduplication_token"] for settings in front.inserts]
    assert tokens[0] == tokens[1] != tokens[2]
    assert {settings["async_insert"] for settings in front.inserts} == {"0"}
    assert count_copies(client) == Copies(11, 11, 21)  # the second insert was recognised, the third overlaps
    client.close()


def test_a_batch_that_was_stored_but_never_confirmed_is_stored_once(front: ClickHouseFront) -> None:
    """ClickHouse takes the insert, and the connection breaks before the answer: twice."""
    client = connect(front.dsn)
    migrate(client)
    front.faults = Faults(cut_times=2)
    with sink(front.dsn) as worker:
        until(worker.ready)
        worker.submit(spans := [results(range(500))])
        assert finish(worker, spans) == {0: []}
    assert count_copies(client) == Copies(500, 500, 500)
    rolled_up = client.query("SELECT uniqMerge(results), count() FROM evaluation_outcomes_hourly").result_rows
    assert rolled_up[0][0] == 500
    client.close()


@pytest.mark.parametrize("code", [252, 202, 241, 319, 999, 60, 497])
def test_a_refusing_clickhouse_blocks_the_sink_until_it_gives_in(front: ClickHouseFront, code: int) -> None:
    """Too many parts, no memory, a missing table: never a dead letter, however often it takes."""
    client = connect(front.dsn)
    migrate(client)
    front.faults = Faults(refuse_code=code, refuse_times=-1)
    with sink(front.dsn) as worker:
        until(worker.ready)
        worker.submit(spans := [results(range(100))])
        until_blocked(worker)
        time.sleep(0.5)  # some ten tries
        assert worker.blocked()
        assert list(worker.collect()) == []
        front.faults = Faults()
        assert finish(worker, spans) == {0: []}
        assert not worker.blocked()
    assert count_copies(client) == Copies(100, 100, 100)
    client.close()


def test_an_error_that_nobody_knows_is_tried_again_before_rows_are_blamed(front: ClickHouseFront) -> None:
    client = connect(front.dsn)
    migrate(client)
    front.faults = Faults(refuse_code=49, refuse_times=4)
    with sink(front.dsn) as worker:
        until(worker.ready)
        worker.submit(spans := [results(range(100))])
        assert finish(worker, spans) == {0: []}
    assert count_copies(client).ids == 100
    client.close()


def test_a_clickhouse_that_goes_away_and_comes_back_gets_everything_once(tmp_path: Path) -> None:
    front = ClickHouseFront(tmp_path / "server")
    client = connect(front.dsn)
    migrate(client)
    client.close()
    with sink(front.dsn) as worker:
        until(worker.ready)
        front.close()
        worker.submit(spans := [results(range(200))])
        until_blocked(worker)
        with ClickHouseFront(front.directory, front.port) as again:
            assert finish(worker, spans) == {0: []}
            until(lambda: not worker.blocked())
            client = connect(again.dsn)
            assert count_copies(client) == Copies(200, 200, 200)
            client.close()


def test_a_sink_without_tables_is_not_ready_and_becomes_so_by_init(empty_dsn: str) -> None:
    with sink(empty_dsn) as worker:
        until(worker.blocked)
        assert not worker.ready()
        client = connect(empty_dsn)
        migrate(client)
        until(worker.ready)
        client.close()


def test_refused_rows_become_dead_letters_and_the_rest_of_the_batch_goes_in(dsn: str, client: Client) -> None:
    """A constraint of the operator's refuses rows here and there; original bytes are kept, values are not told."""
    client.command("ALTER TABLE evaluation_results ADD CONSTRAINT polite CHECK reasoning NOT LIKE '%rude%'")
    bad = {3, 4, 77, 150, 199}
    records = [
        Record(result_row(n, evaluation_reasoning=f"rude {n}" if n in bad else "fine"), at=n, head=[("h", b"1")])
        for n in range(200)
    ]
    spans = [span_of(records[:100]), span_of(records[100:])]
    with sink(dsn) as worker:
        until(worker.ready)
        worker.submit(spans)
        found = finish(worker, spans)
    letters = found[0] + found[1]
    assert [(o.topic, o.key, o.value) for o in letters] == [("dead", b"key", records[n].body) for n in sorted(bad)]
    assert [len(found[0]), len(found[1])] == [3, 2]
    headers = dict(letters[0].headers)
    assert headers["h"] == b"1"
    assert headers["gavel.error.class"] == b"sink_rejected"
    assert headers["gavel.error.message"] == b"ClickHouse refused it: VIOLATED_CONSTRAINT"
    assert headers["gavel.error.offset"] == b"3"
    assert set(result_ids(client)) == {result_id(n) for n in range(200) if n not in bad}
    assert count_copies(client).visible == 195


def test_a_row_that_cannot_be_decoded_is_a_dead_letter_and_its_neighbours_go_in(dsn: str, client: Client) -> None:
    records = [Record(result_row(0), at=0), Record(b"\xffnot json", at=1), Record(result_row(2), at=5)]
    with sink(dsn) as worker:
        until(worker.ready)
        worker.submit(spans := [span_of(records)])
        (letters,) = finish(worker, spans).values()
    assert [letter.value for letter in letters] == [b"\xffnot json"]
    assert dict(letters[0].headers)["gavel.error.class"] == b"decode"
    assert set(result_ids(client)) == {result_id(0), result_id(2)}


def test_a_bad_event_is_left_to_the_matchers_dead_letters(dsn: str, client: Client) -> None:
    """Matcher and archive read the same records: one dead letter each is enough."""
    records = [Record(b"{$ai_generation", at=0, in_topic="events"), Record(generation_row(1), at=1, in_topic="events")]
    with sink(dsn) as worker:
        until(worker.ready)
        worker.submit(spans := [span_of(records)])
        assert finish(worker, spans) == {0: []}
    assert client.query("SELECT count() FROM ai_events").result_rows == [(1,)]


def test_a_wrong_topic_stops_the_sink_and_does_not_become_a_million_dead_letters(dsn: str) -> None:
    with sink(dsn) as worker:
        until(worker.ready)
        with pytest.raises(TooManyDeadLetters):
            worker.submit([span_of([Record(b"nonsense", at=n) for n in range(1000)])])


def test_spans_that_were_given_back_do_not_come_back(front: ClickHouseFront) -> None:
    """Partition 0 is revoked while its batch is tried again; partition 1 stays, and its rows arrive."""
    client = connect(front.dsn)
    migrate(client)
    front.faults = Faults(refuse_code=252, refuse_times=-1)
    with sink(front.dsn) as worker:
        until(worker.ready)
        gone, kept = results(range(10)), results(range(10, 20), partition=1)
        worker.submit([gone, kept])
        until_blocked(worker)
        worker.drop([("results", 0)])
        front.faults = Faults()
        finish(worker, [kept])
    assert {result_id(n) for n in range(10, 20)} <= set(result_ids(client))
    client.close()


def test_a_batch_that_nobody_waits_for_is_given_up(front: ClickHouseFront) -> None:
    client = connect(front.dsn)
    migrate(client)
    front.faults = Faults(refuse_code=252, refuse_times=-1)
    with sink(front.dsn) as worker:
        until(worker.ready)
        worker.submit([results(range(10))])
        until_blocked(worker)
        worker.drop()
        until(lambda: not worker.blocked())
        front.faults = Faults()
        worker.submit(spans := [results(range(10, 20))])
        finish(worker, spans)
    assert set(result_ids(client)) == {result_id(n) for n in range(10, 20)}
    client.close()


def test_what_is_dropped_before_it_was_sent_is_never_sent(dsn: str, client: Client) -> None:
    with sink(dsn, batch_interval_s=60.0) as worker:
        until(worker.ready)
        worker.submit([results(range(10)), kept := results(range(10, 20), partition=1)])
        worker.drop([("results", 0)])
        worker.drain(Deadline(10))
        finish(worker, [kept])
    assert set(result_ids(client)) == {result_id(n) for n in range(10, 20)}


def test_a_drain_finishes_what_is_there_but_does_not_wait_for_an_absent_clickhouse(front: ClickHouseFront) -> None:
    client = connect(front.dsn)
    migrate(client)
    with sink(front.dsn, batch_interval_s=60.0) as worker:
        until(worker.ready)
        worker.submit(spans := [results(range(1000))])
        worker.drain(Deadline(20))
        assert [span for span, _ in worker.collect()] == spans
        front.faults = Faults(refuse_code=210, refuse_times=-1)
        worker.submit([results(range(1000, 1010))])
        started = time.monotonic()
        worker.drain(Deadline(20))
        assert time.monotonic() - started < 5
        assert list(worker.collect()) == []
    client.close()


def test_a_slow_clickhouse_does_not_hold_up_the_polling_thread(front: ClickHouseFront) -> None:
    client = connect(front.dsn)
    migrate(client)
    front.faults = Faults(slow_s=1.0)
    with sink(front.dsn) as worker:
        until(worker.ready)
        started = time.monotonic()
        worker.submit(spans := [results(range(100))])
        list(worker.collect())
        assert time.monotonic() - started < 0.5
        finish(worker, spans)
    client.close()


def test_a_defect_of_ours_reaches_the_polling_thread() -> None:
    def broken() -> Client:
        raise ZeroDivisionError

    with sink(broken) as worker, pytest.raises(RuntimeError, match="inserting thread"):
        until(worker.ready)


def test_a_redelivered_result_changes_nothing_even_if_it_reads_otherwise(dsn: str, client: Client) -> None:
    """The first record of an id wins, in any order of arrival: a replay after an edit must not rewrite history.

    The replay carries the generation's own time, in another month: one id, two partitions, one row.
    """
    first = Record(result_row(1, evaluation_result=True), at=0, time_ms=1_780_000_000_000)
    again = Record(
        result_row(1, evaluation_result=False, row={"timestamp": "2026-08-01 00:00:00"}),
        at=9,
        time_ms=1_790_000_000_000,
    )
    for batch in ([again], [first], [again]):
        with sink(dsn) as worker:
            until(worker.ready)
            worker.submit(spans := [span_of(batch)])
            finish(worker, spans)
    summary = summarise(client, Selection(team_id=1))
    assert (summary.runs, summary.passed, summary.failed) == (1, 1, 0)
    client.command("OPTIMIZE TABLE evaluation_results FINAL")
    assert summarise(client, Selection(team_id=1)) == summary


def test_copies_of_a_result_within_one_batch_are_one_row_to_readers(dsn: str, client: Client) -> None:
    """The insert keeps both for speed; the oldest record wins before any merge and after it, rollup included."""
    records = [
        Record(result_row(1, evaluation_result=n == 5), at=n, time_ms=1_780_000_000_000 + (n - 5) ** 2)
        for n in range(10)
    ]
    with sink(dsn) as worker:
        until(worker.ready)
        worker.submit(spans := [span_of(records)])
        finish(worker, spans)
    summary = summarise(client, Selection(team_id=1))
    assert (summary.runs, summary.passed, summary.failed) == (1, 1, 0)
    assert (count_copies(client).ids, count_copies(client).visible) == (1, 1)
    client.command("OPTIMIZE TABLE evaluation_results FINAL")
    assert count_copies(client) == Copies(1, 1, 1)
    assert summarise(client, Selection(team_id=1)) == summary
    rolled_up = client.query("SELECT uniqMerge(results) FROM evaluation_outcomes_hourly").result_rows
    assert rolled_up == [(1,)]


def test_rows_of_two_hundred_months_are_one_batch(dsn: str, client: Client) -> None:
    """Made-up times must not make ClickHouse refuse a whole batch for its number of partitions."""
    records = [
        Record(result_row(n, row={"timestamp": f"{1990 + n // 12}-{n % 12 + 1:02d}-01 00:00:00"}), at=n)
        for n in range(200)
    ]
    with sink(dsn) as worker:
        until(worker.ready)
        worker.submit(spans := [span_of(records)])
        assert finish(worker, spans) == {0: []}
    assert count_copies(client).visible == 200


@pytest.mark.parametrize("compression", ["lz4", "zstd", "gzip", "false"])
def test_a_batch_that_the_driver_sends_in_several_blocks_goes_in_whole(
    front: ClickHouseFront, compression: str
) -> None:
    """Blocks of about 2 MB, each compressed by itself: all are there, and a repeat with the same token adds none."""
    dsn = f"{front.dsn}?compress={compression}"
    migrate(client := connect(dsn))
    rows = [result_row(n, evaluation_reasoning="because " * 400) for n in range(2000)]
    for _ in range(2):
        with sink(dsn) as worker:
            until(worker.ready)
            worker.submit(spans := [span_of([Record(row, at=n) for n, row in enumerate(rows)])])
            assert finish(worker, spans) == {0: []}
        assert count_copies(client) == Copies(2000, 2000, 2000)
    client.close()
