"""When batches are closed: the first row of a quiet table at once, and few small inserts however rows come."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from processor.events.message import Message
from processor.sink.batch import Batcher, BatchPart, Claim, RowBatch
from processor.sink.rows import TableFormat
from processor.stream.ledger import Span
from tests.services.records import Record

RESULTS = cast("TableFormat", SimpleNamespace(table="results"))
EVENTS = cast("TableFormat", SimpleNamespace(table="events"))


def part(rows: int = 1) -> BatchPart:
    messages = cast("list[Message]", [Record(b"x", offset) for offset in range(rows)])
    span = Span(("topic", 0), messages, rows, rows, 1, 0.0, rows)
    return BatchPart(Claim(span), 0, rows - 1, messages=messages)


def batcher(**limits: Any) -> Batcher:
    return Batcher(**{"max_rows": 100, "max_bytes": 1000, "max_age_s": 1.0, **limits})


def test_the_first_batch_of_a_quiet_table_is_closed_at_once() -> None:
    batches = batcher()
    assert batches.add(RESULTS, part(), 50.0) is None
    assert [batch.rows for batch in batches.due(50.0)] == [1]
    batches.add(RESULTS, part(), 51.5)
    assert [batch.rows for batch in batches.due(51.5)] == [1], "it was quiet for longer than a batch's age"


def test_rows_that_come_all_the_time_are_inserted_once_in_the_time_of_a_batch() -> None:
    batches = batcher(max_rows=1000)
    inserted = []
    for step in range(400):  # four seconds, a row every 10 ms
        now_s = 50.0 + step / 100
        batches.add(RESULTS, part(), now_s)
        inserted += [batch.rows for batch in batches.due(now_s)]
    assert inserted == [1, 100, 100, 100]


def test_a_full_batch_is_closed_whenever_it_is_full_and_delays_the_next_small_one() -> None:
    batches = batcher(max_rows=3)
    full = batches.add(RESULTS, part(3), 50.0)
    assert full is not None
    batches.add(RESULTS, part(1), 50.1)
    assert batches.due(50.9) == []
    assert [batch.rows for batch in batches.due(51.0)] == [1]


def test_tables_do_not_wait_for_each_other() -> None:
    batches = batcher()
    batches.add(RESULTS, part(), 50.0)
    batches.due(50.0)
    batches.add(RESULTS, part(), 50.2)
    batches.add(EVENTS, part(), 50.2)
    assert [batch.table.table for batch in batches.due(50.2)] == ["events"]


def token_of(*parts: BatchPart) -> str:
    batch = RowBatch(RESULTS, 50.0)
    for each in parts:
        batch.add(each)
    return batch.token()


def test_a_token_names_rows_and_their_order_and_not_the_blocks_that_hold_them() -> None:
    """The halves of a refused batch are named by row numbers, which mean other rows in another order."""
    whole, cut, other = part(2), part(2), part(2)
    whole.blocks, cut.blocks, other.blocks = [b"ab"], [b"a", b"b"], [b"ac"]
    assert token_of(whole) == token_of(cut)
    assert len({token_of(whole), token_of(other), token_of(whole, other), token_of(other, whole)}) == 4
