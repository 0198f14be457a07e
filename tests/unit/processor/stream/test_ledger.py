"""The laws of the ledger, over any order of polls, ends, rebalances and commits."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from processor.events.output import Output
from processor.stream.ledger import Ledger, LedgerError, Span

SOURCES = [("events", 0), ("events", 1), ("tasks", 0)]


@dataclass(frozen=True)
class Record:
    at: int

    def offset(self) -> int:
        return self.at


def output_of(source: tuple[str, int], offset: int) -> Output:
    return Output("result", "results", None, f"{source[0]}/{source[1]}/{offset}".encode(), [])


class LedgerMachine(RuleBasedStateMachine):
    """Records arrive with gaps, spans end in any order, partitions come and go, commits happen or fail.

    The model: per source the offset that is committed. At the end every record below it must have been
    released exactly once since it was last uncommitted.
    """

    spans = Bundle("spans")

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger()
        self.assigned: set[tuple[str, int]] = set()
        self.position: dict[tuple[str, int], int] = {}
        self.committed: dict[tuple[str, int], int] = dict.fromkeys(SOURCES, 0)
        self.produced: dict[tuple[str, int], set[int]] = {source: set() for source in SOURCES}
        self.read: dict[tuple[str, int], list[int]] = {source: [] for source in SOURCES}
        self.alive: list[Span] = []

    @rule(source=st.sampled_from(SOURCES))
    def assign(self, source: tuple[str, int]) -> None:
        self.ledger.assign([source])
        self.assigned.add(source)
        self.position[source] = self.committed[source]
        self.alive = [span for span in self.alive if span.source != source]

    @rule(source=st.sampled_from(SOURCES))
    def revoke(self, source: tuple[str, int]) -> None:
        self.ledger.revoke([source])
        self.assigned.discard(source)
        self.alive = [span for span in self.alive if span.source != source]

    @rule(target=spans, source=st.sampled_from(SOURCES), gaps=st.lists(st.integers(1, 3), min_size=1, max_size=4))
    def poll(self, source: tuple[str, int], gaps: list[int]) -> Span | None:
        if source not in self.assigned:
            with pytest.raises(LedgerError):
                self.ledger.open(source, [Record(0)], size_bytes=1, now_s=0.0)
            return None
        offsets, at = [], self.position[source]
        for gap in gaps:
            offsets.append(at)
            at += gap
        self.position[source] = offsets[-1] + 1
        span = self.ledger.open(source, [Record(o) for o in offsets], size_bytes=len(offsets), now_s=0.0)
        self.alive.append(span)
        return span

    @rule(span=consumes(spans))
    def end(self, span: Span | None) -> None:
        if span is None or span.ended:
            return
        outputs = [output_of(span.source, record.offset()) for record in span.messages]
        taken = self.ledger.end(span, outputs)
        assert taken == (span in self.alive), "a span of an earlier assignment was taken, or one of this was not"
        with pytest.raises(LedgerError):
            self.ledger.end(span, [])

    @rule(durable=st.booleans())
    def commit(self, durable: bool) -> None:
        unfinished = {}
        for span in self.alive:
            if not span.ended:
                unfinished.setdefault(span.source, span.next_offset - 1)
        frontier = self.ledger.advance()
        assert self.ledger.records_leaving == frontier.records
        if frontier.records:
            with pytest.raises(LedgerError):
                self.ledger.advance()
        self.ledger.settle()
        for source, offset in frontier.offsets.items():
            assert offset > self.committed[source], "the frontier went back"
            if source in unfinished:
                assert offset <= unfinished[source], "the frontier passed unfinished work"
        if not durable:  # the transaction was aborted: everything is read again from the committed offsets
            for source in self.assigned:
                self.ledger.assign([source])
                self.position[source] = self.committed[source]
            self.alive.clear()
            return
        for output in frontier.outputs:
            topic, partition, offset = output.value.decode().split("/")
            source = (topic, int(partition))
            assert int(offset) not in self.produced[source], "a record's outputs were released twice"
            assert int(offset) < frontier.offsets[source], "an output left before its record was in the frontier"
            self.produced[source].add(int(offset))
        self.committed.update(frontier.offsets)
        self.alive = [s for s in self.alive if s.next_offset > self.committed[s.source]]

    @invariant()
    def counts_what_is_in_flight(self) -> None:
        held = [s for s in self.alive if s.source in self.assigned]
        assert self.ledger.records_in_flight == sum(s.count for s in held)
        assert self.ledger.bytes_in_flight == sum(s.size_bytes for s in held)
        assert self.ledger.records_ended == sum(s.count for s in held if s.ended)
        assert self.ledger.bytes_ended == sum(s.size_bytes for s in held if s.ended)


LedgerMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestLedgerLaws = LedgerMachine.TestCase


def test_offsets_that_go_back_are_refused() -> None:
    ledger = Ledger()
    ledger.assign([("t", 0)])
    ledger.open(("t", 0), [Record(5), Record(9)], size_bytes=2, now_s=0.0)
    assert ledger.floor(("t", 0)) == 10
    with pytest.raises(LedgerError, match="go back"):
        ledger.open(("t", 0), [Record(7)], size_bytes=1, now_s=0.0)


def test_the_oldest_unfinished_span_is_what_the_watchdog_sees() -> None:
    ledger = Ledger()
    ledger.assign([("t", 0), ("t", 1)])
    ledger.open(("t", 0), [Record(0)], size_bytes=1, now_s=2.0)
    first = ledger.open(("t", 1), [Record(0)], size_bytes=1, now_s=1.0)
    assert ledger.oldest() is first
    ledger.end(first, [])
    ledger.advance()
    assert ledger.oldest() is not first
