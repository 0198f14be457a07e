"""The sink's worker stores each row once in the real engine, in process and by HTTP, and ends in good order."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from processor.events.label import label_output
from processor.sink.rows import RESULTS
from processor.stream.deadline import Deadline
from storage.clickhouse import connect
from storage.clickhouse.query import UNREAD
from storage.clickhouse.results import ResultSelection, summarise
from storage.sql.labels import Label
from tests.services.clickhouse_http import ClickHouseFront, Faults
from tests.services.records import Record, generation_row, result_id, result_row, span_of
from tests.services.stored_results import Copies, count_copies, result_ids
from tests.services.waiting import PATIENCE_S, until

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

from tests.unit.processor.sink.sinking import finish, results, sink, until_blocked


def test_results_and_archive_go_into_their_tables(dsn: str, client: Client) -> None:
    events = span_of([Record(generation_row(n), at=n, in_topic="events") for n in range(30)])
    spans = [results(range(50)), results(range(50, 80), partition=1), events]
    with sink(dsn) as worker:
        until(worker.ready)
        worker.submit(spans)
        assert finish(worker, spans) == {0: [], 1: [], 2: []}
    assert count_copies(client) == Copies(80, 80, 80)
    assert client.query("SELECT count(), uniqExact(uuid) FROM ai_events").result_rows == [(30, 30)]


def label_of_event(number: int, **fields: Any) -> Record:
    label = Label(
        seq=number, id=result_id(number), team_id=7, created_at=datetime(2026, 1, 2, tzinfo=UTC), evaluation_id="e",
        question=2, target_event_id=f"t{number}", labeller="ann", source="api",
        **{"verdict": {"applicable": True, "result": True}} | fields,
    )  # fmt: skip
    output = label_output(label, "results")
    assert output.value is not None
    return Record(output.value, at=number)


def test_labels_on_the_results_topic_go_into_a_table_of_their_own(dsn: str, client: Client) -> None:
    """A span of both is reported once, after both tables have their rows."""
    mixed = [Record(result_row(n), at=n) for n in range(10)]
    mixed += [
        label_of_event(10), label_of_event(11, verdict={"unsure": True}, comment="hm", seconds=2.5),
        label_of_event(12, verdict={"applicable": True, "categories": ["a", "b"]}, adjudicates=True),
        label_of_event(13, verdict={"applicable": True, "score": 4.5}, after_reveal=True),
        label_of_event(14, verdict={"applicable": False}), Record(b'{"event": "$ai_other"}', at=15),
    ]  # fmt: skip
    spans = [span_of(mixed), span_of([label_of_event(16), label_of_event(16)])]
    with sink(dsn) as worker:
        until(worker.ready)
        worker.submit(spans)
        found = finish(worker, spans)
        assert found[1] == []
        assert [dict(each.headers)["gavel.error.class"] for each in found[0]] == [b"decode"], "the row without a uuid"
    assert count_copies(client).visible == 10
    columns = (
        "target_event_id, unsure, applicable, result, score, categories, question, seconds, adjudicates, after_reveal"
    )
    rows = client.query(f"SELECT {columns} FROM evaluation_labels FINAL ORDER BY target_event_id").result_rows
    assert rows == [
        ("t10", False, True, True, None, [], 2, None, False, False),
        ("t11", True, None, None, None, [], 2, 2.5, False, False),
        ("t12", False, True, None, None, ["a", "b"], 2, None, True, False),
        ("t13", False, True, None, 4.5, [], 2, None, False, True),
        ("t14", False, False, None, None, [], 2, None, False, False),
        ("t16", False, True, True, None, [], 2, None, False, False),
    ]


@pytest.mark.parametrize("step", ["decode", "encode"])
def test_an_exception_of_ours_is_one_dead_letter_and_the_others_go_in(dsn: str, client: Client, step: str) -> None:
    """A sink that ended would meet the same record again after each restart."""

    def decode(message: Any) -> Any:
        if step == "decode" and message.offset() == 7:
            raise ZeroDivisionError
        return RESULTS.decode(message)

    def encode(rows: Any) -> bytes:
        if step == "encode" and any(row[0] == result_id(7) for row in rows):
            raise UnicodeEncodeError("utf-8", "x", 0, 1, "surrogates not allowed")
        return RESULTS.encode(rows)

    with sink(dsn) as worker:
        worker._tables["results"] = replace(RESULTS, decode=decode, encode=encode)
        until(worker.ready)
        worker.submit(spans := [results(range(20))])
        ((letter,),) = finish(worker, spans).values()
    headers = dict(letter.headers)
    assert (headers["gavel.error.class"], headers["gavel.error.offset"]) == (b"evaluator_bug", b"7")
    assert result_ids(client) == {result_id(n): 1 for n in range(20) if n != 7}


def test_a_batch_is_cut_by_rows_and_otherwise_by_time(front: ClickHouseFront) -> None:
    client = connect(front.dsn)
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


def test_rows_of_a_recreated_topic_are_stored_though_their_offsets_were_stored_before(dsn: str, client: Client) -> None:
    """Offsets begin at 0 again where a topic is recreated, and where the broker of `gavel up` starts again."""
    for numbers in (range(10), range(10, 20), range(10, 20)):
        records = [Record(result_row(n), at=at) for at, n in enumerate(numbers)]
        with sink(dsn) as worker:
            until(worker.ready)
            worker.submit(spans := [span_of(records)])
            finish(worker, spans)
    assert count_copies(client) == Copies(20, 20, 20), "the other rows are stored, and the repeated ones once"


@pytest.mark.parametrize("time_ms", [-(2**63), -1, 1_780_000_000_000_000, 2**63 - 1])
def test_a_record_may_have_any_time(dsn: str, client: Client, time_ms: int) -> None:
    spans = [
        span_of([Record(result_row(1), time_ms=time_ms)]),
        span_of([Record(generation_row(1), in_topic="events", time_ms=time_ms)]),
    ]
    with sink(dsn) as worker:
        until(worker.ready)
        worker.submit(spans)
        assert finish(worker, spans) == {0: [], 1: []}
    [(moment,)] = client.query(
        "SELECT record_time FROM evaluation_results UNION DISTINCT SELECT record_time FROM ai_events"
    ).result_rows
    assert 1970 <= moment.year <= 2199


def test_spans_that_were_given_back_do_not_come_back(front: ClickHouseFront) -> None:
    """Partition 0 is revoked while its batch is tried again; partition 1 stays, and its rows arrive."""
    client = connect(front.dsn)
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
        worker.drain(Deadline(PATIENCE_S))
        finish(worker, [kept])
    assert set(result_ids(client)) == {result_id(n) for n in range(10, 20)}


def test_a_drain_finishes_what_is_there_but_does_not_wait_for_an_absent_clickhouse(front: ClickHouseFront) -> None:
    client = connect(front.dsn)
    with sink(front.dsn, batch_interval_s=60.0) as worker:
        until(worker.ready)
        worker.submit(spans := [results(range(1000))])
        worker.drain(Deadline(PATIENCE_S))
        assert [span for span, _ in worker.collect()] == spans
        front.faults = Faults(refuse_code=210, refuse_times=-1)
        worker.submit([results(range(1000, 1010))])
        worker.drain(Deadline(3600))  # a drain that waited for ClickHouse would take an hour
        assert list(worker.collect()) == []
    client.close()


def test_a_slow_clickhouse_does_not_hold_up_the_polling_thread(front: ClickHouseFront) -> None:
    client = connect(front.dsn)
    with sink(front.dsn) as worker:
        until(worker.ready)
        with front.held_up():
            worker.submit(spans := [results(range(100))])
            assert list(worker.collect()) == []
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
    summary = summarise(client, ResultSelection(team_id=1), UNREAD)
    assert (summary.runs, summary.passed, summary.failed) == (1, 1, 0)
    client.command("OPTIMIZE TABLE evaluation_results FINAL")
    assert summarise(client, ResultSelection(team_id=1), UNREAD) == summary


def test_copies_of_a_result_within_one_batch_are_one_row_to_readers(dsn: str, client: Client) -> None:
    """The insert keeps both for speed; the oldest record wins before any merge and after it."""
    records = [
        Record(result_row(1, evaluation_result=n == 5), at=n, time_ms=1_780_000_000_000 + (n - 5) ** 2)
        for n in range(10)
    ]
    with sink(dsn) as worker:
        until(worker.ready)
        worker.submit(spans := [span_of(records)])
        finish(worker, spans)
    summary = summarise(client, ResultSelection(team_id=1), UNREAD)
    assert (summary.runs, summary.passed, summary.failed) == (1, 1, 0)
    assert (count_copies(client).ids, count_copies(client).visible) == (1, 1)
    client.command("OPTIMIZE TABLE evaluation_results FINAL")
    assert count_copies(client) == Copies(1, 1, 1)
    assert summarise(client, ResultSelection(team_id=1), UNREAD) == summary


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
    client = connect(dsn)
    rows = [result_row(n, evaluation_reasoning="because " * 400) for n in range(2000)]
    for _ in range(2):
        with sink(dsn) as worker:
            until(worker.ready)
            worker.submit(spans := [span_of([Record(row, at=n) for n, row in enumerate(rows)])])
            assert finish(worker, spans) == {0: []}
        assert count_copies(client) == Copies(2000, 2000, 2000)
    client.close()
