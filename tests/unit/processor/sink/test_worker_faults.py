"""The sink's worker against the real engine that refuses, goes away, or gets rows that it cannot take."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import structlog

from processor.dead_letters.letter import TooManyDeadLetters
from storage.clickhouse import ClickHouseProblem, Migration, connect, load_migrations, migrate
from tests.services.clickhouse_http import ClickHouseFront, Faults
from tests.services.records import Record, generation_row, result_id, result_row, span_of
from tests.services.stored_results import Copies, count_copies, result_ids
from tests.services.waiting import until

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

from tests.unit.processor.sink.sinking import finish, results, sink, until_blocked


def test_a_batch_that_was_stored_but_never_confirmed_is_stored_once(front: ClickHouseFront) -> None:
    """ClickHouse takes the insert, and the connection breaks before the answer: twice."""
    client = connect(front.dsn)
    front.faults = Faults(cut_times=2)
    with sink(front.dsn) as worker:
        until(worker.ready)
        worker.submit(spans := [results(range(500))])
        assert finish(worker, spans) == {0: []}
    assert count_copies(client) == Copies(500, 500, 500)
    client.close()


@pytest.mark.parametrize("code", [252, 202, 241, 319, 999, 60, 497])
def test_a_refusing_clickhouse_blocks_the_sink_until_it_gives_in(front: ClickHouseFront, code: int) -> None:
    """Too many parts, no memory, a missing table: never a dead letter, however often it takes."""
    client = connect(front.dsn)
    front.faults = refusing = Faults(refuse_code=code, refuse_times=1_000_000)
    with sink(front.dsn) as worker:
        until(worker.ready)
        worker.submit(spans := [results(range(100))])
        until_blocked(worker)
        until(lambda: refusing.refuse_times <= 1_000_000 - 10)  # ten tries
        assert worker.blocked()
        assert list(worker.collect()) == []
        front.faults = Faults()
        assert finish(worker, spans) == {0: []}
        assert not worker.blocked()
    assert count_copies(client) == Copies(100, 100, 100)
    client.close()


def test_a_missing_right_is_named_in_the_log(front: ClickHouseFront) -> None:
    front.faults = Faults(denied="INSERT")
    with structlog.testing.capture_logs() as logs, sink(front.dsn) as worker:
        until(worker.ready)
        worker.submit(spans := [results(range(3))])
        until_blocked(worker)
        front.faults = Faults()
        assert finish(worker, spans) == {0: []}
    (told, *_) = [entry for entry in logs if entry["event"] == "clickhouse_blocked"]
    assert told["error"] == "ACCESS_DENIED"
    assert "lacks the right INSERT ON gavel.evaluation_results; grant it" in told["detail"]


def test_an_error_that_nobody_knows_is_tried_again_before_rows_are_blamed(front: ClickHouseFront) -> None:
    client = connect(front.dsn)
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
    with structlog.testing.capture_logs() as logs, sink(front.dsn) as worker:
        until(worker.ready)
        front.close()
        worker.submit(spans := [results(range(200))])
        until_blocked(worker)
        (told, *_) = [entry for entry in logs if entry["event"] == "clickhouse_blocked"]
        assert told["error"] == "transport"
        assert "refused" in told["detail"], "the words of the network, not only the name of the driver's error"
        with ClickHouseFront(front.directory, front.port) as again:
            assert finish(worker, spans) == {0: []}
            until(lambda: not worker.blocked())
            client = connect(again.dsn)
            assert count_copies(client) == Copies(200, 200, 200)
            client.close()


def test_a_sink_that_closes_before_its_first_connection_does_not_try_again() -> None:
    tries = []

    def refuse() -> Client:
        tries.append(1)
        raise ClickHouseProblem("nobody answers")

    with sink(refuse) as worker:
        until(worker.blocked)
        worker.close()
        assert not worker._thread.is_alive()
        made = len(tries)
    assert len(tries) == made < 100, "each try that fails is followed by a wait, or by the end"


def test_a_sink_without_tables_is_not_ready_and_becomes_so_by_init(empty_dsn: str) -> None:
    with sink(empty_dsn) as worker:
        until(worker.blocked)
        assert not worker.ready()
        client = connect(empty_dsn)
        migrate(client)
        until(worker.ready)
        client.close()


NEXT_RELEASE = """
ALTER TABLE evaluation_results ADD COLUMN IF NOT EXISTS later Nullable(Float64);
ALTER TABLE evaluation_results ADD COLUMN IF NOT EXISTS first_of_all String DEFAULT 'none' FIRST;
ALTER TABLE evaluation_results_recent ADD COLUMN IF NOT EXISTS later Nullable(Float64);
ALTER TABLE evaluation_results_recent_feed MODIFY QUERY SELECT * EXCEPT (properties) FROM evaluation_results;
"""


def test_a_running_sink_goes_on_beside_the_tables_of_the_next_release(front: ClickHouseFront) -> None:
    with closing(connect(front.dsn)) as client:
        with sink(front.dsn) as worker:
            until(worker.ready)
            known = load_migrations()
            migrate(client, [*known, Migration(len(known) + 1, "next_release", NEXT_RELEASE)])
            worker.submit(spans := [results(range(50))])
            assert finish(worker, spans) == {0: []}
            assert worker.ready()
        assert count_copies(client) == Copies(50, 50, 50)
        late = client.query("SELECT count() FROM evaluation_results WHERE first_of_all = 'none' AND isNull(later)")
        assert late.first_row == (50,)
        assert client.query("SELECT count() FROM evaluation_results_recent").first_row == (50,)


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
